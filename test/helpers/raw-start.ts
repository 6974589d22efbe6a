/** The program run to its end, for starts that must fail and for those that only say something. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import type { Runtime } from "./atoll-process.ts";
import { within } from "./deadline.ts";
import { binary, PROJECT } from "../tools/project.ts";

/** The runtime of whoever runs the tests: the first node of each has it. */
export const HERE: Runtime = "Deno" in globalThis ? "deno" : "node";
export const THERE: Runtime = HERE === "deno" ? "node" : "deno";

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly deadlineMs?: number;
  /** What to run instead of the source. */
  readonly entry?: string;
  /** For its standard input, which is empty without. */
  readonly input?: Uint8Array;
  /** Nobody reads on after the first bytes of its output. */
  readonly goesAway?: boolean;
}

/** Nothing named ATOLL_* is inherited. Fails, and ends the program, when it runs on for longer than `deadlineMs`. */
export async function runAtoll(
  runtime: Runtime,
  env: Readonly<Record<string, string>>,
  args: readonly string[] = [],
  options: RunOptions = {},
): Promise<Ended> {
  const { deadlineMs = 10_000, entry = join(PROJECT, "src", "main.ts"), input } = options;
  const inherited = Object.entries(process.env).filter(([name]) => !/^(PORT$|ATOLL_|FLY_|NODE_)/.test(name));
  const flags = runtime === "deno" ? ["run", "-A"] : [];
  const child = spawn(binary(runtime), [...flags, entry, ...args], {
    stdio: [input ? "pipe" : "ignore", "pipe", "pipe"],
    env: { ...Object.fromEntries(inherited), DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1", ...env },
  });
  let stdout = "";
  let stderr = "";
  child.stdin?.on("error", () => undefined); // it need not read what it does not want
  child.stdin?.end(input);
  child.stdout!.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    if (options.goesAway === true) child.stdout!.destroy();
  });
  child.stderr!.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const closed = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
  try {
    const code = await within(closed, deadlineMs, `${runtime} src/main.ts ends by itself`, [stdout, stderr]);
    return { code, stdout, stderr };
  } finally {
    child.kill("SIGKILL");
    await closed;
  }
}
