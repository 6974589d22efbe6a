/**
 * `npm run bench:readers`: so many readers ask a cold node for one large object at once. Some read all of it, the others take
 * their first bytes and then next to nothing; one of the quick ones leaves in the middle. `--readers N --quick N --mib N
 * --delay MS --runtime node|deno`; the delay is that of the way between the nodes, in each direction.
 */
import { createHash, randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Runtime } from "../helpers/atoll-process.ts";
import { startRing } from "../helpers/atoll-ring.ts";
import { until } from "../helpers/deadline.ts";
import { ask, metricOf, put } from "../helpers/raw-http.ts";
import { bundle } from "../tools/bundle.ts";

const DEADLINE_MS = 300_000;
const NODES = [0, 1, 2, 3];
/** No replica, and nothing in its caches. */
const COLD = 3;
const SLOW_PART_BYTES = 64 << 10;

const { values } = parseArgs({
  options: {
    readers: { type: "string", default: "1000" },
    quick: { type: "string", default: "20" },
    mib: { type: "string", default: "64" },
    delay: { type: "string", default: "0" },
    runtime: { type: "string", default: "node" },
  },
});
const [readers, quick, mib, delayMs] = [values.readers, values.quick, values.mib, values.delay].map(
  Number,
) as [
  number,
  number,
  number,
  number,
];
const runtime = values.runtime as Runtime;

interface Read {
  readonly firstByteMs: number;
  readonly tookMs: number;
  /** Undefined for whoever did not read all. */
  readonly sha256: string | undefined;
}

const directory = await mkdtemp(join(tmpdir(), "atoll-readers-"));
try {
  const entry = join(directory, "atoll.mjs");
  await bundle(entry);
  await using ring = await startRing({
    directory,
    runtimes: NODES.map(() => runtime),
    entry,
    // The relay lives in this process, as all the readers do: it is slow where they are many.
    ...(delayMs > 0 && { relaySeed: 1 }),
  });
  const cold = ring.nodes[COLD]!;
  for (const { publicUrl, lines } of ring.nodes) {
    const sees = async () => await metricOf(publicUrl, "atoll_peers_alive") === NODES.length - 1;
    await until(`${publicUrl} sees all others`, DEADLINE_MS, sees, lines);
  }
  const content = randomBytes(mib << 20);
  const sha256 = createHash("sha256").update(content).digest("hex");
  const other = randomBytes(mib << 20);
  const keys: string[] = [];
  for (let n = 0; keys.length < 2; n++) {
    const target = `/readers/key-${n}`;
    const { body } = await ask(`${cold.publicUrl}/_/route${target}`);
    const { replicas } = JSON.parse(String(body)) as { replicas: { node: string }[] };
    if (replicas.every(({ node }) => node !== cold.nodeId)) keys.push(target);
  }
  for (const [i, bytes] of [other, content].entries()) {
    const { status } = await put(ring.nodes[0]!.publicUrl + keys[i]!, bytes, { deadlineMs: DEADLINE_MS });
    if (status !== 201) throw new Error(`PUT: ${status}`);
  }
  ring.relay?.setBetween([COLD], [0, 1, 2], { delayMs });
  const measured = async () => {
    const { body } = await ask(`${cold.publicUrl}/_/route${keys[0]!}`);
    const { replicas } = JSON.parse(String(body)) as { replicas: { rttMs: number }[] };
    return replicas.every(({ rttMs }) => rttMs >= 2 * delayMs);
  };
  await until("the way was measured", DEADLINE_MS, measured);

  const idleBytes = cold.memory().rssBytes;
  const single = await read(cold.publicUrl, keys[0]!, "quick").over;
  const aloneBytes = cold.memory().peakBytes;
  const before = await counts(cold.publicUrl);
  let peakBytes = 0;
  const watching = setInterval(() => peakBytes = Math.max(peakBytes, cold.memory().rssBytes), 100);
  const all = Array.from(
    { length: readers },
    (_, n) => read(cold.publicUrl, keys[1]!, n === 0 ? "leaves" : n <= quick ? "quick" : "slow"),
  );
  const [begun, ended] = await Promise.all([
    Promise.allSettled(all.map(({ first }) => first)),
    Promise.allSettled(all.slice(1, quick + 1).map(({ over }) => over)),
  ]);
  clearInterval(watching);
  const firsts = begun.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  const wholes = ended.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  for (const { cut } of all) cut();
  const [fetched, hedged] = (await counts(cold.publicUrl)).map((count, i) => count - before[i]!) as [
    number,
    number,
  ];
  const good = wholes.filter((whole) => whole.sha256 === sha256).length;
  firsts.sort((a, b) => a - b);
  const ms = (value: number) => `${value.toFixed(0)} ms`;
  const mibOf = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
  const rows: readonly (readonly [string, string])[] = [
    ["readers, of them quick, on", `${readers}, ${quick}, ${runtime}`],
    ["object; way between nodes", `${mib} MiB; ${2 * delayMs} ms there and back`],
    ["chunks in the object", String(mib)],
    ["chunks that came over the network, questions put twice", `${fetched}, ${hedged}`],
    ["readers that were refused", String(readers - firsts.length)],
    ["quick readers that had all of it, and right", `${good} of ${quick}`],
    ["one reader alone: first byte, all", `${ms(single.firstByteMs)}, ${ms(single.tookMs)}`],
    [
      "all readers: first byte p50, p99, last",
      [0.5, 0.99, 1].map((q) => ms(firsts[Math.ceil(q * firsts.length) - 1]!)).join(", "),
    ],
    ["last of the quick ones had all after", ms(Math.max(...wholes.map(({ tookMs }) => tookMs)))],
    ["memory idle, after one, most", [idleBytes, aloneBytes, peakBytes].map(mibOf).join(", ")],
  ];
  for (const [name, value] of rows) console.log(`${name.padEnd(58)} ${value}`);
  if (good !== quick) process.exitCode = 1;
} finally {
  await rm(directory, { recursive: true });
}

