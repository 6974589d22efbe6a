import assert from "node:assert/strict";
import { it } from "node:test";
import { type MemoryNode, openMemoryNode } from "../helpers/memory-node.ts";

type Headers = Record<string, string>;

function put(solo: MemoryNode, bucket: string, settings: unknown, headers: Headers = {}): Promise<Response> {
  const body = typeof settings === "string" ? settings : JSON.stringify(settings);
  return solo.request(`/_/buckets/${bucket}`, { method: "PUT", body, headers });
}

async function store(solo: MemoryNode, target: string, headers: Headers = {}): Promise<void> {
  const answer = await solo.request(target, { method: "PUT", body: "x", headers });
  assert.ok(answer.ok, `${target} ${answer.status}`);
}

const ALL = {
  public: "read",
  cacheControl: "max-age=60, stale-if-error=600",
  ttl: 3600,
  origin: {
    url: "https://example.com/files",
    forward: ["x-device"],
    redirects: "pass",
    timeoutSeconds: 5,
    maxBytes: 1e9,
  },
  website: true,
  cors: [{ origins: ["*"], methods: ["GET"], headers: ["x-a"], expose: ["etag"], maxAgeSeconds: 60 }],
  quota: { bytes: 1e12, objects: 1_000_000 },
};

it("/_/buckets/{name} keeps settings, with compare-and-swap by ETag and by version", async () => {
  using solo = await openMemoryNode();
  assert.equal((await solo.request("/_/buckets/abc")).status, 404);
  assert.equal((await put(solo, "abc", ALL, { "If-Match": "*" })).status, 412);
  const made = await put(solo, "abc", ALL, { "If-None-Match": "*" });
  assert.deepEqual([made.status, made.headers.get("atoll-version")], [201, "1"]);
  assert.equal((await put(solo, "abc", {}, { "If-None-Match": "*" })).status, 412);
  const etag = made.headers.get("etag")!;
  const read = await solo.request("/_/buckets/abc");
  assert.deepEqual([read.status, read.headers.get("etag"), await read.json()], [200, etag, ALL]);
  const again = await solo.request("/_/buckets/abc", { headers: { "If-None-Match": etag } });
  assert.equal(again.status, 304);
  const changed = await put(solo, "abc", { ttl: 5 }, { "If-Match": etag });
  assert.deepEqual([changed.status, changed.headers.get("atoll-version")], [200, "2"]);
  assert.equal((await put(solo, "abc", { ttl: 6 }, { "If-Match": etag })).status, 412);
  assert.equal((await put(solo, "abc", { ttl: 6 }, { "Atoll-If-Version": "1" })).status, 412);
  assert.deepEqual(await (await solo.request("/_/buckets/abc")).json(), { ttl: 5 });
  const remove = (headers: Headers) => solo.request("/_/buckets/abc", { method: "DELETE", headers });
  assert.equal((await remove({ "Atoll-If-Version": "1" })).status, 412);
  assert.equal((await remove({ "Atoll-If-Version": "2" })).status, 204);
  assert.equal((await solo.request("/_/buckets/abc")).status, 404);
});

it("GET /_/buckets lists what is set, page by page, and is no list of the buckets that hold objects", async () => {
  using solo = await openMemoryNode();
  await store(solo, "/full/k");
  for (const bucket of ["aaa", "bbb", "ccc"]) await put(solo, bucket, { website: bucket === "bbb" });
  const first = await (await solo.request("/_/buckets?limit=2")).json();
  assert.deepEqual(first, {
    buckets: [
      { name: "aaa", version: 1, settings: { website: false } },
      { name: "bbb", version: 1, settings: { website: true } },
    ],
    next: "bbb",
  });
  const names = async (query: string) => {
    const page = await (await solo.request(`/_/buckets?${query}`)).json() as { buckets: { name: string }[] };
    return page.buckets.map(({ name }) => name);
  };
  assert.deepEqual(await names("after=bbb"), ["ccc"]);
  assert.deepEqual(await names("prefix=b"), ["bbb"]);
  assert.deepEqual(await (await solo.request("/")).json(), { buckets: [{ name: "full" }], next: null });
});

