/** POST /_/prewarm and atoll prewarm, in a real ring of two regions: afterwards nothing crosses any more. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { type AtollRing, startRing } from "../helpers/atoll-ring.ts";
import { until } from "../helpers/deadline.ts";
import { ask, codeOf, metricOf, put, RawHttp } from "../helpers/raw-http.ts";
import { HERE, runAtoll, THERE } from "../helpers/raw-start.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const EDGE = [3, 4];
const DEADLINE_MS = 30_000;
const CHUNK_BYTES = 1 << 20;
const SIZES = [3 * CHUNK_BYTES, 70_000, CHUNK_BYTES + 9];
const ALL_BYTES = SIZES.reduce((sum, size) => sum + size, 0);
const ALL_CHUNKS = 6;

const directory = temporaryDirectory();
let ring: AtollRing;

before(async () => {
  ring = await startRing({
    directory: directory.path,
    runtimes: [HERE, THERE, HERE, THERE, HERE],
    envOf: (index) => ({ ATOLL_REGION: EDGE.includes(index) ? "edge" : "home", ATOLL_ZONE: `zone-${index}` }),
  });
  for (const { publicUrl, lines } of ring.nodes) {
    const sees = async () => await metricOf(publicUrl, "atoll_peers_alive") === 4;
    await until(`${publicUrl} sees all others`, DEADLINE_MS, sees, lines);
  }
});
after(async () => {
  await ring?.[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

const home = () => ring.nodes[0]!.publicUrl;
const edge = (n: number): string => ring.nodes[EDGE[n]!]!.publicUrl;

/** Objects below `prefix` of which the edge is no replica. */
async function stored(prefix: string): Promise<Map<string, Buffer>> {
  const contents = new Map<string, Buffer>();
  for (let n = 0; contents.size < SIZES.length; n++) {
    const key = `${prefix}/key-${n}`;
    const { body } = await ask(`${edge(0)}/_/route/warm/${key}`);
    const { replicas } = JSON.parse(String(body)) as { replicas: { region: string }[] };
    if (replicas.some(({ region }) => region === "edge")) continue;
    const content = randomBytes(SIZES[contents.size]!);
    assert.equal((await put(`${home()}/warm/${key}`, content)).status, 201);
    contents.set(key, content);
  }
  return contents;
}

/** Of chunks to the region, less those that may have come from two, as somebody was late: which this machine may be. */
async function crossings(): Promise<{ most: number; least: number }> {
  const of = async (name: string) =>
    (await Promise.all(EDGE.map((_, n) => metricOf(edge(n), name)))).reduce((sum, count) => sum + count, 0);
  const most = await of('atoll_chunks_received_total{region="other"}');
  return { most, least: most - await of("atoll_chunk_hedges_total") };
}

async function readAll(contents: ReadonlyMap<string, Buffer>): Promise<void> {
  for (const n of [0, 1]) {
    for (const [key, content] of contents) {
      const { status, body } = await ask(`${edge(n)}/warm/${key}`, { deadlineMs: DEADLINE_MS });
      assert.ok(status === 200 && body.equals(content), `${key}: ${status}`);
    }
  }
}

interface Line {
  readonly done: boolean;
  readonly complete?: boolean;
  readonly objects: number;
  readonly missing: number;
  readonly bytes: number;
  readonly failed: number;
  readonly nodes: readonly { node: string; chunks: number; bytes: number; failed: number }[];
}

async function prewarm(url: string, document: unknown): Promise<Line[]> {
  const { status, body } = await ask(`${url}/_/prewarm`, {
    method: "POST",
    body: JSON.stringify(document),
    deadlineMs: DEADLINE_MS,
  });
  assert.equal(status, 200, String(body));
  // As it came, in chunks: what is JSON in it are the lines.
  return String(body).split("\n").filter((line) => line.startsWith("{")).map((line) =>
    JSON.parse(line) as Line
  );
}

