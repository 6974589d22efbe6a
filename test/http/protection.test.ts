/** What browsers are told of answers: what they must not do with them, and who may read them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BucketSettings } from "../../src/core/bucket-settings.ts";
import { type MemoryNode, openMemoryNode } from "../helpers/memory-node.ts";

async function settle(solo: MemoryNode, bucket: string, settings: BucketSettings): Promise<void> {
  const put = {
    method: "PUT",
    body: JSON.stringify(settings),
    headers: { "Content-Type": "application/json" },
  };
  const { status } = await solo.request(`/_/buckets/${bucket}`, put);
  assert.ok(status === 200 || status === 201, `wanted the settings taken, got ${status}`);
}

async function store(solo: MemoryNode, path: string, contentType: string): Promise<void> {
  const put = { method: "PUT", body: "<script>1</script>", headers: { "Content-Type": contentType } };
  assert.equal((await solo.request(path, put)).status, 201);
}

async function headersOf(solo: MemoryNode, path: string, init: RequestInit = {}): Promise<Headers> {
  const response = await solo.request(path, init);
  await response.text();
  return response.headers;
}

test("no answer's type may be guessed at", async () => {
  using solo = await openMemoryNode();
  await store(solo, "/abc/page.html", "text/html");
  const asked: readonly (readonly [string, RequestInit?])[] = [
    ["/abc/page.html"],
    ["/abc/page.html", { method: "HEAD" }],
    ["/abc/page.html", { headers: { "If-None-Match": "*" } }],
    ["/abc/page.html", { headers: { Range: "bytes=0-1" } }],
    ["/abc/page.html", { headers: { Range: "bytes=0-1,4-5" } }],
    ["/abc/page.html", { headers: { Range: "bytes=900-" } }],
    ["/abc/page.html", { method: "PUT", body: "x" }],
    ["/abc/page.html", { method: "OPTIONS" }],
    ["/abc/page.html", { method: "PATCH" }],
    ["/abc/none", { method: "DELETE" }],
    ["/abc/none"],
    ["/abc"],
    ["/abc?limit=x"],
    ["/"],
    ["/%"],
    ["/livez"],
    ["/readyz"],
    ["/metrics"],
    ["/_/ring"],
    ["/_/nothing"],
  ];
  for (const [path, init] of asked) {
    const headers = await headersOf(solo, path, init);
    assert.equal(headers.get("x-content-type-options"), "nosniff", JSON.stringify([path, init]));
  }
});

test("what could run in a browser is sandboxed, unless its bucket is a web site", async () => {
  using solo = await openMemoryNode();
  const active = [
    "text/html",
    "TEXT/HTML; charset=utf-8",
    "image/svg+xml",
    "application/xhtml+xml",
    "text/xml",
  ];
  for (const [i, type] of active.entries()) {
    await store(solo, `/abc/${i}`, type);
    for (
      const init of [{}, { method: "HEAD" }, { headers: { Range: "bytes=0-1,4-5" } }, {
        headers: { "If-None-Match": "*" },
      }]
    ) {
      const policy = (await headersOf(solo, `/abc/${i}`, init)).get("content-security-policy");
      assert.match(policy ?? "", /^sandbox; default-src 'none';/, `${type} ${JSON.stringify(init)}`);
    }
  }
  for (const type of ["image/png", "application/json", "text/plain"]) {
    await store(solo, "/abc/passive", type).catch(() => {});
    await solo.request("/abc/passive", { method: "PUT", body: "x", headers: { "Content-Type": type } });
    assert.equal((await headersOf(solo, "/abc/passive")).get("content-security-policy"), null, type);
  }
  await settle(solo, "site", { website: true });
  await store(solo, "/site/index.html", "text/html");
  const headers = await headersOf(solo, "/site/index.html");
  assert.equal(headers.get("content-security-policy"), null);
  assert.equal(headers.get("x-content-type-options"), "nosniff");
  assert.match((await headersOf(solo, "/abc/0")).get("content-security-policy") ?? "", /sandbox/);
});

const SHOP = "https://shop.example";
const RULES: BucketSettings = {
  cors: [
    {
      origins: [SHOP],
      methods: ["GET", "PUT"],
      headers: ["content-type", "atoll-ttl"],
      expose: ["ETag"],
      maxAgeSeconds: 600,
    },
    { origins: ["*"], methods: ["GET"], headers: ["*"] },
  ],
};

/** Access-Control-Allow-Origin, -Methods, -Headers, -Max-Age and -Expose-Headers. */
function allowances(headers: Headers): (string | null)[] {
  return ["allow-origin", "allow-methods", "allow-headers", "max-age", "expose-headers"]
    .map((name) => headers.get(`access-control-${name}`));
}

