/** Readers of one object, each on a connection of its own: when its first byte came, and where the server says time went. */
import { createHash } from "node:crypto";
import { connect, type Socket } from "node:net";

/** `slow`: takes a little, and then nothing; `leaves`: hangs up after its first bytes. */
export type Manner = "quick" | "slow" | "leaves";

export interface FirstByte {
  readonly connectedMs: number;
  readonly tookMs: number;
  /** What the server's `Server-Timing` says of its steps, ms by name. */
  readonly steps: ReadonlyMap<string, number>;
}

export interface Read {
  readonly tookMs: number;
  /** Undefined for whoever did not read all. */
  readonly sha256: string | undefined;
}

export interface Reader {
  readonly first: Promise<FirstByte>;
  readonly over: Promise<Read>;
  cut(): void;
}

const SLOW_PART_BYTES = 64 << 10;
const HEAD_END = "\r\n\r\n";

export function read(url: string, target: string, manner: Manner): Reader {
  const { hostname, port } = new URL(url);
  const first = Promise.withResolvers<FirstByte>();
  const over = Promise.withResolvers<Read>();
  const begunMs = performance.now();
  const since = () => performance.now() - begunMs;
  const hash = createHash("sha256");
  let head: Buffer | undefined = Buffer.alloc(0);
  let steps: ReadonlyMap<string, number> = new Map();
  let bytes = 0;
  let connectedMs = 0;
  const socket: Socket = connect({ host: hostname, port: Number(port) }, () => {
    connectedMs = since();
    socket.write(`GET ${target} HTTP/1.1\r\nHost: ${hostname}\r\nConnection: close\r\n\r\n`);
  });
  socket.on("data", (part: Buffer) => {
    let body: Buffer = part;
    if (head) {
      head = Buffer.concat([head, part]);
      const end = head.indexOf(HEAD_END);
      if (end === -1) return;
      const text = head.toString("latin1", 0, end);
      if (!text.startsWith("HTTP/1.1 200 ")) return void socket.destroy(new Error(text));
      steps = stepsOf(text);
      body = head.subarray(end + HEAD_END.length);
      head = undefined;
    }
    if (body.length === 0) return;
    if (bytes === 0) first.resolve({ connectedMs, tookMs: since(), steps });
    bytes += body.length;
    if (manner === "quick") hash.update(body);
    else if (manner === "leaves") socket.destroy();
    else if (bytes >= SLOW_PART_BYTES) socket.pause();
  });
  const fail = (error: Error): void => {
    first.reject(error);
    over.reject(error);
  };
  socket.on("error", fail);
  socket.on("close", () => {
    if (bytes === 0) fail(new Error("the connection was closed before the first byte"));
    over.resolve({ tookMs: since(), sha256: manner === "quick" ? hash.digest("hex") : undefined });
  });
  for (const promise of [first.promise, over.promise]) promise.catch(() => undefined); // where it matters it is awaited
  return { first: first.promise, over: over.promise, cut: () => socket.destroy() };
}

/** So many at once, the first of whom leaves; those who came to their first byte, and those of the quick who had all. */
export async function crowd(
  url: string,
  target: string,
  { readers, quick }: { readers: number; quick: number },
): Promise<{ firsts: FirstByte[]; wholes: Read[] }> {
  const all = Array.from(
    { length: readers },
    (_, n) => read(url, target, n === 0 ? "leaves" : n <= quick ? "quick" : "slow"),
  );
  const [firsts, wholes] = await Promise.all([
    Promise.allSettled(all.map(({ first }) => first)),
    Promise.allSettled(all.slice(1, quick + 1).map(({ over }) => over)),
  ]);
  for (const { cut } of all) cut();
  return { firsts: fulfilled(firsts), wholes: fulfilled(wholes) };
}

function fulfilled<T>(results: readonly PromiseSettledResult<T>[]): T[] {
  return results.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
}

function stepsOf(head: string): ReadonlyMap<string, number> {
  const value = /^server-timing: (.*)$/im.exec(head)?.[1] ?? "";
  return new Map(
    [...value.matchAll(/([\w-]+);dur=([\d.]+)/g)].map(([, name, ms]) => [name!, Number(ms)]),
  );
}
