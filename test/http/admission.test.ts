/** How many requests there may be at a time and in a time, and what whoever asks for more is told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../src/adapters/random.ts";
import { createSecrets } from "../../src/adapters/secrets.ts";
import { type Grant, parseGrants } from "../../src/core/grants.ts";
import type { AccessDeps } from "../../src/http/door.ts";
import { Keys } from "../../src/node/keys.ts";
import type { AtollNode } from "../../src/node/node.ts";
import { RingKeys } from "../../src/node/ring-keys.ts";
import type { Clock } from "../../src/ports.ts";
import { basic, bearer, KEYS, presigned } from "../helpers/credentials.ts";
import { openMemoryNode } from "../helpers/memory-node.ts";

const FLY = { trustedProxy: { kind: "fly" } } as const;
const from = (address: string) => ({ headers: { "Fly-Client-IP": address } });

function withKeys({ documents }: AtollNode, clock: Clock): AccessDeps {
  const secrets = createSecrets();
  const configured = Object.values(KEYS).map(({ id, secret, grants }) => ({
    id,
    secret,
    grants: parseGrants(grants) as readonly Grant[],
  }));
  const ring = new RingKeys({ documents, secrets, random: createRandom(), clock });
  return { keys: new Keys({ secrets, configured, ring }), metricsAccess: "admin" };
}

async function codeOf(response: Response): Promise<string> {
  return (await response.json() as { code: string }).code;
}

test("more requests in a time than a client may send get 429, with how many and when; others' go on", async () => {
  using solo = await openMemoryNode({ ...FLY, ratePerClient: { quota: 2, windowMs: 60_000 } });
  const first = await solo.request("/abc/k", from("1.2.3.4"));
  assert.equal(first.status, 404);
  assert.equal(first.headers.get("ratelimit-policy"), '"client";q=2;w=60');
  assert.equal(first.headers.get("ratelimit"), '"client";r=1');
  assert.equal((await solo.request("/abc/k", from("1.2.3.4"))).status, 404);
  const refused = await solo.request("/abc/k", from("1.2.3.4"));
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get("retry-after"), "30");
  assert.equal(refused.headers.get("ratelimit"), '"client";r=0;t=30');
  assert.equal(await codeOf(refused), "too-many-requests");
  assert.equal((await solo.request("/abc/k", from("1.2.3.5"))).status, 404, "another client");
  assert.equal((await solo.request("/livez", from("1.2.3.4"))).status, 200, "probes are not counted");
  solo.pass(30_000);
  assert.equal((await solo.request("/abc/k", from("1.2.3.4"))).status, 404);
  const metrics = await (await solo.request("/metrics")).text();
  assert.match(metrics, /^atoll_limited_total\{limit="client-rate"\} 1$/m);
});

test("more requests at a time than a client may have get 429; when one has ended the next may come", async () => {
  using solo = await openMemoryNode({ ...FLY, maxConcurrentPerClient: 1 });
  let end!: () => void;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => void (end = () => controller.close()),
  });
  const slow = solo.app.request(
    "/abc/slow",
    { method: "PUT", body, duplex: "half", ...from("1.2.3.4") } as RequestInit,
  );
  const refused = await solo.request("/abc/k", from("1.2.3.4"));
  assert.deepEqual([refused.status, refused.headers.get("retry-after")], [429, "1"]);
  assert.equal(refused.headers.get("ratelimit"), '"client-concurrency";r=0;t=1');
  assert.equal((await solo.request("/abc/k", from("1.2.3.5"))).status, 404, "another client");
  end();
  assert.equal((await slow).status, 201);
  assert.equal((await solo.request("/abc/k", from("1.2.3.4"))).status, 404);
});

test("without limits of clients answers say nothing of them", async () => {
  using solo = await openMemoryNode();
  const { headers } = await solo.request("/abc/k");
  assert.equal(headers.get("ratelimit"), null);
});

test("what is at hand is answered however many are under way", async () => {
  using solo = await openMemoryNode({ maxConcurrentRequests: 1 });
  const stored = { method: "PUT", body: "x", headers: { "Cache-Control": "max-age=60" } };
  assert.equal((await solo.request("/abc/hot", stored)).status, 201);
  assert.equal(await (await solo.request("/abc/hot")).text(), "x");
  let end!: () => void;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => void (end = () => controller.close()),
  });
  const slow = solo.app.request("/abc/slow", { method: "PUT", body, duplex: "half" } as RequestInit);
  assert.equal((await solo.request("/abc/cold")).status, 503);
  assert.equal(await (await solo.request("/abc/hot")).text(), "x");
  end();
  assert.equal((await slow).status, 201);
});

test("who asks about the node is heard although it is full, so many at a time", async () => {
  using solo = await openMemoryNode({ maxConcurrentRequests: 1 });
  const bodies: ReadableStreamDefaultController<Uint8Array>[] = [];
  const held = () => new ReadableStream<Uint8Array>({ start: (controller) => void bodies.push(controller) });
  const put = async (target: string) =>
    await solo.app.request(target, { method: "PUT", body: held(), duplex: "half" } as RequestInit);
  const slow = put("/abc/slow");
  assert.equal((await solo.request("/abc/k", { method: "PUT", body: "x" })).status, 503);
  for (let i = 0; i < 40; i++) assert.equal((await solo.request("/_/ring")).status, 200, `${i}`);
  const settings = { method: "PUT", body: "{}" };
  assert.equal((await solo.request("/_/buckets/abc", settings)).status, 201);
  const waiting = Array.from({ length: 16 }, () => put("/_/buckets/abc"));
  assert.equal((await solo.request("/_/ring")).status, 503, "more than there are places for");
  for (const body of bodies.slice(1)) body.close();
  for (const answer of await Promise.all(waiting)) assert.equal(answer.status, 400);
  assert.equal((await solo.request("/_/ring")).status, 200);
  bodies[0]!.close();
  assert.equal((await slow).status, 201);
});

test("more requests in a time than a key may send get 429, whoever sends them; who has no key takes nothing from it", async () => {
  using solo = await openMemoryNode({
    ratePerKey: { quota: 2, windowMs: 60_000 },
    access: withKeys,
  });
  const as = (authorization: string) =>
    solo.request("/docs/k", { headers: { Authorization: authorization } });
  for (let i = 0; i < 5; i++) {
    assert.equal((await as(`Bearer ${KEYS.reader.id}.wrong-secret-0123456789`)).status, 401);
  }
  const first = await as(bearer(KEYS.reader));
  assert.equal(first.status, 404);
  assert.equal(first.headers.get("ratelimit"), '"key";r=1');
  assert.equal((await as(basic(KEYS.reader))).status, 404);
  const refused = await as(bearer(KEYS.reader));
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get("ratelimit-policy"), '"key";q=2;w=60');
  assert.equal((await as(bearer(KEYS.admin))).status, 404, "another key");
});

test("more requests at a time than a key may have get 429, however it is shown; when one has ended the next may come", async () => {
  using solo = await openMemoryNode({ maxConcurrentPerKey: 1, access: withKeys });
  const as = (authorization: string, init: RequestInit = {}) =>
    solo.request("/docs/k", { ...init, headers: { Authorization: authorization } });
  let end!: () => void;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => void (end = () => controller.close()),
  });
  const slow = as(bearer(KEYS.admin), { method: "PUT", body, duplex: "half" } as RequestInit);
  for (const authorization of [bearer(KEYS.admin), basic(KEYS.admin)]) {
    const refused = await as(authorization);
    assert.deepEqual([refused.status, refused.headers.get("retry-after")], [429, "1"]);
    assert.equal(refused.headers.get("ratelimit"), '"key-concurrency";r=0;t=1');
    assert.equal(await codeOf(refused), "too-many-requests");
  }
  const signed = await solo.request(presigned(KEYS.admin, "/docs/k"));
  assert.equal(signed.status, 429, "what its key signed counts for it");
  assert.equal((await as(bearer(KEYS.reader))).status, 404, "another key");
  assert.equal((await as(`Bearer ${KEYS.admin.id}.wrong-secret-0123456789`)).status, 401);
  end();
  assert.equal((await slow).status, 201);
  for (let i = 0; i < 3; i++) {
    assert.equal((await as(bearer(KEYS.admin))).status, 200, "what was refused left nothing");
  }
  const metrics = await solo.request("/metrics", { headers: { Authorization: bearer(KEYS.admin) } });
  assert.match(await metrics.text(), /^atoll_limited_total\{limit="key-concurrency"\} 3$/m);
});

test("whoever is turned away by one limit is told what is left of the others as well", async () => {
  using solo = await openMemoryNode({
    ...FLY,
    ratePerClient: { quota: 9, windowMs: 60_000 },
    ratePerKey: { quota: 1, windowMs: 60_000 },
    access: withKeys,
  });
  const headers = { ...from("1.2.3.4").headers, Authorization: bearer(KEYS.reader) };
  const fieldsOf = async () => {
    const answer = await solo.request("/docs/k", { headers });
    return [answer.status, answer.headers.get("ratelimit"), answer.headers.get("retry-after")];
  };
  assert.deepEqual(await fieldsOf(), [404, '"client";r=8, "key";r=0;t=60', null]);
  assert.deepEqual(await fieldsOf(), [429, '"client";r=7, "key";r=0;t=60', "60"]);
});

test("what is beyond a limit of size is counted by the limit's name", async () => {
  using solo = await openMemoryNode({ maxObjectBytes: 100 });
  const body = "x".repeat(100);
  const put = async (init: RequestInit) => (await solo.request("/abc/k", { method: "PUT", ...init })).status;
  assert.equal(await put({ body }), 201);
  assert.equal(await put({ body: `${body}x`, headers: { "Content-Length": "101" } }), 413);
  const unannounced = new Blob([body, "x"]).stream();
  assert.equal(await put({ body: unannounced, duplex: "half" } as RequestInit), 413);
  const ranges = (count: number) => Array.from({ length: count }, (_, i) => `${3 * i}-${3 * i}`).join(",");
  const read = async (range: string) =>
    (await solo.request("/abc/k", { headers: { Range: `bytes=${range}` } })).status;
  assert.deepEqual([await read(ranges(16)), await read(ranges(17)), await read("5-4")], [206, 200, 200]);
  for (
    const [target, status] of [["/abc?limit=1000", 200], ["/abc?limit=1001", 400], [
      "/?limit=9999",
      400,
    ]] as const
  ) {
    assert.equal((await solo.request(target)).status, status, target);
  }
  const metrics = await (await solo.request("/metrics")).text();
  for (const [limit, count] of [["object-size", 2], ["range-count", 1], ["listing-size", 2]] as const) {
    assert.match(metrics, new RegExp(`^atoll_limited_total\\{limit="${limit}"\\} ${count}$`, "m"), limit);
  }
});
