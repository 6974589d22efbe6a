/** What ends this process, and what does not. */
import process from "node:process";
import { messageOf } from "../errors.ts";
import type { JsonLog } from "./json-log.ts";

/**
 * On Deno (2.9) the end of a connection to a peer that was killed can reach undici's socket when nobody listens for its
 * errors any more; that would end this node as well. The calls on it have failed by then. Anything else does end it.
 */
export function outliveSockets(log: JsonLog): void {
  if (!("Deno" in globalThis)) return;
  process.on("uncaughtException", (error: Error & { code?: string }) => {
    if (error.code === "UND_ERR_SOCKET") return log.warn("a connection ended", { reason: error.message });
    process.stderr.write(`atoll: ${error.stack ?? error.message}\n`);
    process.exit(1);
  });
}

/** The first signal drains, the second ends at once. */
export function onSignals(log: JsonLog, drain: (signal: string) => Promise<void>): void {
  let begun = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (begun) process.exit(1);
      begun = true;
      drain(signal).then(() => process.exit(0), (error: unknown) => {
        log.error("draining failed", { reason: messageOf(error) });
        log.flush();
        process.exit(1);
      });
    });
  }
}