it("/_/buckets says what was wrong with settings, and keeps nothing of them", async () => {
  using solo = await openMemoryNode();
  const cases: readonly (readonly [bucket: string, settings: unknown, status: number, code: string])[] = [
    ["abc", "{", 400, "invalid-argument"],
    ["abc", [], 400, "invalid-argument"],
    ["abc", { colour: "blue" }, 400, "invalid-argument"],
    ["abc", { public: "write" }, 400, "invalid-argument"],
    ["abc", { ttl: 0 }, 400, "invalid-argument"],
    ["abc", { ttl: "60" }, 400, "invalid-argument"],
    ["abc", { cacheControl: "" }, 400, "invalid-argument"],
    ["abc", { cacheControl: "a\r\nSet-Cookie: x" }, 400, "invalid-argument"],
    ["abc", { origin: {} }, 400, "invalid-argument"],
    ["abc", { origin: { url: "ftp://example.com" } }, 400, "invalid-argument"],
    ["abc", { origin: { url: "https://me:secret@example.com" } }, 400, "invalid-argument"],
    ["abc", { origin: { url: "https://example.com/?a=b" } }, 400, "invalid-argument"],
    ["abc", { origin: { url: "https://example.com", forward: ["Host"] } }, 400, "invalid-argument"],
    ["abc", { origin: { url: "https://example.com", forward: ["a b"] } }, 400, "invalid-argument"],
    ["abc", { cors: [{ origins: [], methods: ["GET"] }] }, 400, "invalid-argument"],
    ["abc", { quota: { bytes: -1 } }, 400, "invalid-argument"],
    ["abc", { cacheControl: "x".repeat(100_000) }, 413, "too-large"],
    ["_", {}, 400, "invalid-bucket"],
    ["A", {}, 400, "invalid-bucket"],
    ["", {}, 400, "invalid-bucket"],
    ["abc%2Fdef", {}, 400, "invalid-bucket"],
  ];
  for (const [bucket, settings, status, code] of cases) {
    const answer = await put(solo, bucket, settings);
    const { code: got } = await answer.json() as { code: string };
    assert.deepEqual([answer.status, got], [status, code], JSON.stringify(settings).slice(0, 80));
  }
  assert.deepEqual(await (await solo.request("/_/buckets")).json(), { buckets: [], next: null });
  const wrong = await solo.request("/_/buckets/abc", { method: "POST", body: "{}" });
  assert.deepEqual([wrong.status, wrong.headers.get("allow")], [405, "GET, HEAD, PUT, DELETE, OPTIONS"]);
});

it("a bucket's cacheControl and ttl count for objects that come without their own", async () => {
  using solo = await openMemoryNode();
  await put(solo, "abc", { cacheControl: "max-age=60", ttl: 100 });
  const expires = "Thu, 01 Jan 2099 00:00:00 GMT";
  const cases: readonly (readonly [key: string, headers: Headers, cacheControl: string | null])[] = [
    ["plain", {}, "max-age=60"],
    ["own", { "Cache-Control": "max-age=5" }, "max-age=5"],
    ["dated", { Expires: expires }, null],
    ["lives", { "Atoll-TTL": "1000" }, "max-age=60"],
  ];
  for (const [key, headers, cacheControl] of cases) {
    await store(solo, `/abc/${key}`, headers);
    const answer = await solo.request(`/abc/${key}`);
    assert.equal(answer.headers.get("cache-control"), cacheControl, key);
  }
  await store(solo, "/other/plain");
  solo.pass(101_000);
  const statuses: Record<string, number> = {};
  for (const target of ["/abc/plain", "/abc/own", "/abc/lives", "/other/plain"]) {
    statuses[target] = (await solo.request(target)).status;
  }
  assert.deepEqual(statuses, { "/abc/plain": 404, "/abc/own": 404, "/abc/lives": 200, "/other/plain": 200 });
  await put(solo, "abc", {});
  await store(solo, "/abc/later");
  assert.equal((await solo.request("/abc/later")).headers.get("cache-control"), "no-cache");
});
