import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { openMemoryNode } from "../helpers/memory-node.ts";

const sha256 = (bytes: Uint8Array | string): string => createHash("sha256").update(bytes).digest("hex");
const base64 = (algorithm: string, text: string): string =>
  createHash(algorithm).update(text).digest("base64");
/** Without the content type that fetch gives a text. */
const bytesOf = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);

interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  requestId: string;
}

async function problemOf(response: Response, status: number, code: string): Promise<Problem> {
  assert.equal(response.status, status);
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  const problem = await response.json() as Problem;
  assert.equal(problem.code, code);
  assert.equal(problem.status, status);
  assert.equal(problem.requestId, response.headers.get("x-request-id"));
  assert(problem.detail.length > 0 && problem.title.length > 0);
  return problem;
}

describe("PUT", () => {
  it("answers 201 for a new object and 200 for a replaced one, each a version further", async () => {
    using solo = await openMemoryNode();
    const first = await solo.request("/abc/k", { method: "PUT", body: "one" });
    assert.equal(first.status, 201);
    assert.equal(first.headers.get("etag"), `"${sha256("one")}"`);
    assert.equal(first.headers.get("atoll-version"), "1");
    assert.equal(first.headers.get("repr-digest"), `sha-256=:${base64("sha256", "one")}:`);
    const second = await solo.request("/abc/k", { method: "PUT", body: "two" });
    assert.equal(second.status, 200);
    assert.equal(second.headers.get("atoll-version"), "2");
    // The same bytes put again are a new version.
    assert.equal(
      (await solo.request("/abc/k", { method: "PUT", body: "two" })).headers.get("atoll-version"),
      "3",
    );
    assert.equal(await (await solo.request("/abc/k")).text(), "two");
  });

  it("keeps what it is told to keep, and names the type by the key where it is told none", async () => {
    using solo = await openMemoryNode();
    await solo.request("/abc/page.html", {
      method: "PUT",
      body: bytesOf("<p>"),
      headers: {
        "Content-Language": "de",
        "Content-Disposition": "inline",
        "Cache-Control": "max-age=60",
        "Atoll-Meta-Owner": "me",
        "X-Other": "no",
      },
    });
    const got = await solo.request("/abc/page.html");
    assert.equal(got.headers.get("content-type"), "text/html; charset=utf-8");
    assert.equal(got.headers.get("content-language"), "de");
    assert.equal(got.headers.get("content-disposition"), "inline");
    assert.equal(got.headers.get("cache-control"), "max-age=60");
    assert.equal(got.headers.get("atoll-meta-owner"), "me");
    assert.equal(got.headers.get("x-other"), null);
    await solo.request("/abc/nothing-known", { method: "PUT", body: new Uint8Array([1]) });
    assert.equal(
      (await solo.request("/abc/nothing-known")).headers.get("content-type"),
      "application/octet-stream",
    );
  });

  it("stores any size, in chunks of 1 MiB", async () => {
    using solo = await openMemoryNode();
    for (const size of [0, 1, 65_536, 65_537, 1 << 20, (1 << 20) + 1, 5_000_000]) {
      const bytes = new Uint8Array(size).map((_, i) => (i * 31 + size) & 0xff);
      const put = await solo.request(`/abc/${size}`, { method: "PUT", body: bytes });
      assert.equal(put.status, 201, `${size}`);
      const got = await solo.request(`/abc/${size}`);
      assert.equal(got.headers.get("content-length"), String(size));
      assert.equal(got.headers.get("etag"), `"${sha256(bytes)}"`);
      assert.deepEqual(new Uint8Array(await got.arrayBuffer()), bytes, `${size}`);
    }
  });

  it("lists chunks in index chunks beyond 64 of them", async () => {
    using solo = await openMemoryNode({ maxObjectBytes: 100 << 20 });
    const part = new Uint8Array(1 << 20);
    const parts = 67;
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (sent === parts) return controller.close();
        part[0] = sent++;
        controller.enqueue(part.slice());
      },
    });
    const put = await solo.app.request("/abc/large", { method: "PUT", body, duplex: "half" } as RequestInit);
    assert.equal(put.status, 201);
    const ranged = await solo.request("/abc/large", {
      headers: { Range: `bytes=${66 * (1 << 20)}-${66 * (1 << 20) + 1}` },
    });
    assert.equal(ranged.status, 206);
    assert.deepEqual(new Uint8Array(await ranged.arrayBuffer()), new Uint8Array([66, 0]));
  });

  for (
    const [what, headers, code] of [
      ["a Content-Range", { "Content-Range": "bytes 0-2/10" }, "partial-put"],
      ["a malformed digest", { "Repr-Digest": "sha-256=abc" }, "invalid-digest"],
      ["a malformed Content-MD5", { "Content-MD5": "abc" }, "invalid-digest"],
      ["an If-Match that is none", { "If-Match": "abc" }, "invalid-argument"],
      ["a version that is none", { "Atoll-If-Version": "-1" }, "invalid-argument"],
      ["a TTL that is none", { "Atoll-TTL": "soon" }, "invalid-argument"],
      ["a TTL of 0", { "Atoll-TTL": "0" }, "invalid-argument"],
    ] as [string, Record<string, string>, string][]
  ) {
    it(`refuses ${what} as ${code} and leaves the old object`, async () => {
      using solo = await openMemoryNode();
      await solo.request("/abc/k", { method: "PUT", body: "old" });
      await problemOf(await solo.request("/abc/k", { method: "PUT", body: "new", headers }), 400, code);
      const got = await solo.request("/abc/k");
      assert.equal(await got.text(), "old");
      assert.equal(got.headers.get("atoll-version"), "1");
    });
  }

  it("checks every digest it is sent, and stores nothing on a mismatch", async () => {
    using solo = await openMemoryNode();
    await solo.request("/abc/k", { method: "PUT", body: "old" });
    const fields: [string, (text: string) => string][] = [
      ["Content-Digest", (text) => `sha-256=:${base64("sha256", text)}:`],
      ["Repr-Digest", (text) => `sha-512=:${base64("sha512", text)}:`],
      ["Content-MD5", (text) => base64("md5", text)],
    ];
    for (const [field, value] of fields) {
      const wrong = await solo.request("/abc/k", {
        method: "PUT",
        body: "new",
        headers: { [field]: value("other") },
      });
      const { detail } = await problemOf(wrong, 400, "digest-mismatch");
      assert(detail.includes(field), detail);
      assert.equal(await (await solo.request("/abc/k")).text(), "old");
    }
    for (const [field, value] of fields) {
      const right = await solo.request("/abc/k", {
        method: "PUT",
        body: "new",
        headers: { [field]: value("new") },
      });
      assert.equal(right.status, 200, field);
    }
  });

  it("refuses more than the limit, declared or not", async () => {
    using solo = await openMemoryNode({ maxObjectBytes: 10 });
    const declared = await solo.request("/abc/k", {
      method: "PUT",
      body: "12345678901",
      headers: { "Content-Length": "11" },
    });
    await problemOf(declared, 413, "too-large");
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let i = 0; i < 11; i++) controller.enqueue(new Uint8Array(1));
        controller.close();
      },
    });
    const streamed = await solo.app.request("/abc/k", { method: "PUT", body, duplex: "half" } as RequestInit);
    await problemOf(streamed, 413, "too-large");
    assert.equal((await solo.request("/abc/k")).status, 404);
    assert.equal((await solo.request("/abc/k", { method: "PUT", body: "1234567890" })).status, 201);
  });

  it("stores nothing of a body that breaks off or is shorter than announced", async () => {
    using solo = await openMemoryNode();
    const broken = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new Uint8Array(5));
        controller.error(new Error("gone"));
      },
    });
    const cut = await solo.app.request(
      "/abc/k",
      { method: "PUT", body: broken, duplex: "half" } as RequestInit,
    );
    await problemOf(cut, 400, "incomplete-body");
    const short = await solo.request("/abc/k", {
      method: "PUT",
      body: "abc",
      headers: { "Content-Length": "4" },
    });
    await problemOf(short, 400, "incomplete-body");
    assert.equal((await solo.request("/abc/k")).status, 404);
  });
});

