import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createRandom } from "../../src/adapters/random.ts";
import { createSecrets } from "../../src/adapters/secrets.ts";
import { type Grant, parseGrants } from "../../src/core/grants.ts";
import type { AccessDeps } from "../../src/http/door.ts";
import { Keys } from "../../src/node/keys.ts";
import { RingKeys } from "../../src/node/ring-keys.ts";
import type { Log, LogFields } from "../../src/ports.ts";
import { basic, bearer, KEYS, presigned } from "../helpers/credentials.ts";
import { type MemoryNode, openMemoryNode } from "../helpers/memory-node.ts";

const { admin, reader, dropper } = KEYS;
const secrets = createSecrets();

function open(
  options: { metricsAccess?: AccessDeps["metricsAccess"]; log?: Log } = {},
): Promise<MemoryNode> {
  const { metricsAccess = "admin", log } = options;
  const configured = Object.values(KEYS).map(({ id, secret, grants }) => ({
    id,
    secret,
    grants: parseGrants(grants) as readonly Grant[],
  }));
  return openMemoryNode({
    ...(log && { log }),
    access: ({ documents }, clock) => ({
      keys: new Keys({
        secrets,
        configured,
        ring: new RingKeys({ documents, secrets, random: createRandom(), clock }),
      }),
      metricsAccess,
    }),
  });
}

function send(
  solo: MemoryNode,
  method: string,
  target: string,
  authorization?: string,
  init: RequestInit = {},
) {
  const headers = {
    ...init.headers as Record<string, string>,
    ...(authorization && { Authorization: authorization }),
  };
  return solo.request(target, { method, ...init, headers });
}

async function statusOf(
  solo: MemoryNode,
  method: string,
  target: string,
  authorization?: string,
  init?: RequestInit,
): Promise<number> {
  const response = await send(solo, method, target, authorization, init);
  await response.body?.cancel();
  return response.status;
}

async function store(solo: MemoryNode, target: string, body = "content"): Promise<void> {
  assert((await statusOf(solo, "PUT", target, bearer(admin), { body })) < 202);
}

