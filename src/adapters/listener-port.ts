/** Listening, with errors that say what an operator can do about them. */
import type { Server } from "node:net";
import { AtollError, messageOf } from "../errors.ts";

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: "is taken",
  EACCES: "needs more rights than this process has",
  EADDRNOTAVAIL: "is not an address of this machine",
  EINVAL: "is not an address of this machine", // as Deno says it
  ENOTFOUND: "is not a name that is known here",
};

/**
 * Connections that wait to be taken; the kernel has a bound of its own (Linux: `net.core.somaxconn`). With Node's default of
 * 511 a thousand clients that come at once are too many: what is dropped is sent again a second later.
 */
const BACKLOG = 4_096;

/** Rejects with `config`. */
export function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (cause: Error) => {
      const code = "code" in cause ? String(cause.code) : "";
      const reason = REASONS[code] ?? `cannot be listened on: ${messageOf(cause)}`;
      reject(new AtollError("config", `port ${port} on ${host} ${reason}`, { cause }));
    };
    server.once("error", failed);
    server.listen({ port, host, backlog: BACKLOG }, () => {
      server.off("error", failed);
      resolve();
    });
  });
}
