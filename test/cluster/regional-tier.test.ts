/**
 * Two nodes of one region that is far from all replicas: what they read crosses to it once, and neither needs the other. The
 * nodes are real, and the way between the regions takes its time.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { type AtollRing, startRing } from "../helpers/atoll-ring.ts";
import { until } from "../helpers/deadline.ts";
import { ask, metricOf, put } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const HOME = [0, 1, 2];
const EDGE = [3, 4];
/** One way. Three round trips are far more than a busy machine makes of what is quick. */
const FAR_MS = 120;
const DEADLINE_MS = 60_000;
const CHUNKS = 6;
const SIZE = (CHUNKS - 1) * (1 << 20) + 77;

const directory = temporaryDirectory();
let ring: AtollRing;

before(async () => {
  ring = await startRing({
    directory: directory.path,
    runtimes: [HERE, THERE, HERE, THERE, HERE],
    relaySeed: 1,
    // A zone for each, so that some objects have all their replicas at home.
    envOf: (index) => ({ ATOLL_REGION: EDGE.includes(index) ? "edge" : "home", ATOLL_ZONE: `zone-${index}` }),
  });
  ring.relay!.setBetween(HOME, EDGE, { delayMs: FAR_MS });
  for (const { publicUrl, lines } of ring.nodes) {
    const sees = async () => await metricOf(publicUrl, "atoll_peers_alive") === 4;
    await until(`${publicUrl} sees all others`, DEADLINE_MS, sees, lines);
  }
  await until("the way between the regions was measured", DEADLINE_MS, async () => {
    const { replicas } = await routeOf(edge(0), await keyAtHome());
    return replicas.every(({ rttMs }) => rttMs !== null && rttMs > FAR_MS);
  });
});
after(async () => {
  await ring?.[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

interface Route {
  readonly replicas: readonly { readonly region: string; readonly rttMs: number | null }[];
}

const edge = (n: number): string => ring.nodes[EDGE[n]!]!.publicUrl;

async function routeOf(url: string, target: string): Promise<Route> {
  const { status, body } = await ask(`${url}/_/route${target}`);
  assert.equal(status, 200, String(body));
  return JSON.parse(String(body)) as Route;
}

let tried = 0;
/** A new one, without a replica at the edge. */
async function keyAtHome(): Promise<string> {
  for (;;) {
    const target = `/region/key-${tried++}`;
    const { replicas } = await routeOf(edge(0), target);
    if (replicas.every(({ region }) => region === "home")) return target;
  }
}

/** Stored at home, by all replicas. */
async function stored(content: Buffer): Promise<string> {
  const target = await keyAtHome();
  const { status, body } = await put(ring.nodes[0]!.publicUrl + target, content, { deadlineMs: DEADLINE_MS });
  assert.equal(status, 201, String(body));
  return target;
}

async function reads(n: number, target: string, content: Buffer) {
  const reply = await ask(edge(n) + target, { deadlineMs: DEADLINE_MS });
  assert.ok(reply.status === 200 && reply.body.equals(content), `${target} at ${edge(n)}: ${reply.status}`);
  return reply.headers;
}

/** Of chunks to the region, and questions that were put because somebody was late, which this machine may be. */
async function crossings(): Promise<{ crossed: number; hedged: number }> {
  const of = async (name: string) =>
    (await Promise.all(EDGE.map((_, n) => metricOf(edge(n), name)))).reduce((sum, count) => sum + count, 0);
  return {
    crossed: await of('atoll_chunks_received_total{region="other"}'),
    hedged: await of("atoll_chunk_hedges_total"),
  };
}

/** What is late may come from two. */
async function crossedOnce(chunks: number, before: Awaited<ReturnType<typeof crossings>>): Promise<void> {
  const { crossed, hedged } = await crossings();
  const count = crossed - before.crossed;
  const late = hedged - before.hedged;
  assert.ok(count >= chunks && count <= chunks + late, `${count} of ${chunks} chunks crossed, ${late} late`);
}

test("each chunk crosses to the region once, whoever of its nodes is asked, at once and again and again", async (t) => {
  const before = await crossings();
  const content = randomBytes(SIZE);
  const target = await stored(content);
  const first = await Promise.all([0, 1, 0, 1].map((n) => reads(n, target, content)));
  for (const n of [1, 0, 1, 0]) await reads(n, target, content);
  await crossedOnce(CHUNKS, before);
  const given = await Promise.all(EDGE.map((_, n) => metricOf(edge(n), "atoll_chunk_region_reads_total")));
  t.diagnostic(`chunks given to the other: ${given.join(" and ")}`);
  assert.ok(given[0]! + given[1]! >= CHUNKS, "they gave each other what they had");
  const statuses = first.map((headers) => headers["cache-status"]);
  assert.ok(statuses.some((status) => status?.includes("for this region")), statuses.join("\n"));
  const timings = first.map((headers) => headers["server-timing"] ?? "");
  const ofRegion = /^ask;dur=\d+\.\d\d, region;dur=\d+\.\d\d;desc="node-[de]-\d+"$/;
  assert.ok(timings.some((timing) => ofRegion.test(timing)), timings.join("\n"));
});

test("small objects cross once, too", async () => {
  const before = await crossings();
  const contents = Array.from({ length: 8 }, () => randomBytes(20_000));
  const targets: string[] = [];
  for (const content of contents) targets.push(await stored(content));
  for (const n of [0, 1, 0]) {
    await Promise.all(targets.map((target, i) => reads(n, target, contents[i]!)));
  }
  await crossedOnce(contents.length, before);
});

test("with one of the region's nodes hanging, and then dead, the other reads on", async (t) => {
  const paused = ring.nodes[EDGE[1]!]!;
  const contents = Array.from({ length: 2 }, () => randomBytes(SIZE));
  const targets = [await stored(contents[0]!), await stored(contents[1]!)];
  paused.pause();
  try {
    const begunMs = performance.now();
    await reads(0, targets[0]!, contents[0]!);
    const tookMs = performance.now() - begunMs;
    t.diagnostic(`${CHUNKS} chunks while the other hangs: ${tookMs.toFixed(0)} ms`);
    assert.ok(tookMs < 10_000, `${tookMs} ms`);
  } finally {
    await paused.kill("SIGKILL");
  }
  await reads(0, targets[1]!, contents[1]!);
  await ring.restart(EDGE[1]!);
  for (const n of [0, 1]) await reads(n, targets[1]!, contents[1]!);
});