describe("conditional writes", () => {
  it("decide by ETag, by existence and by version", async () => {
    using solo = await openMemoryNode();
    const put = (body: string, headers: Record<string, string>) =>
      solo.request("/abc/k", { method: "PUT", body, headers });
    await problemOf(await put("a", { "If-Match": "*" }), 412, "precondition-failed");
    await problemOf(await put("a", { "Atoll-If-Version": "1" }), 412, "precondition-failed");
    assert.equal((await put("a", { "If-None-Match": "*" })).status, 201);
    const lost = await put("b", { "If-None-Match": "*" });
    assert.equal(lost.headers.get("etag"), `"${sha256("a")}"`);
    assert.equal(lost.headers.get("atoll-version"), "1");
    await problemOf(lost, 412, "precondition-failed");
    await problemOf(await put("b", { "If-Match": `"${sha256("x")}"` }), 412, "precondition-failed");
    assert.equal((await put("b", { "If-Match": `"${sha256("x")}", "${sha256("a")}"` })).status, 200);
    await problemOf(await put("c", { "If-None-Match": `"${sha256("b")}"` }), 412, "precondition-failed");
    assert.equal((await put("a", { "Atoll-If-Version": "2" })).status, 200);
    // A-B-A: the content is what it was, the version is not.
    await problemOf(await put("d", { "Atoll-If-Version": "1" }), 412, "precondition-failed");
    await problemOf(await put("d", { "Atoll-If-Version": "0" }), 412, "precondition-failed");
    assert.equal(
      (await solo.request("/abc/k", { method: "DELETE", headers: { "Atoll-If-Version": "2" } })).status,
      412,
    );
    const deleted = await solo.request("/abc/k", { method: "DELETE", headers: { "Atoll-If-Version": "3" } });
    assert.equal(deleted.status, 204);
    assert.equal(deleted.headers.get("atoll-version"), "4");
    // Versions go on after a delete.
    const again = await put("e", { "Atoll-If-Version": "0" });
    assert.equal(again.status, 201);
    assert.equal(again.headers.get("atoll-version"), "5");
  });

  it("let exactly one of many creators win", async () => {
    using solo = await openMemoryNode();
    const answers = await Promise.all(
      Array.from(
        { length: 20 },
        (_, i) => solo.request("/abc/k", { method: "PUT", body: `${i}`, headers: { "If-None-Match": "*" } }),
      ),
    );
    assert.equal(answers.filter((answer) => answer.status === 201).length, 1);
    assert.equal(answers.filter((answer) => answer.status === 412).length, 19);
  });
});

