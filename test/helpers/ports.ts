/** Free TCP ports on loopback, for what must be known before the listener exists: the seeds of a ring. */
import { once } from "node:events";
import { createServer } from "node:net";

/** Below where systems take ports for outgoing connections from; each process tries a stretch of its own first. */
const FIRST = 10_000;
const LAST = 32_000;
let next = FIRST + (process.pid * 97) % (LAST - FIRST);

/** So many distinct ports that are free, and that nobody is given but who asks for them by number. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = next;
    next = next + 1 < LAST ? next + 1 : FIRST;
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const outcome = Promise.race([once(server, "listening"), once(server, "error").then(() => undefined)]);
  server.listen(port, "127.0.0.1");
  const free = await outcome.catch(() => undefined) !== undefined;
  if (free) {
    server.close();
    await once(server, "close");
  }
  return free;
}
