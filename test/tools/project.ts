/** Where the project is, and the programs that `npm ci` put into it. */
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const PROJECT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** The path of a program of the project's own, so that nothing depends on what else is on PATH. */
export function binary(name: string): string {
  return join(PROJECT, "node_modules", ".bin", name);
}

export interface Outcome {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly output: string;
}

/** Runs a program of the project to its end, in the project's directory; with `show`, its output passes through. */
export function run(command: readonly string[], options: { show: boolean }): Promise<Outcome> {
  const [name = "", ...args] = command;
  const path = `${join(PROJECT, "node_modules", ".bin")}:${process.env["PATH"] ?? ""}`;
  const child = spawn(binary(name), args, {
    cwd: PROJECT,
    stdio: ["ignore", options.show ? "inherit" : "pipe", options.show ? "inherit" : "pipe"],
    env: { ...process.env, PATH: path, ...(process.stdout.isTTY ? {} : { NO_COLOR: "1" }) },
  });
  const parts: Buffer[] = [];
  child.stdout?.on("data", (part: Buffer) => parts.push(part));
  child.stderr?.on("data", (part: Buffer) => parts.push(part));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, output: Buffer.concat(parts).toString("utf8") }));
  });
}
