/**
 * `npm run bench:readers`: so many readers ask a cold node for one large object at once. Some read all of it, the others take
 * their first bytes and then next to nothing; one of the quick ones leaves in the middle. `--readers N --quick N --mib N
 * --delay MS --runtime node|deno`; the delay is that of the way between the nodes, in each direction.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Runtime, startNode } from "../helpers/atoll-process.ts";
import { startRing } from "../helpers/atoll-ring.ts";
import { until } from "../helpers/deadline.ts";
import { ask, metricOf, put } from "../helpers/raw-http.ts";
import { bundle } from "../tools/bundle.ts";
import { PROJECT } from "../tools/project.ts";
import { ANSWER_HEADERS } from "./answer-headers.ts";
import { crowd, read } from "./crowd.ts";

const DEADLINE_MS = 300_000;
const NODES = [0, 1, 2, 3];
/** No replica, and nothing in its caches. */
const COLD = 3;
/** As much as the slow readers take. */
const FLOOR_BYTES = 64 << 10;

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

const keys: string[] = [];
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
  const single = read(cold.publicUrl, keys[0]!, "quick");
  const [alone, { tookMs: aloneMs }] = await Promise.all([single.first, single.over]);
  const aloneBytes = cold.memory().peakBytes;
  const before = await counts(cold.publicUrl);
  let peakBytes = 0;
  const watching = setInterval(() => peakBytes = Math.max(peakBytes, cold.memory().rssBytes), 100);
  const { firsts, wholes } = await crowd(cold.publicUrl, keys[1]!, { readers, quick });
  clearInterval(watching);
  const [fetched, hedged] = (await counts(cold.publicUrl)).map((count, i) => count - before[i]!) as [
    number,
    number,
  ];
  const bare = await floor(new Uint8Array(FLOOR_BYTES));
  const good = wholes.filter((whole) => whole.sha256 === sha256).length;
  const steps = new Set(firsts.flatMap((first) => [...first.steps.keys()]));
  const rows: readonly (readonly [string, string])[] = [
    ["readers, of them quick, on", `${readers}, ${quick}, ${runtime}`],
    ["object; way between nodes", `${mib} MiB; ${2 * delayMs} ms there and back`],
    ["chunks in the object", String(mib)],
    ["chunks that came over the network, questions put twice", `${fetched}, ${hedged}`],
    ["readers that were refused", String(readers - firsts.length)],
    ["quick readers that had all of it, and right", `${good} of ${quick}`],
    ["one reader alone: first byte, all", `${ms(alone.tookMs)}, ${ms(aloneMs)}`],
    ["all readers: first byte p50, p99, last", spread(firsts.map(({ tookMs }) => tookMs))],
    ["the same of a bare handler with 64 KiB in memory", spread(bare)],
    ["times that of the bare handler, p50, last", ratios(firsts.map(({ tookMs }) => tookMs), bare)],
    ["of that until the connection was taken", spread(firsts.map(({ connectedMs }) => connectedMs))],
    ...[...steps].map((step): [string, string] => [
      `of that the node's step ${step}`,
      spread(firsts.flatMap((first) => first.steps.get(step) ?? [])),
    ]),
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

/** First bytes, ms, of as many readers of a server that has them in memory and nothing to find out: what this machine can do. */
async function floor(content: Uint8Array<ArrayBuffer>): Promise<number[]> {
  await using bare = await startNode({
    runtime,
    dataDir: directory,
    entry: join(PROJECT, "test", "bench", "bare-handler.ts"),
    until: "listening",
  });
  const response = await fetch(bare.publicUrl + keys[0]!, {
    method: "PUT",
    body: content,
    headers: { [ANSWER_HEADERS]: "{}" },
  });
  if (response.status !== 201) throw new Error(`PUT to the bare handler: ${response.status}`);
  await read(bare.publicUrl, keys[0]!, "quick").over;
  const { firsts } = await crowd(bare.publicUrl, keys[0]!, { readers, quick });
  return firsts.map(({ tookMs }) => tookMs);
}

function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(q * sorted.length) - 1] ?? NaN;
}

function spread(values: readonly number[]): string {
  return [0.5, 0.99, 1].map((q) => ms(quantile(values, q))).join(", ");
}

function ratios(ours: readonly number[], theirs: readonly number[]): string {
  return [0.5, 1].map((q) => (quantile(ours, q) / quantile(theirs, q)).toFixed(2)).join(", ");
}

function ms(value: number): string {
  return `${value.toFixed(0)} ms`;
}

function mibOf(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}
