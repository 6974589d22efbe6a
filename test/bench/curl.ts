/** Large objects, moved by curl as anybody would. */
import { spawn } from "node:child_process";
import { closeSync, openSync, readSync } from "node:fs";

export interface Transfer {
  readonly bytesPerSecond: number;
}

export function download(url: string, headers: readonly string[]): Promise<Transfer> {
  return curl(["-o", "/dev/null", url], headers, "ignore");
}

export function upload(path: string, url: string, headers: readonly string[]): Promise<Transfer> {
  return curl(["-T", path, url], headers, "ignore");
}

/** The file from `skipBytes` on, as a body of unknown length: no chunk of it is a chunk of the file. */
export async function uploadFrom(path: string, skipBytes: number, url: string): Promise<Transfer> {
  const file = openSync(path, "r");
  try {
    // A read without a position moves the one that curl inherits.
    readSync(file, new Uint8Array(skipBytes), 0, skipBytes, null);
    return await curl(["-T", "-", url], [], file);
  } finally {
    closeSync(file);
  }
}

function curl(
  args: readonly string[],
  headers: readonly string[],
  stdin: "ignore" | number,
): Promise<Transfer> {
  const wanted =
    '{"status":%{http_code},"seconds":%{time_total},"up":%{size_upload},"down":%{size_download}}\n';
  const all = ["-sS", "-w", wanted, ...headers.flatMap((header) => ["-H", header]), ...args];
  return new Promise((resolve, reject) => {
    const child = spawn("curl", all, { stdio: [stdin, "pipe", "pipe"] });
    let output = "";
    let complaint = "";
    child.stdout!.setEncoding("utf8").on("data", (text: string) => output += text);
    child.stderr!.setEncoding("utf8").on("data", (text: string) => complaint += text);
    child.once("error", reject);
    child.once("close", () => {
      const line = output.trimEnd().split("\n").at(-1) ?? "";
      const told = line.startsWith("{")
        ? JSON.parse(line) as Record<"status" | "seconds" | "up" | "down", number>
        : undefined;
      if (!told || told.status < 200 || told.status > 299 || complaint !== "") {
        reject(
          new Error(
            `curl ${args.join(" ")}: wanted 2xx, got ${told?.status ?? "nothing"} ${complaint}${output}`,
          ),
        );
      } else resolve({ bytesPerSecond: (told.up + told.down) / told.seconds });
    });
  });
}
