/**
 * `npm run bench:slow -- [--runtime node|deno] [--idle N] [--slow N] [--seconds N]`: what a normal client notices of idle
 * connections, and of those that send a header or a body, or take an answer, byte by byte. It is to wait at most 50 ms
 * longer at the 99th percentile than without them.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { parseArgs } from "node:util";
import { type Runtime, startNode } from "../helpers/atoll-process.ts";
import { until } from "../helpers/deadline.ts";
import { put, RawHttp } from "../helpers/raw-http.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const MORE_MS_MAX = 50;
const CLIENTS = 4;
const TRICKLE_MS = 500;
/** Opened at once: no more than a backlog holds. */
const BATCH = 100;
const LARGE_BYTES = 8 << 20;

const { values } = parseArgs({
  options: {
    runtime: { type: "string" },
    idle: { type: "string", default: "2000" },
    slow: { type: "string", default: "500" },
    seconds: { type: "string", default: "10" },
  },
});
const seconds = Number(values.seconds);
const runtimes: readonly Runtime[] = values.runtime === undefined
  ? ["node", "deno"]
  : [values.runtime as Runtime];

/** Each sends what a slow client does every half second. */
type Trickle = (socket: Socket) => void;

const SLOW: readonly ((socket: Socket, index: number) => Trickle)[] = [
  (socket) => {
    socket.write("GET /slow/small HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
    return () => socket.write("x");
  },
  (socket, index) => {
    socket.write(`PUT /slow/body-${index} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n`);
    return () => socket.write("x".repeat(64));
  },
  (socket) => {
    socket.pause();
    socket.write("GET /slow/large HTTP/1.1\r\nHost: localhost\r\n\r\n");
    return () => void socket.read(1_024);
  },
];

for (const runtime of runtimes) await measure(runtime);

async function measure(runtime: Runtime): Promise<void> {
  using directory = temporaryDirectory();
  await using node = await startNode({ runtime, dataDir: directory.path });
  const { publicUrl } = node;
  await put(`${publicUrl}/slow/small`, Buffer.alloc(1_024), { headers: { "Cache-Control": "max-age=3600" } });
  await put(`${publicUrl}/slow/large`, Buffer.alloc(LARGE_BYTES), {
    headers: { "Cache-Control": "max-age=3600" },
  });
  await latencies(publicUrl, 2_000);
  const without = await latencies(publicUrl, 1_000 * seconds);
  const crowd = await gather(publicUrl, Number(values.idle), Number(values.slow));
  try {
    const withThem = await latencies(publicUrl, 1_000 * seconds);
    const open = crowd.sockets.filter((socket) => !socket.destroyed).length;
    const moreMs = at(withThem, 0.99) - at(without, 0.99);
    console.log(
      `${runtime}: alone p50 ${shown(without, 0.5)}, p99 ${
        shown(without, 0.99)
      } (${without.length} requests); ` +
        `with ${values.idle} idle and ${values.slow} slow connections p50 ${shown(withThem, 0.5)}, ` +
        `p99 ${shown(withThem, 0.99)} (${withThem.length}); ${
          moreMs.toFixed(1)
        } ms more; ${open} still open at the end; ` +
        `${Math.round(node.memory().rssBytes / (1 << 20))} MiB`,
    );
    if (moreMs > MORE_MS_MAX) {
      console.error(`wanted at most ${MORE_MS_MAX} ms more, got ${moreMs.toFixed(1)} ms`);
      process.exitCode = 1;
    }
  } finally {
    crowd.end();
  }
}

/** Ms of each request, by clients that each wait for an answer before they ask again. */
async function latencies(publicUrl: string, forMs: number): Promise<number[]> {
  const taken: number[] = [];
  const untilMs = performance.now() + forMs;
  await Promise.all(Array.from({ length: CLIENTS }, async () => {
    const connection = await RawHttp.open(publicUrl);
    while (performance.now() < untilMs) {
      const begunMs = performance.now();
      connection.head("GET", "/slow/small");
      await connection.reply("GET");
      taken.push(performance.now() - begunMs);
    }
    connection.cut();
  }));
  return taken.sort((a, b) => a - b);
}

async function gather(publicUrl: string, idle: number, slow: number) {
  const { hostname, port } = new URL(publicUrl);
  const sockets: Socket[] = [];
  const trickles: (readonly [Socket, Trickle])[] = [];
  let answered = 0;
  const open = async (index: number): Promise<void> => {
    const socket = connect(Number(port), hostname);
    socket.on("error", () => {});
    await once(socket, "connect");
    sockets.push(socket);
    if (index >= idle) {
      trickles.push([socket, SLOW[index % SLOW.length]!(socket, index)]);
      return;
    }
    // One that was answered once is what browsers keep.
    socket.once("data", () => answered++);
    socket.write("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
  };
  for (let begun = 0; begun < idle + slow; begun += BATCH) {
    await Promise.all(
      Array.from({ length: Math.min(BATCH, idle + slow - begun) }, (_, i) => open(begun + i)),
    );
  }
  await until("every idle connection was answered once", 30_000, () => answered === idle);
  const timer = setInterval(() => {
    for (const [socket, trickle] of trickles) if (!socket.destroyed) trickle(socket);
  }, TRICKLE_MS);
  return {
    sockets,
    end: () => {
      clearInterval(timer);
      for (const socket of sockets) socket.destroy();
    },
  };
}

function at(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
}

function shown(sorted: readonly number[], share: number): string {
  return `${at(sorted, share).toFixed(2)} ms`;
}
