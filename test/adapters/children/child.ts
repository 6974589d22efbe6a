/** Programs of this folder as processes, on whichever runtime runs the test. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { execPath, versions } from "node:process";
import { fileURLToPath } from "node:url";

const DEADLINE_MS = 30_000;

/** `await using` kills it at the end of the block, however that comes. */
export interface Child extends AsyncDisposable {
  /** The whole lines printed so far. */
  lines(): string[];
  /** Resolves when that many lines were printed; rejects if the child ends first or takes too long. */
  printed(count: number): Promise<void>;
  /** SIGKILL, and the end of the process; all it printed is in `lines` then. */
  kill(): Promise<void>;
  /** Resolves to the exit code; rejects when it takes too long. */
  ended(): Promise<number | null>;
}

export function startChild(program: string, ...args: string[]): Child {
  const path = fileURLToPath(new URL(program, import.meta.url));
  const runtimeArgs = "deno" in versions ? ["run", "-A"] : [];
  const child = spawn(execPath, [...runtimeArgs, path, ...args], { stdio: ["pipe", "pipe", "inherit"] });
  const closed = once(child, "close");
  let text = "";
  let heard: () => void = () => undefined;
  child.stdout.setEncoding("utf8").on("data", (more: string) => {
    text += more;
    heard();
  });
  const lines = () => text.split("\n").slice(0, -1);
  const inTime = async <T>(wait: Promise<T>, label: string): Promise<T> => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`${program}: ${label} took more than ${DEADLINE_MS} ms`)),
        DEADLINE_MS,
      );
    });
    try {
      return await Promise.race([wait, late]);
    } finally {
      clearTimeout(timer);
    }
  };
  const kill = async () => {
    child.kill("SIGKILL");
    await inTime(closed, "ending");
  };
  return {
    lines,
    kill,
    [Symbol.asyncDispose]: kill,
    printed(count) {
      const enough = new Promise<void>((resolve) => {
        heard = () => {
          if (lines().length >= count) resolve();
        };
        heard();
      });
      const early = closed.then(([code]) => {
        if (lines().length < count) {
          throw new Error(`${program} ended with ${code} after ${lines().length} lines`);
        }
      });
      return inTime(Promise.race([enough, early]), `printing ${count} lines`);
    },
    async ended() {
      const [code] = await inTime(closed, "ending");
      return code;
    },
  };
}