describe("the door", () => {
  it("asks for credentials, and lets each key do what it is granted and nothing else", async () => {
    using solo = await open();
    await store(solo, "/docs/a");
    await store(solo, "/docs/in/a");
    await store(solo, "/other/a");
    const table: readonly (readonly [
      method: string,
      target: string,
      anybody: number,
      reader: number,
      dropper: number,
    ])[] = [
      ["GET", "/docs/a", 401, 200, 403],
      ["HEAD", "/docs/a", 401, 200, 403],
      ["GET", "/docs/none", 401, 404, 403],
      ["GET", "/other/a", 401, 403, 403],
      ["GET", "/other/none", 401, 403, 403],
      ["GET", "/docs", 401, 200, 403],
      ["GET", "/docs?prefix=in/", 401, 200, 403],
      ["GET", "/other", 401, 403, 403],
      ["GET", "/", 401, 200, 403],
      ["PUT", "/docs/b", 401, 403, 403],
      ["PUT", "/docs/in/b", 401, 403, 201],
      ["PUT", "/docs/in", 401, 403, 403],
      ["DELETE", "/docs/b", 401, 403, 403],
      ["DELETE", "/docs/in/b", 401, 403, 204],
      ["GET", "/_/route/docs/a", 401, 200, 403],
      ["GET", "/_/route/other/a", 401, 403, 403],
      ["GET", "/_/ring", 401, 403, 403],
      ["POST", "/_/scrub", 401, 403, 403],
      ["POST", "/_/purge", 401, 403, 403],
      ["GET", "/_/no-such-page", 401, 403, 403],
      ["GET", "/metrics", 401, 403, 403],
      ["GET", "/livez", 200, 200, 200],
      ["GET", "/readyz", 200, 200, 200],
      ["PATCH", "/docs/a", 405, 405, 405],
    ];
    for (const [method, target, ...wanted] of table) {
      for (const [i, authorization] of [undefined, bearer(reader), basic(dropper)].entries()) {
        const body = method === "PUT" ? { body: "x" } : {};
        const status = await statusOf(solo, method, target, authorization, body);
        assert.equal(status, wanted[i], `${method} ${target} by ${["nobody", "reader", "dropper"][i]}`);
      }
    }
    for (const target of ["/_/ring", "/metrics", "/"]) {
      assert.equal(await statusOf(solo, "GET", target, bearer(admin)), 200);
    }
  });

  it("challenges with both schemes in a problem document", async () => {
    using solo = await open();
    const response = await send(solo, "GET", "/docs/a");
    assert.equal(
      response.headers.get("www-authenticate"),
      'Basic realm="atoll", charset="UTF-8", Bearer realm="atoll"',
    );
    const problem = await response.json() as { code: string; status: number };
    assert.deepEqual([problem.code, problem.status], ["unauthorized", 401]);
    const refused = await send(solo, "PUT", "/docs/a", bearer(reader), { body: "x" });
    assert.equal(refused.headers.get("www-authenticate"), null);
    assert.equal((await refused.json() as { code: string }).code, "forbidden");
  });

  it("shows of the buckets those that may be listed, page by page, and ends no page with another", async () => {
    using solo = await open();
    for (const bucket of ["aaa", "docs", "zzz"]) await store(solo, `/${bucket}/k`);
    const seen = async (target: string) =>
      await (await send(solo, "GET", target, bearer(reader))).json() as { buckets: unknown; next: unknown };
    assert.deepEqual(await seen("/"), { buckets: [{ name: "docs" }], next: null });
    assert.deepEqual(await seen("/?limit=1"), { buckets: [{ name: "docs" }], next: null });
    assert.deepEqual(await seen("/?after=docs"), { buckets: [], next: null });
    assert.deepEqual(await seen("/?prefix=z"), { buckets: [], next: null });
  });

  it("tells who may write but not read nothing of what was there", async () => {
    using solo = await open();
    await store(solo, "/docs/in/a");
    const create = await send(solo, "PUT", "/docs/in/a", bearer(dropper), {
      body: "x",
      headers: { "If-None-Match": "*" },
    });
    assert.equal(create.status, 412);
    assert.deepEqual([create.headers.get("etag"), create.headers.get("atoll-version")], [null, null]);
    const [first, second] = [await create.text(), "version"];
    assert(!first.includes(second) && !/[0-9a-f]{64}/.test(first), first);
    for (
      const [name, value] of [["If-Match", "*"], ["If-None-Match", '"x"'], ["Atoll-If-Version", "1"]] as const
    ) {
      const init = { body: "x", headers: { [name]: value } };
      assert.equal(await statusOf(solo, "PUT", "/docs/in/a", bearer(dropper), init), 403, name);
      const { body: _, ...bare } = init;
      assert.equal(await statusOf(solo, "DELETE", "/docs/in/a", bearer(dropper), bare), 403, name);
    }
    const blind = ["atoll-version", "last-modified"];
    const url = presigned(dropper, "/docs/in/a", { method: "PUT" });
    for (
      const [status, method, target, authorization] of [
        [200, "PUT", "/docs/in/a", bearer(dropper)],
        [200, "PUT", url, undefined],
        [204, "DELETE", "/docs/in/a", bearer(dropper)],
        [201, "PUT", "/docs/in/a", bearer(dropper)],
      ] as const
    ) {
      const body = method === "PUT" ? { body: "x" } : {};
      const answer = await send(solo, method, target, authorization, body);
      const told = blind.map((name) => answer.headers.get(name));
      assert.deepEqual([answer.status, ...told], [status, null, null], `${method} ${target}`);
      assert.equal(answer.headers.has("etag"), method === "PUT", "what it sent it may know");
    }
    const seen = await send(solo, "PUT", "/docs/in/a", bearer(admin), { body: "x" });
    assert.deepEqual([seen.status, seen.headers.get("atoll-version")], [200, "6"]);
  });

  it("tells who may not list a bucket that it is full, and not how full", async () => {
    using solo = await open();
    await store(solo, "/docs/in/a", "x".repeat(90));
    const settings = { body: '{"quota":{"bytes":100}}' };
    assert.equal(await statusOf(solo, "PUT", "/_/buckets/docs", bearer(admin), settings), 201);
    const full = async (target: string, authorization?: string) => {
      const init = { body: "x".repeat(11), headers: { "Content-Length": "11" } };
      const response = await send(solo, "PUT", target, authorization, init);
      assert.equal(response.status, 507);
      return await response.text();
    };
    assert.match(await full("/docs/in/b", bearer(admin)), /which has about 90/);
    const url = presigned(admin, "/docs/in/b", { method: "PUT" });
    for (const text of [await full("/docs/in/b", bearer(dropper)), await full(url)]) {
      assert(!/90|100/.test((JSON.parse(text) as { detail: string }).detail), text);
    }
  });

  it("lets everybody read the objects of a public bucket, and who shows a wrong key nothing", async () => {
    using solo = await open();
    await store(solo, "/docs/a");
    assert.equal(await statusOf(solo, "GET", "/docs/a"), 401);
    const settings = { body: '{"public":"read"}' };
    assert.equal(await statusOf(solo, "PUT", "/_/buckets/docs", bearer(reader), settings), 403);
    assert.equal(await statusOf(solo, "PUT", "/_/buckets/docs", bearer(admin), settings), 201);
    assert.equal(await statusOf(solo, "GET", "/docs/a"), 200);
    assert.equal(await statusOf(solo, "GET", "/docs/none"), 404);
    // As a redirect to a replica has it: no presigned URL.
    assert.equal(await statusOf(solo, "GET", "/docs/a?atoll-sent=node-b"), 200);
    assert.equal(await statusOf(solo, "GET", "/docs/a?x=1&atoll-sent=node-b"), 200);
    assert.equal(await statusOf(solo, "GET", `${presigned(reader, "/docs/a")}&atoll-sent=node-b`), 403);
    assert.equal(await statusOf(solo, "GET", "/docs"), 401);
    assert.equal(await statusOf(solo, "PUT", "/docs/a", undefined, { body: "x" }), 401);
    assert.equal(await statusOf(solo, "GET", "/docs/a", bearer(dropper)), 200);
    assert.equal(await statusOf(solo, "GET", "/docs/a", bearer({ id: "reader", secret: "wrong" })), 401);
    assert.equal(await statusOf(solo, "GET", "/_/route/docs/a"), 401);
    assert.equal(await statusOf(solo, "DELETE", "/_/buckets/docs", bearer(admin)), 204);
    assert.equal(await statusOf(solo, "GET", "/docs/a"), 401);
  });

  it("shows the metrics to whom the setting says", async () => {
    for (
      const [metricsAccess, direct, proxied] of [["admin", 401, 401], ["fly", 200, 401], [
        "open",
        200,
        200,
      ]] as const
    ) {
      using solo = await open({ metricsAccess });
      assert.equal(await statusOf(solo, "GET", "/metrics"), direct, metricsAccess);
      const headers = { "Fly-Client-IP": "192.0.2.1" };
      assert.equal(await statusOf(solo, "GET", "/metrics", undefined, { headers }), proxied, metricsAccess);
    }
  });

  it("refuses what another site makes a browser send", async () => {
    using solo = await open();
    const put = (authorization: string, site: string) =>
      statusOf(solo, "PUT", "/docs/k", authorization, { body: "x", headers: { "Sec-Fetch-Site": site } });
    assert.equal(await put(basic(admin), "cross-site"), 403);
    assert.equal(await put(basic(admin), "same-site"), 403);
    assert.equal(await put(basic(admin), "same-origin"), 201);
    const from = (authorization: string, origin: string) =>
      statusOf(solo, "PUT", "/docs/k", authorization, { body: "x", headers: { Origin: origin } });
    assert.equal(await from(basic(admin), "https://evil.example"), 403);
    assert.equal(await from(basic(admin), "http://localhost"), 200);
    assert.equal(await from(bearer(admin), "https://evil.example"), 200);
    // Nothing but a program that knows it sends a bearer token.
    assert.equal(await put(bearer(admin), "cross-site"), 200);
  });
});

