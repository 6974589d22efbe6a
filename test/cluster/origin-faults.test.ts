/** Origins that lie, hang, break off, go round in circles, or lead where they should not. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { curl } from "../helpers/curl-run.ts";
import { until } from "../helpers/deadline.ts";
import { ask, codeOf, metricOf, put, RawHttp, type Reply as Answer } from "../helpers/raw-http.ts";
import { HERE } from "../helpers/raw-start.ts";
import { type Reply, type ScriptedOrigin, startScriptedOrigin } from "../helpers/scripted-origin.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const FRESH = ["Cache-Control", "max-age=3600"] as const;
const DEADLINE_MS = 15_000;

const directory = temporaryDirectory();
let origin: ScriptedOrigin;
let node: AtollProcess;
/** By path; what is not here is "ok", fresh. */
const replies = new Map<string, Reply>();

before(async () => {
  origin = await startScriptedOrigin(({ path }, count) => {
    const reply = replies.get(path);
    if (path.startsWith("/flaky/") && count > 1) return { headers: [FRESH], body: "whole" };
    return reply ?? { headers: [FRESH], body: "ok" };
  });
  node = await startNode({
    runtime: HERE,
    dataDir: join(directory.path, "data"),
    env: { ATOLL_ORIGIN_ALLOW_PRIVATE: "127.0.0.1" },
  });
  await set("mirror", { url: origin.url, timeoutSeconds: 1 });
});
after(async () => {
  await node?.[Symbol.asyncDispose]();
  await origin?.[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

async function set(bucket: string, settings: object): Promise<void> {
  const answer = await put(`${node.publicUrl}/_/buckets/${bucket}`, JSON.stringify({ origin: settings }));
  assert.ok(answer.status < 300, answer.body.toString());
}

function get(path: string, headers: Record<string, string> = {}): Promise<Answer> {
  return ask(`${node.publicUrl}${path}`, { headers });
}

function raw(text: string, then: "close" | "stay" = "stay"): Reply {
  return {
    raw: (socket) => {
      socket.write(Buffer.from(text, "latin1"));
      if (then === "close") socket.end();
    },
  };
}

const HEAD = "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\n";
const BROKEN: readonly (readonly [what: string, reply: Reply])[] = [
  ["shorter than its length", raw(`${HEAD}Content-Length: 100\r\n\r\nhalf`, "close")],
  ["chunks without a last one", raw(`${HEAD}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n`, "close")],
  ["a chunk that ends early", raw(`${HEAD}Transfer-Encoding: chunked\r\n\r\n64\r\nhalf`, "close")],
  ["a chunk's size that is none", raw(`${HEAD}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nxyz\r\n`)],
  ["a body that stops", raw(`${HEAD}Content-Length: 100\r\n\r\nhalf`)],
];
for (const [i, [what, reply]] of BROKEN.entries()) {
  test(`${what}: the client's connection breaks off, nothing is kept, and the next one gets the whole`, async () => {
    const path = `/flaky/broken-${i}`;
    replies.set(path, reply);
    await assert.rejects(get(`/mirror${path}`), /closed before/);
    const again = await get(`/mirror${path}`);
    assert.deepEqual([again.status, again.body.toString()], [200, "whole"]);
    assert.equal(origin.seen(path).length, 2);
  });
}

const FAULTS: readonly (readonly [what: string, reply: Reply, status: number, code: string])[] = [
  ["an end before any answer", { raw: (socket) => void socket.destroy() }, 502, "origin-failed"],
  ["something that is not HTTP", raw("SSH-2.0-x\r\n\r\n"), 502, "origin-failed"],
  [
    "two lengths that differ",
    raw(`${HEAD}Content-Length: 2\r\nContent-Length: 4\r\n\r\nhalf`),
    502,
    "origin-failed",
  ],
  [
    "a length beside chunks",
    raw(`${HEAD}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`),
    502,
    "origin-failed",
  ],
  ["headers without end", raw(`${HEAD}X: ${"x".repeat(100_000)}\r\n\r\n`), 502, "origin-failed"],
  ["silence", { raw: () => {} }, 504, "origin-timeout"],
  ["a head that stops", raw("HTTP/1.1 200 OK\r\nX-A: "), 504, "origin-timeout"],
];
for (const [i, [what, reply, status, code]] of FAULTS.entries()) {
  test(`${what} is ${status} ${code}, and not kept`, async () => {
    const path = `/flaky/fault-${i}`;
    replies.set(path, reply);
    const answer = await get(`/mirror${path}`);
    assert.deepEqual([answer.status, codeOf(answer)], [status, code], answer.body.toString());
    assert.equal((await get(`/mirror${path}`)).body.toString(), "whole");
  });
}

test("a body that ends with the connection is passed on, and not kept, as it may have been cut short", async () => {
  replies.set("/unframed", raw(`${HEAD}\r\nwhole`, "close"));
  for (const asked of [1, 2]) {
    const { stdout, code } = await curl([`${node.publicUrl}/mirror/unframed`]);
    assert.deepEqual([stdout.toString(), code], ["whole", 0]);
    assert.equal(origin.seen("/unframed").length, asked);
  }
});

test("what is larger than maxBytes is passed on, and not kept, whether it says so or not", async () => {
  await set("small", { url: origin.url, maxBytes: 10 });
  replies.set("/large", { headers: [FRESH], body: "x".repeat(11) });
  const chunked = `${HEAD}Transfer-Encoding: chunked\r\n\r\n8\r\n01234567\r\n8\r\n89abcdef\r\n0\r\n\r\n`;
  replies.set("/large-chunked", raw(chunked));
  replies.set("/fits", { headers: [FRESH], body: "x".repeat(10) });
  const cases = [["large", "x".repeat(11), 2], ["large-chunked", "0123456789abcdef", 2], [
    "fits",
    "x".repeat(10),
    1,
  ]] as const;
  for (const [path, body, asked] of cases) {
    for (let n = 0; n < 2; n++) {
      assert.equal((await curl([`${node.publicUrl}/small/${path}`])).stdout.toString(), body, path);
    }
    assert.equal(origin.seen(`/${path}`).length, asked, path);
  }
});

test("redirects are followed, kept for as long as all of them allow, and at most three", async () => {
  const to = (location: string, ...headers: NonNullable<Reply["headers"]>): Reply => ({
    status: 301,
    headers: [["Location", location], ...headers],
  });
  replies.set("/r/1", to("/r/2"));
  replies.set("/r/2", to("3"));
  replies.set("/r/3", to(`${origin.url}/r/end`));
  replies.set("/r/0", to("/r/1"));
  replies.set("/r/end", { headers: [FRESH], body: "end" });
  replies.set("/r/brief", to("/r/end", ["Cache-Control", "max-age=0"]));
  replies.set("/r/secret", to("/r/end", ["Cache-Control", "no-store"]));
  replies.set("/r/now", { ...to("/r/end"), status: 302 });
  for (const [path, asked] of [["1", 1], ["brief", 2], ["secret", 2], ["now", 2]] as const) {
    for (let n = 0; n < 2; n++) {
      const answer = await get(`/mirror/r/${path}`);
      assert.deepEqual([answer.status, answer.body.toString()], [200, "end"], path);
    }
    assert.equal(origin.seen(`/r/${path}`).length, asked, path);
  }
  assert.equal(codeOf(await get("/mirror/r/0")), "origin-failed");
});

test("redirects in a circle, to nowhere, and into the private network are errors", async () => {
  const to = (location: string): Reply => ({ status: 302, headers: [["Location", location]] });
  replies.set("/c/self", to("/c/self"));
  replies.set("/c/a", to("/c/b"));
  replies.set("/c/b", to("/c/a"));
  replies.set("/c/cloud", to("http://169.254.169.254/latest/meta-data/"));
  replies.set("/c/six", to("http://[::1]:1/"));
  replies.set("/c/hex", to("http://0x0a.0.0.1/"));
  replies.set("/c/file", to("file:///etc/passwd"));
  const cases = [
    ["self", 508, "origin-loop"],
    ["a", 508, "origin-loop"],
    ["cloud", 502, "origin-forbidden"],
    ["six", 502, "origin-forbidden"],
    ["hex", 502, "origin-forbidden"],
    ["file", 302, undefined],
  ] as const;
  for (const [path, status, code] of cases) {
    const answer = await get(`/mirror/c/${path}`);
    assert.deepEqual([answer.status, codeOf(answer)], [status, code], `${path} ${answer.body.toString()}`);
  }
});

test("an origin that is this ring is noticed", async () => {
  await set("ring-a", { url: `${node.publicUrl}/ring-b` });
  await set("ring-b", { url: `${node.publicUrl}/ring-a` });
  const answer = await get("/ring-a/k");
  assert.deepEqual([answer.status, codeOf(answer)], [508, "origin-loop"]);
});

test("a key with dots for segments never leaves the origin's path", async () => {
  await set("deep", { url: `${origin.url}/deep` });
  for (
    const target of ["/deep/../secret", "/deep/%2e%2e/secret", "/deep/a/..%2F..%2F..%2Fsecret", "/deep/."]
  ) {
    const answer = await ask(node.publicUrl, { target });
    assert.deepEqual([answer.status, codeOf(answer)], [404, "not-found"], target);
  }
  assert.equal(origin.seen("/secret").length, 0);
  assert.equal(origin.seen("/deep/").length, 0);
  assert.equal((await ask(node.publicUrl, { target: "/deep/a%3Fb" })).body.toString(), "ok");
  assert.equal(origin.seen("/deep/a%3Fb").length, 1);
});

test("without leave an origin is nowhere in the private network, by address, by name or through DNS", async () => {
  const own = temporaryDirectory();
  const strict = await startNode({ runtime: HERE, dataDir: join(own.path, "data") });
  try {
    const urls = [
      origin.url,
      `http://localhost:${origin.port}`,
      `http://127.1:${origin.port}`,
      `http://2130706433:${origin.port}`,
      `http://[::ffff:127.0.0.1]:${origin.port}`,
      "http://169.254.169.254/latest/meta-data",
      "http://[fd00::1]",
      "http://10.0.0.1",
      "http://0.0.0.0",
    ];
    for (const [i, url] of urls.entries()) {
      const settings = JSON.stringify({ origin: { url } });
      assert.equal((await put(`${strict.publicUrl}/_/buckets/b-${i}`, settings)).status, 201, url);
      const answer = await ask(`${strict.publicUrl}/b-${i}/forbidden`);
      assert.deepEqual(
        [answer.status, codeOf(answer)],
        [502, "origin-forbidden"],
        `${url} ${answer.body.toString()}`,
      );
    }
    assert.equal(origin.seen("/forbidden").length, 0, "nothing was sent");
  } finally {
    await strict[Symbol.asyncDispose]();
    own[Symbol.dispose]();
  }
});

test("stale-while-revalidate answers at once and has the next one be new", async () => {
  replies.set("/flaky/swr", {
    headers: [["Cache-Control", "max-age=3600, stale-while-revalidate=86400"], ["Age", "7200"], [
      "ETag",
      '"a"',
    ]],
    body: "old",
  });
  assert.equal((await get("/mirror/flaky/swr")).body.toString(), "old");
  await until("it is kept", DEADLINE_MS, async () => {
    const { headers } = await get("/mirror/flaky/swr");
    return /hit; ttl=-3/.test(headers["cache-status"] ?? "") || origin.seen("/flaky/swr").length > 1;
  });
  await until("the new one is here", DEADLINE_MS, async () => {
    const { body, headers } = await get("/mirror/flaky/swr");
    return body.toString() === "whole" && /hit; ttl=3/.test(headers["cache-status"] ?? "");
  });
  assert.equal(origin.seen("/flaky/swr").length, 2, "asked once behind them all");
});

test("a client that breaks off in the middle takes nothing from the next one", async () => {
  const gate = Promise.withResolvers<void>();
  replies.set("/gated", {
    raw: async (socket) => {
      socket.write(`${HEAD}Content-Length: 8\r\n\r\nhalf`);
      await gate.promise;
      socket.write("half");
    },
  });
  const first = await RawHttp.open(node.publicUrl);
  first.head("GET", "/mirror/gated");
  await first.begun();
  first.cut();
  gate.resolve();
  const second = await get("/mirror/gated");
  assert.equal(second.body.toString(), "halfhalf");
  assert.equal(origin.seen("/gated").length, 1);
});

test("an origin that answers nobody leaves room for the others, and whoever waits for it is told in time", async () => {
  await using silent = await startScriptedOrigin(() => ({ raw: () => {} }));
  await set("silent", { url: silent.url, timeoutSeconds: 5 });
  const clients = await Promise.all(Array.from({ length: 260 }, async (_, n) => {
    const client = await RawHttp.open(node.publicUrl);
    client.head("GET", `/silent/${n}`);
    return client;
  }));
  await until("all wait or were refused", DEADLINE_MS, async () => {
    const answered = clients.filter(({ receivedBytes }) => receivedBytes > 0).length;
    return answered + await metricOf(node.publicUrl, "http_server_active_requests") > clients.length;
  });
  const other = await get("/mirror/beside");
  assert.deepEqual([other.status, other.body.toString()], [200, "ok"]);
  const answers = await Promise.all(clients.map((each) => each.reply("GET", DEADLINE_MS)));
  for (const each of clients) each.cut();
  const counts = new Map<string, number>();
  for (const answer of answers) {
    const key = `${answer.status} ${codeOf(answer)}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  assert.deepEqual(counts, new Map([["503 overloaded", 132], ["504 origin-timeout", 128]]));
});
