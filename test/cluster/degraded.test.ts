/** A node whose peers hang: it serves what may be served without them, marked; all else is 503 at once; and so is the way back. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { type AtollRing, startRing } from "../helpers/atoll-ring.ts";
import { until } from "../helpers/deadline.ts";
import { ask, type Asking, codeOf, metricOf, put, type Reply } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const DEADLINE_MS = 30_000;
/** Less than the time of any question, and much for a machine that has other things to do. */
const AT_ONCE_MS = 1_500;
const ROUNDS = 3;

const CONTENT = randomBytes(2_000);
const POLICIES = {
  sie: "max-age=1, stale-if-error=600",
  plain: "max-age=1",
  must: "max-age=1, must-revalidate, stale-if-error=600",
  fresh: "max-age=600",
  none: undefined,
} as const;

const directory = temporaryDirectory();
let ring: AtollRing;

before(async () => {
  ring = await startRing({ directory: directory.path, runtimes: [HERE, THERE, HERE] });
  for (const [key, policy] of Object.entries(POLICIES)) {
    const headers = policy === undefined ? {} : { "Cache-Control": policy };
    const { status } = await put(url(key), CONTENT, { headers });
    assert.equal(status, 201);
    assert.equal((await ask(url(key))).status, 200);
  }
  await until("what was fresh for a second is stale", DEADLINE_MS, async () => {
    const { status } = await ask(url("plain"), { headers: { "Cache-Control": "only-if-cached" } });
    return status === 504;
  });
  for (const peer of peers()) peer.pause();
  const seesNobody = async () => await metricOf(node().publicUrl, "atoll_peers_alive") === 0;
  await until("both are known to hang", DEADLINE_MS, seesNobody, node().lines);
});
after(async () => {
  await ring?.[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

const node = () => ring.nodes[0]!;
const peers = () => [ring.nodes[1]!, ring.nodes[2]!];
const url = (key: string): string => `${node().publicUrl}/degraded/${key}`;

async function atOnce(asked: () => Promise<Reply>, what: string): Promise<Reply> {
  const begunMs = performance.now();
  const reply = await asked();
  const tookMs = performance.now() - begunMs;
  assert.ok(tookMs < AT_ONCE_MS, `${what} took ${tookMs.toFixed(0)} ms`);
  return reply;
}

async function served(key: string, cacheStatus: RegExp, asking: Asking = {}): Promise<void> {
  const reply = await atOnce(() => ask(url(key), asking), key);
  assert.ok(reply.status === 200 && reply.body.equals(CONTENT), `${key}: ${reply.status}`);
  assert.match(reply.headers["cache-status"] ?? "", cacheStatus);
  assert.equal(reply.headers["warning"], undefined);
}

async function refused(asked: () => Promise<Reply>, what: string): Promise<void> {
  const reply = await atOnce(asked, what);
  assert.deepEqual([reply.status, codeOf(reply)], [503, "no-quorum"], what);
  assert.match(reply.headers["retry-after"] ?? "", /^\d+$/);
}

const maxStale = { headers: { "Cache-Control": "max-stale=600" } };

test("what stale-if-error allows is served, and says by how much it is stale", async () => {
  for (let round = 0; round < ROUNDS; round++) await served("sie", /^atoll; hit; ttl=-\d+/);
  await served("fresh", /^atoll; hit; ttl=\d+/);
});

test("what the request allows is served, unless the object forbids it", async () => {
  await served("plain", /^atoll; hit; ttl=-\d+/, maxStale);
  await served("plain", /^atoll; hit; ttl=-\d+/, { headers: { "Cache-Control": "stale-if-error=600" } });
  await refused(() => ask(url("must"), maxStale), "must-revalidate");
  await refused(() => ask(url("none"), maxStale), "an object without freshness");
  await refused(() => ask(url("sie"), { headers: { "Cache-Control": "no-cache" } }), "no-cache");
});

test("everything else is 503 at once, many at a time, reads and writes", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    await Promise.all([
      ...Array.from({ length: 20 }, (_, n) => refused(() => ask(url(`never-there-${n}`)), "a read")),
      refused(() => ask(url("plain")), "a stale object"),
      refused(() => put(url("new"), "small"), "a small write"),
      refused(() => put(url("large"), randomBytes(1_500_000)), "a large write"),
      refused(() => ask(url("none"), { method: "DELETE" }), "a delete"),
    ]);
  }
});

test("with the others back nothing is stale any more, at once", async () => {
  for (const peer of peers()) peer.resume();
  // A second until the next look, or ping.
  const begunMs = performance.now();
  const reads = async () => (await ask(url("none"))).status === 200;
  await until("a strong read goes well", DEADLINE_MS, reads, node().lines);
  const tookMs = performance.now() - begunMs;
  assert.ok(tookMs < 3_000, `${tookMs.toFixed(0)} ms`);
  const changed = randomBytes(100);
  assert.equal((await put(`${peers()[0]!.publicUrl}/degraded/sie`, changed)).status, 200);
  const { status, body } = await ask(url("sie"));
  assert.ok(status === 200 && body.equals(changed));
});
