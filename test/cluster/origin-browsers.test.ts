/** What browsers, and proxies further out, are told with an answer that is an origin's: nothing it has no say in. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { ask, put, type Reply as Answer } from "../helpers/raw-http.ts";
import { HERE } from "../helpers/raw-start.ts";
import { type Reply, type ScriptedOrigin, startScriptedOrigin } from "../helpers/scripted-origin.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const FRESH = ["Cache-Control", "max-age=3600"] as const;
const SHOP = "https://shop.example";
const SANDBOX = /^sandbox; default-src 'none';/;

const directory = temporaryDirectory();
let origin: ScriptedOrigin;
let node: AtollProcess;
/** By path. */
const replies = new Map<string, Reply>();

before(async () => {
  origin = await startScriptedOrigin(({ path }) => replies.get(path) ?? { status: 404 });
  node = await startNode({
    runtime: HERE,
    dataDir: join(directory.path, "data"),
    env: { ATOLL_ORIGIN_ALLOW_PRIVATE: "127.0.0.1" },
  });
  await set("mirror", {});
  await set("site", { website: true });
  await set("shared", { cors: [{ origins: [SHOP], methods: ["GET"], expose: ["ETag"] }] });
});
after(async () => {
  await node?.[Symbol.asyncDispose]();
  await origin?.[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

async function set(bucket: string, settings: object): Promise<void> {
  const all = JSON.stringify({ ...settings, origin: { url: origin.url } });
  const answer = await put(`${node.publicUrl}/_/buckets/${bucket}`, all);
  assert.equal(answer.status, 201, answer.body.toString());
}

let paths = 0;
/** At a path of its own. */
function serve(...headers: NonNullable<Reply["headers"]>): string {
  const path = `/${paths++}`;
  replies.set(path, { headers: [FRESH, ...headers], body: "<script>1</script>" });
  return path;
}

/** From the origin, from the copy, and as what a cache further out has already. */
async function each(bucket: string, path: string, headers = {}): Promise<Answer[]> {
  const url = `${node.publicUrl}/${bucket}${path}`;
  const fetched = await ask(url, { headers });
  const copied = await ask(url, { headers });
  const same = await ask(url, { headers: { ...headers, "If-None-Match": "*" } });
  const head = await ask(url, { method: "HEAD", headers });
  assert.deepEqual([fetched, copied, same, head].map(({ status }) => status), [200, 200, 304, 200]);
  return [fetched, copied, same, head];
}

test("what could run in a browser is sandboxed, its origin's own policy besides, unless its bucket is a web site", async () => {
  const policy = ["Content-Security-Policy", "default-src 'self'"] as const;
  for (const type of ["text/html", "TEXT/HTML; charset=utf-8", "image/svg+xml", "text/plain, text/html"]) {
    const bare = serve(["Content-Type", type]);
    const own = serve(["Content-Type", type], policy);
    for (const { headers } of await each("mirror", bare)) {
      assert.match(headers["content-security-policy"] ?? "none", SANDBOX, type);
    }
    for (const { headers } of await each("mirror", own)) {
      assert.match(
        headers["content-security-policy"] ?? "none",
        /^default-src 'self', sandbox; default-src 'none';/,
      );
    }
    for (const { headers } of await each("site", bare)) {
      assert.equal(headers["content-security-policy"], undefined);
    }
    for (const { headers } of await each("site", own)) {
      assert.equal(headers["content-security-policy"], policy[1]);
    }
  }
  for (const { headers } of await each("mirror", serve(["Content-Type", "image/png"]))) {
    assert.equal(headers["content-security-policy"], undefined);
  }
});

test("no answer's type may be guessed at, whatever its origin says", async () => {
  const path = serve(["Content-Type", "text/plain"], ["X-Content-Type-Options", "guess"]);
  for (const bucket of ["mirror", "site"]) {
    for (const { headers } of await each(bucket, path)) {
      assert.equal(headers["x-content-type-options"], "nosniff", bucket);
    }
  }
});

/** Of the proxies in front, and of who may read: no origin's to say. */
const NEVER = [
  ["Access-Control-Allow-Origin", "*"],
  ["Access-Control-Allow-Credentials", "true"],
  ["Access-Control-Expose-Headers", "*"],
  ["Fly-Replay", "region=ams"],
  ["Fly-Replay-Cache", "x"],
  ["X-Accel-Redirect", "/secret"],
  ["X-Accel-Buffering", "no"],
  ["X-Sendfile", "/etc/passwd"],
  ["X-Sendfile2", "/etc/passwd 0-"],
  ["X-LIGHTTPD-send-file", "/etc/passwd"],
] as const;
/** Of all that is served under the name of the address. */
const OF_A_SITE = [
  ["Clear-Site-Data", '"*"'],
  ["Service-Worker-Allowed", "/"],
  ["Strict-Transport-Security", "max-age=31536000; includeSubDomains"],
  ["Alt-Svc", 'h2="other.example:443"'],
] as const;

test("an origin commands neither the proxies in front nor who may read, and the browser's site only where it is one", async () => {
  const path = serve(...NEVER, ...OF_A_SITE, ["X-Frame-Options", "DENY"]);
  for (const bucket of ["mirror", "site"] as const) {
    for (const { headers } of await each(bucket, path)) {
      for (const [name] of NEVER) assert.equal(headers[name.toLowerCase()], undefined, `${bucket} ${name}`);
      for (const [name, value] of OF_A_SITE) {
        assert.equal(headers[name.toLowerCase()], bucket === "site" ? value : undefined, `${bucket} ${name}`);
      }
      assert.equal(headers["x-frame-options"], "DENY");
    }
  }
});

test("a bucket's rules say who may read, and add to what the origin's answers differ by", async () => {
  const cases = [
    ["Accept-Encoding, Cookie", "Accept-Encoding, Cookie, Origin"],
    ["Cookie, origin", "Cookie, origin"],
    ["", "Origin"],
  ] as const;
  for (const [said, wanted] of cases) {
    const path = serve(["Vary", said], ["Access-Control-Allow-Origin", "*"]);
    for (const from of [SHOP, "https://other.example"]) {
      for (const { headers } of await each("shared", path, { Origin: from })) {
        assert.equal(headers["vary"], wanted, `Vary: ${said}`);
        assert.equal(headers["access-control-allow-origin"], from === SHOP ? SHOP : undefined);
      }
    }
  }
  const path = serve(["Vary", "*"]);
  const { headers } = await ask(`${node.publicUrl}/shared${path}`, { headers: { Origin: SHOP } });
  assert.equal(headers["vary"], "*");
});
