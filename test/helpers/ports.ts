/** Free TCP ports on loopback, for what must be known before the listener exists: the seeds of a ring. */
import { once } from "node:events";
import { createServer, type Server } from "node:net";

/** Below where systems take ports for outgoing connections from. */
const FIRST = 10_000;
const LAST = 32_000;
/** Ports that one file of tests tries by itself; others run at the same time, and the nodes that it restarts free theirs. */
const STRETCH = 100;

let left: number[] = [];
/** Lest they are collected, and closed. */
const held: Server[] = [];

/** So many distinct ports that are free, and that nobody is given but who asks for them by number. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    if (left.length === 0) left = await claimStretch();
    const port = left.shift()!;
    const probe = await open(port);
    if (!probe) continue;
    ports.push(port);
    probe.close();
    await once(probe, "close");
  }
  return ports;
}

/** Whoever listens on a stretch's first port has the rest of it, for as long as it lives. */
async function claimStretch(): Promise<number[]> {
  const stretches = (LAST - FIRST) / STRETCH;
  const begin = process.pid % stretches;
  for (let tried = 0; tried < stretches; tried++) {
    const first = FIRST + (begin + tried) % stretches * STRETCH;
    const claim = await open(first);
    if (!claim) continue;
    held.push(claim.unref());
    return Array.from({ length: STRETCH - 1 }, (_, i) => first + 1 + i);
  }
  throw new Error(`wanted ${STRETCH} ports between ${FIRST} and ${LAST} that nobody has claimed, found none`);
}

/** Undefined where somebody listens already. */
async function open(port: number): Promise<Server | undefined> {
  const server = createServer();
  const outcome = Promise.race([once(server, "listening"), once(server, "error").then(() => undefined)]);
  server.listen(port, "127.0.0.1");
  return await outcome.catch(() => undefined) ? server : undefined;
}