test("a region is prewarmed from afar, each chunk at its keeper; then nothing crosses any more", async () => {
  const contents = await stored("afar");
  const lines = await prewarm(home(), { bucket: "warm", prefix: "afar/", region: "edge" });
  const last = lines.at(-1)!;
  assert.deepEqual([lines[0]!.done, last.done, last.complete, last.failed], [false, true, true, 0]);
  assert.deepEqual([last.objects, last.missing, last.bytes], [SIZES.length, 0, ALL_BYTES]);
  assert.ok(last.nodes.every(({ node }) => EDGE.some((index) => ring.nodes[index]!.nodeId === node)));
  assert.equal(last.nodes.reduce((sum, { chunks }) => sum + chunks, 0), ALL_CHUNKS);
  const before = await crossings();
  assert.ok(before.least <= ALL_CHUNKS && before.most >= ALL_CHUNKS, JSON.stringify(before));
  await readAll(contents);
  assert.equal((await crossings()).most, before.most);
});

test("the command line prewarms keys and prefixes in the region of the node it asks, and says what was missing", async () => {
  const contents = await stored("here");
  const keys = [...contents.keys()].map((key) => `warm/${key}`);
  const asked = await runAtoll(HERE, {}, ["--url", edge(0), "--json", "prewarm", ...keys, "warm/none"], {
    deadlineMs: DEADLINE_MS,
  });
  assert.equal(asked.code, 3, asked.stderr);
  const result = JSON.parse(asked.stdout) as Line & { command: string };
  assert.deepEqual([result.command, result.objects, result.missing, result.bytes], [
    "prewarm",
    SIZES.length + 1,
    1,
    ALL_BYTES,
  ]);
  const before = await crossings();
  const again = await runAtoll(THERE, {}, ["--url", edge(1), "prewarm", "--recursive", "warm/here/"], {
    deadlineMs: DEADLINE_MS,
  });
  assert.equal(again.code, 0, again.stderr);
  assert.match(again.stdout, /^warm\/here\/ {2}3 objects, 4\.\d+ MiB\n/);
  await readAll(contents);
  assert.equal((await crossings()).most, before.most);
});

test("a prewarm ends when nobody listens any more", async () => {
  const contents = await stored("left");
  const keys = Array.from({ length: 20_000 }, (_, n) => `none-${n}`);
  const connection = await RawHttp.open(home());
  const document = JSON.stringify({ bucket: "warm", keys: [...keys, ...contents.keys()], region: "edge" });
  connection.head("POST", "/_/prewarm", { "Content-Length": String(document.length) });
  connection.write(Buffer.from(document));
  await until("it reads for the prewarm", DEADLINE_MS, async () => await reads() > 100);
  connection.cut();
  let [then, now] = [-1, await reads()];
  await until("it reads no more", DEADLINE_MS, async () => {
    [then, now] = [now, await reads()];
    return then === now;
  });
  assert.ok(now < keys.length, `${now} reads`);
});

async function reads(): Promise<number> {
  return await metricOf(home(), "atoll_strong_reads_total");
}

test("what makes no sense is refused before anything is loaded", async () => {
  const cases = [
    [{ bucket: "warm" }, "invalid-argument"],
    [{ bucket: "warm", prefix: "", region: "nowhere" }, "invalid-argument"],
    [{ bucket: "Warm", prefix: "" }, "invalid-bucket"],
    [{ bucket: "warm", keys: [""] }, "invalid-key"],
    [{ bucket: "warm", keys: ["a"], soft: true }, "invalid-argument"],
  ] as const;
  for (const [document, code] of cases) {
    const reply = await ask(`${home()}/_/prewarm`, { method: "POST", body: JSON.stringify(document) });
    assert.deepEqual([reply.status, codeOf(reply)], [400, code], JSON.stringify(document));
  }
  const { status, headers } = await ask(`${home()}/_/prewarm`);
  assert.deepEqual([status, headers["allow"]], [405, "POST, OPTIONS"]);
});