describe("GET and HEAD", () => {
  it("answer 404 for what is not there, deleted, or past its time", async () => {
    using solo = await openMemoryNode();
    await problemOf(await solo.request("/abc/k"), 404, "not-found");
    await solo.request("/abc/k", { method: "PUT", body: "x", headers: { "Atoll-TTL": "10" } });
    assert.equal((await solo.request("/abc/k")).status, 200);
    solo.pass(10_001);
    await problemOf(await solo.request("/abc/k"), 404, "not-found");
    assert.equal(
      (await solo.request("/abc/k", { method: "PUT", body: "y", headers: { "If-None-Match": "*" } })).status,
      201,
    );
    assert.equal((await solo.request("/abc/k", { method: "DELETE" })).status, 204);
    assert.equal((await solo.request("/abc/k", { method: "DELETE" })).status, 204);
    await problemOf(await solo.request("/abc/k"), 404, "not-found");
  });

  it("answer alike, but for the body", async () => {
    using solo = await openMemoryNode();
    await solo.request("/abc/k.txt", { method: "PUT", body: "hello" });
    const get = await solo.request("/abc/k.txt");
    const head = await solo.request("/abc/k.txt", { method: "HEAD" });
    assert.equal(head.status, 200);
    assert.equal(await head.text(), "");
    for (
      const name of ["etag", "atoll-version", "repr-digest", "content-type", "last-modified", "accept-ranges"]
    ) {
      assert.equal(head.headers.get(name), get.headers.get(name), name);
      assert(get.headers.get(name), name);
    }
    assert.equal(head.headers.get("content-length"), "5");
  });

  it("ask for the version of an object without explicit freshness, and say so", async () => {
    using solo = await openMemoryNode();
    await solo.request("/abc/k", { method: "PUT", body: "x" });
    const got = await solo.request("/abc/k");
    assert.equal(got.headers.get("cache-control"), "no-cache");
    assert.match(got.headers.get("cache-status")!, /^atoll; fwd=stale; fwd-status=304/);
    assert.equal(got.headers.get("age"), null);
  });

  it("use a fresh object without asking, and say for how long", async () => {
    using solo = await openMemoryNode();
    await solo.request("/abc/k", { method: "PUT", body: "x", headers: { "Cache-Control": "max-age=100" } });
    solo.pass(10_000);
    const got = await solo.request("/abc/k");
    assert.match(got.headers.get("cache-status")!, /^atoll; hit; ttl=(89|90); detail=memory$/);
    assert.equal(got.headers.get("age"), "10");
    const asked = await solo.request("/abc/k", { headers: { "Cache-Control": "no-cache" } });
    assert.match(asked.headers.get("cache-status")!, /fwd=request; fwd-status=304; detail=memory$/);
  });

  it("obey only-if-cached", async () => {
    using solo = await openMemoryNode();
    await solo.request("/abc/k", { method: "PUT", body: "x" });
    const only = { headers: { "Cache-Control": "only-if-cached" } };
    await problemOf(await solo.request("/abc/k", only), 504, "not-cached");
  });

  it("answer conditions in the order of RFC 9110 section 13.2.2", async () => {
    using solo = await openMemoryNode();
    await solo.request("/abc/k", { method: "PUT", body: "x" });
    const etag = `"${sha256("x")}"`;
    const get = (headers: Record<string, string>) => solo.request("/abc/k", { headers });
    const notModified = await get({ "If-None-Match": etag });
    assert.equal(notModified.status, 304);
    assert.equal(notModified.headers.get("etag"), etag);
    assert.equal(await notModified.text(), "");
    assert.equal((await get({ "If-None-Match": `W/${etag}` })).status, 304);
    assert.equal((await get({ "If-None-Match": '"other"' })).status, 200);
    await problemOf(await get({ "If-Match": '"other"' }), 412, "precondition-failed");
    assert.equal((await get({ "If-Match": '"other"', "If-None-Match": etag })).status, 412);
    const modified = (await get({})).headers.get("last-modified")!;
    assert.equal((await get({ "If-Modified-Since": modified })).status, 304);
    assert.equal((await get({ "If-Modified-Since": modified, "If-None-Match": '"other"' })).status, 200);
    assert.equal((await get({ "If-Modified-Since": modified, "If-None-Match": "other" })).status, 200);
    assert.equal((await get({ "If-Unmodified-Since": modified, "If-Match": "other" })).status, 412);
    assert.equal((await get({ "If-Modified-Since": "yesterday" })).status, 200);
    assert.equal((await get({ "If-Unmodified-Since": "Mon, 01 Jan 2001 00:00:00 GMT" })).status, 412);
  });

  it("answer one range, several, and none that can be", async () => {
    using solo = await openMemoryNode();
    await solo.request("/abc/k.txt", { method: "PUT", body: "0123456789" });
    const get = (range: string, more: Record<string, string> = {}) =>
      solo.request("/abc/k.txt", { headers: { Range: range, ...more } });
    const one = await get("bytes=2-4");
    assert.equal(one.status, 206);
    assert.equal(one.headers.get("content-range"), "bytes 2-4/10");
    assert.equal(one.headers.get("content-length"), "3");
    assert.equal(await one.text(), "234");
    assert.equal(await (await get("bytes=-3")).text(), "789");
    assert.equal(await (await get("bytes=8-99")).text(), "89");
    const several = await get("bytes=0-1,8-9");
    assert.equal(several.status, 206);
    const boundary = /boundary=(.+)$/.exec(several.headers.get("content-type")!)![1]!;
    const text = await several.text();
    assert.equal(several.headers.get("content-length"), String(text.length));
    assert.equal(text.split(`--${boundary}`).length, 4);
    assert.match(text, /Content-Range: bytes 0-1\/10\r\n\r\n01\r\n/);
    const none = await get("bytes=10-");
    assert.equal(none.headers.get("content-range"), "bytes */10");
    await problemOf(none, 416, "range-not-satisfiable");
    for (const absurd of ["bytes=5-2", "lines=1-2", "bytes=a-b", "bytes=", `bytes=${"0-0,".repeat(500)}`]) {
      assert.equal((await get(absurd)).status, 200, absurd.slice(0, 20));
    }
    assert.equal((await get("bytes=0-1", { "If-Range": '"other"' })).status, 200);
    assert.equal((await get("bytes=0-1", { "If-Range": `"${sha256("0123456789")}"` })).status, 206);
  });
});