async function counts(url: string): Promise<number[]> {
  return [
    await metricOf(url, "atoll_chunks_received_total"),
    await metricOf(url, "atoll_chunk_hedges_total"),
  ];
}

/** `slow`: takes a little, and then nothing; `leaves`: hangs up after its first bytes. */
function read(url: string, target: string, how: "quick" | "slow" | "leaves") {
  const { hostname, port } = new URL(url);
  const first = Promise.withResolvers<number>();
  const over = Promise.withResolvers<Read>();
  const begunMs = performance.now();
  const hash = createHash("sha256");
  let headBytes: Buffer | undefined = Buffer.alloc(0);
  let bytes = 0;
  let firstByteMs = 0;
  const socket: Socket = connect({ host: hostname, port: Number(port) }, () => {
    socket.write(`GET ${target} HTTP/1.1\r\nHost: ${hostname}\r\nConnection: close\r\n\r\n`);
  });
  socket.on("data", (part: Buffer) => {
    let body: Buffer = part;
    if (headBytes) {
      headBytes = Buffer.concat([headBytes, part]);
      const end = headBytes.indexOf("\r\n\r\n");
      if (end === -1) return;
      if (!headBytes.toString("latin1").startsWith("HTTP/1.1 200 ")) {
        return void socket.destroy(new Error(headBytes.toString("latin1")));
      }
      body = headBytes.subarray(end + 4);
      headBytes = undefined;
    }
    if (body.length === 0) return;
    if (bytes === 0) {
      firstByteMs = performance.now() - begunMs;
      first.resolve(firstByteMs);
    }
    bytes += body.length;
    if (how === "quick") hash.update(body);
    else if (how === "leaves") socket.destroy();
    else if (bytes >= SLOW_PART_BYTES) socket.pause();
  });
  const fail = (error: Error): void => {
    first.reject(error);
    over.reject(error);
  };
  socket.on("error", fail);
  socket.on("close", () => {
    const tookMs = performance.now() - begunMs;
    over.resolve({ firstByteMs, tookMs, sha256: how === "quick" ? hash.digest("hex") : undefined });
  });
  over.promise.catch(() => undefined); // where it matters it is awaited
  return { first: first.promise, over: over.promise, cut: () => socket.destroy() };
}
