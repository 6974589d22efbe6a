/** Real curl, as anybody would use it. */
import { spawn } from "node:child_process";

export interface CurlOutcome {
  /** curl's own; 0 when it is content. */
  readonly code: number | null;
  /** Of the last answer; 0 when there was none. */
  readonly status: number;
  readonly uploadedBytes: number;
  /** What was not written to files: bodies, and with `-i` heads. */
  readonly stdout: Buffer;
  readonly stderr: string;
}

const WANTED = "%{stderr}\n%{http_code} %{size_upload}";

/** `input` is what curl reads from its standard input. */
export function curl(args: readonly string[], input: Uint8Array = new Uint8Array(0)): Promise<CurlOutcome> {
  return new Promise((resolve, reject) => {
    const child = spawn("curl", ["-q", "-sS", "--max-time", "30", "-w", WANTED, ...args], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    const parts: Buffer[] = [];
    let stderr = "";
    child.stdout.on("data", (part: Buffer) => parts.push(part));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.stdin.on("error", () => {}); // curl stops reading when the answer comes early
    child.stdin.end(input);
    child.once("error", reject);
    child.once("close", (code) => {
      const [status, uploaded] = stderr.slice(stderr.lastIndexOf("\n") + 1).split(" ").map(Number);
      const said = stderr.slice(0, stderr.lastIndexOf("\n"));
      resolve({
        code,
        status: status ?? 0,
        uploadedBytes: uploaded ?? 0,
        stdout: Buffer.concat(parts),
        stderr: said,
      });
    });
  });
}
