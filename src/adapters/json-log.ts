/** One JSON object per line on standard output, gathered, and bounded when whoever reads it is slow. */
import type { Writable } from "node:stream";
import type { Clock, Log, LogFields } from "../ports.ts";

/** Text that may wait for the reader; beyond it lines are dropped and counted, never the requests they speak of. */
const WAITING_MAX = 4 << 20;
const FLUSH_AT = 32 << 10;
const FLUSH_MS = 50;

export interface JsonLog extends Log {
  /** Takes a whole line, newline included. */
  line(text: string): void;
  readonly droppedLines: number;
  /** Writes what has been gathered. */
  flush(): void;
}

export function createJsonLog(out: Writable, clock: Clock, fields: LogFields = {}): JsonLog {
  let gathered = "";
  let droppedLines = 0;
  let cancelTimer: (() => void) | undefined;

  function flush(): void {
    cancelTimer?.();
    cancelTimer = undefined;
    if (gathered === "") return;
    out.write(gathered);
    gathered = "";
  }

  function line(text: string): void {
    if (out.writableLength > WAITING_MAX) {
      droppedLines++;
      return;
    }
    gathered += text;
    if (gathered.length >= FLUSH_AT) flush();
    else cancelTimer ??= clock.after(FLUSH_MS, flush);
  }

  function write(level: string, message: string, more: LogFields = {}): void {
    line(
      `${
        JSON.stringify({ time: new Date(clock.wallMs()).toISOString(), level, message, ...fields, ...more })
      }\n`,
    );
  }

  return {
    info: (message, more) => write("info", message, more),
    warn: (message, more) => write("warn", message, more),
    error: (message, more) => {
      write("error", message, more);
      flush();
    },
    line,
    flush,
    get droppedLines() {
      return droppedLines;
    },
  };
}