describe("listings", () => {
  interface Listing {
    objects: {
      key: string;
      size: number;
      etag: string;
      version: number;
      lastModified: string;
      contentType: string;
    }[];
    prefixes: string[];
    next: string | null;
  }
  const list = async (solo: Awaited<ReturnType<typeof openMemoryNode>>, query: string): Promise<Listing> => {
    const response = await solo.request(`/abc${query}`);
    assert.equal(response.status, 200);
    return await response.json() as Listing;
  };

  it("go in order of UTF-8 bytes, page by page, without what was deleted", async () => {
    using solo = await openMemoryNode();
    const keys = ["a", "a/b", "a/c/d", "b", "z", "é", "\uffff", "🐚"];
    for (const key of [...keys].reverse()) {
      await solo.request(`/abc/${encodeURIComponent(key)}`, { method: "PUT", body: bytesOf(key) });
    }
    await solo.request("/abc/gone", { method: "PUT", body: "x" });
    await solo.request("/abc/gone", { method: "DELETE" });
    await solo.request("/other/k", { method: "PUT", body: "x" });
    const all = await list(solo, "/");
    assert.deepEqual(all.objects.map(({ key }) => key), keys);
    assert.equal(all.next, null);
    assert.deepEqual({ ...all.objects[0], lastModified: "" }, {
      key: "a",
      size: 1,
      etag: `"${sha256("a")}"`,
      version: 1,
      lastModified: "",
      contentType: "application/octet-stream",
    });
    const paged: string[] = [];
    for (let after: string | null = ""; after !== null;) {
      const page: Listing = await list(solo, `?limit=3&after=${encodeURIComponent(after)}`);
      assert(page.objects.length <= 3);
      paged.push(...page.objects.map(({ key }) => key));
      after = page.next;
    }
    assert.deepEqual(paged, keys);
  });

  it("fold what shares a prefix up to the delimiter, and count it towards the limit", async () => {
    using solo = await openMemoryNode();
    for (const key of ["a/1", "a/2", "a/x/1", "b", "c/1", "c/2", "d"]) {
      await solo.request(`/abc/${key}`, { method: "PUT", body: key });
    }
    const top = await list(solo, "?delimiter=/");
    assert.deepEqual(top.objects.map(({ key }) => key), ["b", "d"]);
    assert.deepEqual(top.prefixes, ["a/", "c/"]);
    const inner = await list(solo, "?delimiter=/&prefix=a/");
    assert.deepEqual(inner.objects.map(({ key }) => key), ["a/1", "a/2"]);
    assert.deepEqual(inner.prefixes, ["a/x/"]);
    const items: string[] = [];
    for (let after: string | null = ""; after !== null;) {
      const page: Listing = await list(solo, `?delimiter=/&limit=1&after=${encodeURIComponent(after)}`);
      assert.equal(page.objects.length + page.prefixes.length, 1);
      items.push(...page.objects.map(({ key }) => key), ...page.prefixes);
      after = page.next;
    }
    assert.deepEqual(items, ["a/", "b", "c/", "d"]);
  });

  it("name the buckets that hold an object", async () => {
    using solo = await openMemoryNode();
    for (const bucket of ["abc", "abc-d", "abc.d", "xyz", "empty"]) {
      await solo.request(`/${bucket}/k`, { method: "PUT", body: "x" });
    }
    await solo.request("/empty/k", { method: "DELETE" });
    assert.deepEqual(await (await solo.request("/")).json(), {
      buckets: [{ name: "abc" }, { name: "abc-d" }, { name: "abc.d" }, { name: "xyz" }],
      next: null,
    });
    const page = await (await solo.request("/?limit=1&after=abc")).json();
    assert.deepEqual(page, { buckets: [{ name: "abc-d" }], next: "abc-d" });
    assert.deepEqual(await (await solo.request("/empty")).json(), { objects: [], prefixes: [], next: null });
    assert.deepEqual(await (await solo.request("/never")).json(), { objects: [], prefixes: [], next: null });
  });

  it("refuse arguments they do not understand", async () => {
    using solo = await openMemoryNode();
    for (const query of ["limit=0", "limit=1001", "limit=x", "prefx=a", "limit=1&limit=2", "prefix=%ff"]) {
      await problemOf(await solo.request(`/abc?${query}`), 400, "invalid-argument");
    }
  });
});