describe("presigned URLs", () => {
  it("let through the one thing they were signed for", async () => {
    using solo = await open();
    const put = presigned(dropper, "/docs/in/a", { method: "PUT" });
    assert.equal(await statusOf(solo, "PUT", put, undefined, { body: "content" }), 201);
    const get = presigned(reader, "/docs/in/a");
    const response = await send(solo, "GET", get);
    assert.deepEqual([response.status, await response.text()], [200, "content"]);
    assert.equal(response.headers.get("cache-control"), "private, no-cache");
    assert.equal(await statusOf(solo, "HEAD", get), 200);
    assert.equal(await statusOf(solo, "DELETE", presigned(dropper, "/docs/in/a", { method: "DELETE" })), 204);
  });

  it("keep an answer to themselves, and no other", async () => {
    using solo = await open();
    const headers = { "Cache-Control": "max-age=60", "CDN-Cache-Control": "max-age=600" };
    for (
      const [target, sent] of [["/docs/a", headers], ["/docs/b", { "Cache-Control": "max-age=60" }]] as const
    ) {
      assert.equal(await statusOf(solo, "PUT", target, bearer(admin), { body: "x", headers: sent }), 201);
    }
    const seen = async (target: string, authorization?: string) => {
      const response = await send(solo, "GET", target, authorization);
      await response.body?.cancel();
      return ["cache-control", "cdn-cache-control", "atoll-version"].map((name) =>
        response.headers.get(name)
      );
    };
    for (let times = 0; times < 2; times++) {
      assert.deepEqual(await seen(presigned(reader, "/docs/a")), ["private, max-age=60", null, "1"]);
      assert.deepEqual(await seen(presigned(reader, "/docs/b")), ["private, max-age=60", null, "1"]);
      assert.deepEqual(await seen("/docs/a", bearer(reader)), ["max-age=60", "max-age=600", "1"]);
      assert.deepEqual(await seen("/docs/b", bearer(reader)), ["max-age=60", null, "1"]);
    }
  });

  it("hold no longer than until they expire, and no longer than seven days ahead", async () => {
    using solo = await open();
    await store(solo, "/docs/a");
    const target = presigned(reader, "/docs/a");
    assert.equal(await statusOf(solo, "GET", target), 200);
    solo.pass(61_000);
    assert.equal(await statusOf(solo, "GET", target), 403);
    const late = presigned(reader, "/docs/a", {
      expires: Math.floor(Date.now() / 1000) + 61 + 7 * 86_400 + 60,
    });
    assert.equal(await statusOf(solo, "GET", late), 403);
  });

  it("are not taken for a header, nor for a URL of another method or path, once they were right", async () => {
    using solo = await open();
    await store(solo, "/docs/a");
    await store(solo, "/docs/b");
    const target = presigned(reader, "/docs/a");
    for (let i = 0; i < 2; i++) assert.equal(await statusOf(solo, "GET", target), 200);
    for (const shown of [`GET ${target}`, target, `url GET ${target}`]) {
      assert.equal(await statusOf(solo, "GET", "/docs/b", shown), 401, shown);
    }
    assert.equal(await statusOf(solo, "GET", target.replace("/docs/a", "/docs/b")), 403);
    assert.equal(await statusOf(solo, "PUT", target, undefined, { body: "x" }), 403);
    for (let i = 0; i < 2; i++) assert.equal(await statusOf(solo, "GET", "/docs/a", bearer(reader)), 200);
    assert.equal(await statusOf(solo, "GET", "/docs/a", `${bearer(reader)}0`), 401);
  });

  it("bind the size and the type of what is stored", async () => {
    using solo = await open();
    const target = presigned(dropper, "/docs/in/a", {
      method: "PUT",
      maxBytes: 5,
      contentType: "text/plain",
    });
    const put = (body: string, type: string) =>
      statusOf(solo, "PUT", target, undefined, { body, headers: { "Content-Type": type } });
    assert.equal(await put("12345", "text/html"), 403);
    assert.equal(await put("123456", "text/plain"), 413);
    assert.equal(await put("12345", "text/plain"), 201);
  });

  it("may do no more than their key may, and not all of that", async () => {
    using solo = await open();
    await store(solo, "/docs/a");
    assert.equal(await statusOf(solo, "GET", presigned(dropper, "/docs/a")), 403);
    assert.equal(
      await statusOf(solo, "PUT", presigned(reader, "/docs/a", { method: "PUT" }), undefined, { body: "x" }),
      403,
    );
    // An admin may read, but whoever has the URL to write may not ask by conditions what is there.
    const target = presigned(admin, "/docs/a", { method: "PUT" });
    const init = { body: "x", headers: { "Atoll-If-Version": "1" } };
    assert.equal(await statusOf(solo, "PUT", target, undefined, init), 403);
    assert.equal(await statusOf(solo, "GET", presigned(admin, "/_/ring")), 403);
    assert.equal(await statusOf(solo, "GET", presigned(admin, "/docs")), 400);
    assert.equal(await statusOf(solo, "GET", presigned(admin, "/metrics")), 403);
  });

  it("are made by POST /_/presign for what the key that asks may do", async () => {
    using solo = await open();
    const ask = (document: object, authorization = bearer(dropper)) =>
      send(solo, "POST", "/_/presign", authorization, { body: JSON.stringify(document) });
    const response = await ask({ method: "PUT", bucket: "docs", key: "in/ä b", maxBytes: 3, expiresIn: 60 });
    assert.equal(response.status, 200);
    const { url, method, expires } = await response.json() as {
      url: string;
      method: string;
      expires: number;
    };
    assert.equal(method, "PUT");
    assert(Math.abs(expires - Date.now() / 1000 - 60) < 5);
    assert(url.startsWith("http://127.0.0.1:2/docs/in/%C3%A4%20b?atoll-key=dropper&"), url);
    const target = url.slice("http://127.0.0.1:2".length);
    assert.equal(await statusOf(solo, "PUT", target, undefined, { body: "1234" }), 413);
    assert.equal(await statusOf(solo, "PUT", target, undefined, { body: "123" }), 201);
    const refused: readonly (readonly [document: object, status: number])[] = [
      [{ bucket: "docs", key: "in/a" }, 403],
      [{ method: "PUT", bucket: "docs", key: "a" }, 403],
      [{ method: "PUT", bucket: "docs", key: "in/a", expiresIn: 604_801 }, 400],
      [{ method: "PUT", bucket: "docs", key: "in/\ud800" }, 400],
      [{ method: "PUT", bucket: "docs", key: "in/a", contentType: "a\nb" }, 400],
      [{ method: "DELETE", bucket: "docs", key: "in/a", maxBytes: 1 }, 400],
      [{ method: "POST", bucket: "docs", key: "in/a" }, 400],
    ];
    for (const [document, status] of refused) {
      assert.equal((await ask(document)).status, status, JSON.stringify(document));
    }
    assert.equal(await statusOf(solo, "POST", "/_/presign", undefined, { body: "{}" }), 401);
    assert.equal(await statusOf(solo, "GET", "/_/presign", bearer(dropper)), 405);
  });

  it("are not made by a node that asks nobody for credentials", async () => {
    using solo = await openMemoryNode();
    const body = JSON.stringify({ bucket: "docs", key: "a" });
    assert.equal(await statusOf(solo, "POST", "/_/presign", undefined, { body }), 422);
  });
});