const NOTHING = [null, null, null, null, null];

test("without rules no other origin may read anything", async () => {
  using solo = await openMemoryNode();
  await store(solo, "/abc/k", "text/plain");
  const headers = await headersOf(solo, "/abc/k", { headers: { Origin: SHOP } });
  assert.deepEqual([allowances(headers), headers.get("vary")], [NOTHING, null]);
  const preflight = { method: "OPTIONS", headers: { Origin: SHOP, "Access-Control-Request-Method": "PUT" } };
  assert.deepEqual(allowances(await headersOf(solo, "/abc/k", preflight)), NOTHING);
});

test("an origin that a rule names may read, errors too, and what it gets is not for others", async () => {
  using solo = await openMemoryNode();
  await settle(solo, "abc", RULES);
  await store(solo, "/abc/k", "text/plain");
  for (const path of ["/abc/k", "/abc/none", "/abc", "/abc?limit=x"]) {
    const headers = await headersOf(solo, path, { headers: { Origin: SHOP } });
    assert.deepEqual(
      [headers.get("vary"), allowances(headers)],
      ["Origin", [SHOP, null, null, null, "ETag"]],
      path,
    );
  }
  const stranger = await headersOf(solo, "/abc/k", { headers: { Origin: "https://other.example" } });
  assert.deepEqual([stranger.get("vary"), allowances(stranger)], ["Origin", ["*", null, null, null, null]]);
  const nobody = await headersOf(solo, "/abc/k");
  assert.deepEqual(
    [nobody.get("vary"), allowances(nobody)],
    ["Origin", NOTHING],
    "caches must tell them apart",
  );
  const put = { method: "PUT", body: "x", headers: { Origin: "https://other.example" } };
  assert.deepEqual(
    allowances(await headersOf(solo, "/abc/k", put)),
    NOTHING,
    "its answer is not for that origin",
  );
  for (
    const forged of [
      "null",
      "https://shop.example.evil.example",
      "https://SHOP.example",
      "http://shop.example",
    ]
  ) {
    const headers = await headersOf(solo, "/abc/k", { headers: { Origin: forged } });
    assert.notEqual(headers.get("access-control-allow-origin"), forged, forged);
  }
  assert.equal(
    (await headersOf(solo, "/abc/k", { headers: { Origin: SHOP } })).get("access-control-allow-credentials"),
    null,
  );
});

test("what memory answers is as readable when the bucket's rules are not at hand any more", async () => {
  using solo = await openMemoryNode();
  await settle(solo, "abc", RULES);
  const put = { method: "PUT", body: "x", headers: { "Cache-Control": "max-age=600" } };
  assert.equal((await solo.request("/abc/k", put)).status, 201);
  await headersOf(solo, "/abc/k");
  for (const [range, status] of [["bytes=900-", 416], ["bytes=0-0", 206]] as const) {
    solo.pass(6_000);
    const response = await solo.request("/abc/k", { headers: { Origin: SHOP, Range: range } });
    assert.deepEqual([response.status, response.headers.get("access-control-allow-origin")], [status, SHOP]);
  }
});

/** Origin, method, headers asked for; what is allowed. */
const PREFLIGHTS: readonly (readonly [string, string, string | undefined, (string | null)[]])[] = [
  [SHOP, "PUT", "Content-Type, Atoll-TTL", [SHOP, "PUT", "content-type, atoll-ttl", "600", null]],
  [SHOP, "PUT", undefined, [SHOP, "PUT", null, "600", null]],
  [SHOP, "PUT", "x-other", NOTHING],
  [SHOP, "DELETE", undefined, NOTHING],
  ["https://other.example", "PUT", undefined, NOTHING],
  ["https://other.example", "GET", "range", ["*", "GET", "range", null, null]],
  ["https://other.example", "GET", "authorization", NOTHING],
  ["https://other.example", "GET", "a b", NOTHING],
  ["https://other.example", "GET", Array.from({ length: 200 }, (_, i) => `x${i}`).join(","), NOTHING],
];

test("a preflight allows what one rule allows as a whole, and nothing else", async () => {
  using solo = await openMemoryNode();
  await settle(solo, "abc", RULES);
  for (const [origin, method, asked, wanted] of PREFLIGHTS) {
    const headers = await headersOf(solo, "/abc/k", {
      method: "OPTIONS",
      headers: {
        Origin: origin,
        "Access-Control-Request-Method": method,
        ...(asked !== undefined && { "Access-Control-Request-Headers": asked }),
      },
    });
    assert.deepEqual(allowances(headers), wanted, JSON.stringify([origin, method, asked?.slice(0, 40)]));
    assert.equal(
      headers.get("vary"),
      "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    );
  }
});