describe("the rest of the interface", () => {
  it("answers 405 with what is allowed", async () => {
    using solo = await openMemoryNode();
    for (
      const [target, method, allow] of [
        ["/abc/k", "POST", "GET, HEAD, PUT, DELETE, OPTIONS"],
        ["/abc/k", "PATCH", "GET, HEAD, PUT, DELETE, OPTIONS"],
        ["/abc", "POST", "GET, HEAD, OPTIONS"],
        ["/", "DELETE", "GET, HEAD, OPTIONS"],
        ["/livez", "PUT", "GET, HEAD, OPTIONS"],
      ] as const
    ) {
      const response = await solo.request(target, { method });
      assert.equal(response.headers.get("allow"), allow);
      await problemOf(response, 405, "method-not-allowed");
    }
    await problemOf(await solo.request("/abc", { method: "PUT", body: "x" }), 400, "invalid-key");
    await problemOf(await solo.request("/_/nothing"), 404, "not-found");
  });

  it("is ready until it drains, and then refuses work but stays alive", async () => {
    using solo = await openMemoryNode();
    assert.equal((await solo.request("/livez")).status, 200);
    assert.equal((await solo.request("/readyz")).status, 200);
    solo.drain();
    assert.equal((await solo.request("/livez")).status, 200);
    assert.equal((await solo.request("/readyz")).status, 503);
    const refused = await solo.request("/abc/k");
    assert(refused.headers.get("retry-after"));
    await problemOf(refused, 503, "draining");
  });

  it("refuses more requests at once than it may take", async () => {
    using solo = await openMemoryNode({ maxConcurrentRequests: 1 });
    let end!: () => void;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => void (end = () => controller.close()),
    });
    const slow = solo.app.request("/abc/slow", { method: "PUT", body, duplex: "half" } as RequestInit);
    await problemOf(await solo.request("/abc/k"), 503, "overloaded");
    assert.equal((await solo.request("/livez")).status, 200);
    end();
    assert.equal((await slow).status, 201);
    assert.equal((await solo.request("/abc/k")).status, 404);
  });

  it("continues the client's request id and trace, and logs one line", async () => {
    using solo = await openMemoryNode();
    const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
    const response = await solo.request("/abc/k", {
      headers: { "X-Request-Id": "mine-1", traceparent: `00-${traceId}-00f067aa0ba902b7-01` },
    });
    assert.equal(response.headers.get("x-request-id"), "mine-1");
    assert.equal(solo.lines.length, 1);
    const line = JSON.parse(solo.lines[0]!) as Record<string, unknown>;
    assert.equal(line["requestId"], "mine-1");
    assert.equal(line["traceId"], traceId);
    assert.equal(line["status"], 404);
    assert.equal(line["route"], "/{bucket}/{key}");
    assert.equal(line["code"], "not-found");
    assert.equal(new Date(line["time"] as string).toISOString(), line["time"]);
    const made = (await solo.request("/abc/k", { headers: { "X-Request-Id": 'no "good"' } })).headers.get(
      "x-request-id",
    )!;
    assert.match(made, /^[0-9a-f]{32}$/);
  });

  it("counts requests, bytes and what the cache did", async () => {
    using solo = await openMemoryNode();
    await solo.request("/abc/k", {
      method: "PUT",
      body: "12345",
      headers: { "Cache-Control": "max-age=60" },
    });
    await (await solo.request("/abc/k")).text();
    const text = await (await solo.request("/metrics")).text();
    for (
      const line of [
        'http_server_request_body_bytes_total{http_request_method="PUT",http_route="/{bucket}/{key}"} 5',
        'http_server_response_body_bytes_total{http_request_method="GET",http_route="/{bucket}/{key}"} 5',
        'atoll_cache_requests_total{result="hit"} 1',
        'atoll_quorum_rounds_total{outcome="committed"} 1',
        "atoll_catalog_commit_seconds_count 2", // the layout and the object
        "atoll_catalog_errors_total 0",
        'http_server_request_duration_seconds_count{http_request_method="GET",http_route="/{bucket}/{key}",http_response_status_code="200"} 1',
      ]
    ) assert(text.includes(`${line}\n`), `${line} in\n${text}`);
  });
});