describe("the audit", () => {
  it("has a line for who was refused and for who changed something, and none for the rest", async () => {
    const { log, told } = remembering();
    using solo = await open({ log });
    await store(solo, "/docs/a");
    assert.equal(told.length, 0);
    await statusOf(solo, "GET", presigned(reader, "/other/a"));
    await statusOf(solo, "GET", "/docs/a", bearer({ id: "reader", secret: "not-it" }));
    await statusOf(solo, "POST", "/_/scrub", bearer(admin));
    await statusOf(solo, "POST", "/_/purge", bearer(admin), { body: "{" });
    await statusOf(solo, "GET", "/_/ring", bearer(admin));
    const body = '{"id":"ci","grants":[{"actions":["read"]}]}';
    await statusOf(solo, "POST", "/_/keys", bearer(admin), { body });
    const short = told.filter(({ message }) => message.startsWith("audit")).map(({ message, fields }) => [
      message,
      fields["reason"],
      fields["status"],
      fields["key"],
      fields["method"],
      fields["made"],
    ]);
    assert.deepEqual(short, [
      ["audit: refused", "not-granted", 403, "reader", "GET", undefined],
      ["audit: refused", "wrong-credentials", 401, undefined, "GET", undefined],
      ["audit: administrative", undefined, 202, "root", "POST", undefined],
      ["audit: administrative", undefined, 400, "root", "POST", undefined],
      ["audit: administrative", undefined, 201, "root", "POST", "/_/keys/ci"],
    ]);
  });

  it("counts what would fill the disk, and counts it all in the metrics", async () => {
    const { log, told } = remembering();
    using solo = await open({ log, metricsAccess: "open" });
    for (let i = 0; i < 500; i++) await statusOf(solo, "GET", "/docs/a");
    assert(told.length >= 50 && told.length < 100, `${told.length} lines`);
    solo.pass(10_000);
    const before = told.length;
    await statusOf(solo, "GET", "/docs/a");
    assert.equal(told.length, before + 1);
    const unwritten = told.reduce((sum, { fields }) => sum + Number(fields["unwrittenBefore"] ?? 0), 0);
    assert.equal(unwritten + told.length, 501);
    const metrics = await (await solo.request("/metrics")).text();
    assert.match(metrics, /atoll_access_refused_total\{reason="no-credentials"\} 501/);
  });
});

describe("/_/keys", () => {
  const json = async (response: Response) => await response.json() as Record<string, unknown>;
  const ask = (solo: MemoryNode, method: string, target: string, document?: unknown) =>
    send(
      solo,
      method,
      target,
      bearer(admin),
      document === undefined ? {} : { body: JSON.stringify(document) },
    );

  it("makes keys, whose secret is shown once, changes what they may do, and takes them back", async () => {
    using solo = await open();
    await store(solo, "/docs/a");
    const made = await ask(solo, "POST", "/_/keys", {
      id: "ci",
      grants: [{ actions: ["read"], bucket: "docs" }],
    });
    assert.deepEqual([made.status, made.headers.get("location")], [201, "/_/keys/ci"]);
    const { secret, ...key } = await json(made);
    assert.match(String(secret), /^[0-9a-f]{64}$/);
    assert.deepEqual([key["id"], key["origin"]], ["ci", "ring"]);
    const ci = { id: "ci", secret: String(secret) };
    assert.equal(await statusOf(solo, "GET", "/docs/a", bearer(ci)), 200);
    assert.equal(await statusOf(solo, "GET", "/docs/a", basic(ci)), 200);
    assert.equal(await statusOf(solo, "GET", presigned(ci, "/docs/a")), 200);
    assert.equal(await statusOf(solo, "PUT", "/docs/a", bearer(ci), { body: "x" }), 403);
    assert.equal(await statusOf(solo, "GET", "/docs/a", bearer({ ...ci, secret: "0".repeat(64) })), 401);

    const shown = await json(await ask(solo, "GET", "/_/keys/ci"));
    assert.deepEqual(shown, key);
    const changed = await ask(solo, "PUT", "/_/keys/ci", {
      grants: [{ actions: ["write"], bucket: "docs" }],
    });
    assert.equal(changed.status, 200);
    assert.equal(await statusOf(solo, "GET", "/docs/a", bearer(ci)), 403);
    assert.equal(await statusOf(solo, "PUT", "/docs/a", bearer(ci), { body: "x" }), 200);

    const all = await json(await ask(solo, "GET", "/_/keys"));
    assert.deepEqual((all["keys"] as { id: string }[]).map(({ id }) => id), [
      "root",
      "reader",
      "dropper",
      "ci",
    ]);
    assert(!JSON.stringify(all).includes(String(secret)) && !/[0-9a-f]{64}/.test(JSON.stringify(all)));

    assert.equal((await ask(solo, "DELETE", "/_/keys/ci")).status, 204);
    assert.equal((await ask(solo, "DELETE", "/_/keys/ci")).status, 204);
    assert.equal(await statusOf(solo, "PUT", "/docs/a", bearer(ci), { body: "x" }), 401);
    assert.equal(await statusOf(solo, "GET", presigned(ci, "/docs/a")), 403);
    assert.equal((await ask(solo, "GET", "/_/keys/ci")).status, 404);
  });

  it("gives an ID of its own where none is asked for, and never that of another", async () => {
    using solo = await open();
    const grants = [{ actions: ["read"] }];
    const ids = new Set<unknown>();
    await Promise.all(Array.from({ length: 20 }, async () => {
      const made = await ask(solo, "POST", "/_/keys", { grants });
      assert.equal(made.status, 201);
      ids.add((await json(made))["id"]);
    }));
    assert.equal(ids.size, 20);
    const all = await json(await ask(solo, "GET", "/_/keys"));
    assert.equal((all["keys"] as unknown[]).length, 23);
    assert.equal((await ask(solo, "POST", "/_/keys", { id: "twice", grants })).status, 201);
    assert.equal((await ask(solo, "POST", "/_/keys", { id: "twice", grants })).status, 412);
    assert.equal((await ask(solo, "POST", "/_/keys", { id: "root", grants })).status, 412);
  });

  it("says what is wrong, and leaves the configuration's keys alone", async () => {
    using solo = await open();
    const grants = [{ actions: ["read"] }];
    const cases: readonly (readonly [method: string, path: string, document: unknown, status: number])[] = [
      ["POST", "/_/keys", {}, 400],
      ["POST", "/_/keys", { grants: [] }, 400],
      ["POST", "/_/keys", { id: "a.b", grants }, 400],
      ["POST", "/_/keys", { grants, secret: "mine" }, 400],
      ["PUT", "/_/keys/none", { grants }, 404],
      ["PUT", "/_/keys/root", { grants }, 422],
      ["DELETE", "/_/keys/root", undefined, 422],
      ["GET", "/_/keys/root", undefined, 200],
      ["GET", "/_/keys/a.b", undefined, 404],
      ["GET", "/_/keys/__proto__", undefined, 404],
      ["POST", "/_/keys/ci", { grants }, 405],
    ];
    for (const [method, path, document, status] of cases) {
      assert.equal((await ask(solo, method, path, document)).status, status, `${method} ${path}`);
    }
    using openNode = await openMemoryNode();
    assert.equal((await openNode.request("/_/keys")).status, 422);
  });
});

function remembering() {
  const told: { message: string; fields: LogFields }[] = [];
  const remember = (message: string, fields: LogFields = {}) => void told.push({ message, fields });
  return { told, log: { info: remember, warn: remember, error: remember } satisfies Log };
}
