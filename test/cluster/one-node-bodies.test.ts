/** Bodies that end early, clients that go away and clients that stop reading. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { until } from "../helpers/deadline.ts";
import { ask, codeOf, metricOf, put, RawHttp } from "../helpers/raw-http.ts";
import { HERE } from "../helpers/raw-start.ts";

const MIB = 1 << 20;
const MAX_OBJECT_BYTES = 64 * MIB;
/** What a process may grow by: buffers of sockets and of uploads, and garbage; far less than what waits. */
const GROWTH_BYTES_MAX = 160 * MIB;

let directory: string;
let node: AtollProcess;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-bodies-"));
  node = await startNode({
    runtime: HERE,
    dataDir: join(directory, "data"),
    env: { ATOLL_MAX_OBJECT_BYTES: String(MAX_OBJECT_BYTES), ATOLL_MEMORY_CACHE_BYTES: String(8 * MIB) },
  });
});
after(async () => {
  await node[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

/** The question itself is one of them. */
const othersUnderWay = async () => await metricOf(node.publicUrl, "http_server_active_requests") - 1;

async function allEnded(what: string): Promise<void> {
  await until(`${what} is no longer under way`, 10_000, async () => await othersUnderWay() === 0, node.lines);
}

/** Each writes less than it announced: a part of a declared body, or chunks without the last one. */
const FRAMINGS = {
  declared: { headers: { "Content-Length": String(4 * MIB) }, part: randomBytes(2 * MIB) },
  chunked: {
    headers: { "Transfer-Encoding": "chunked" },
    part: Buffer.concat([Buffer.from("200000\r\n"), randomBytes(2 * MIB), Buffer.from("\r\n")]),
  },
  "chunked, cut within a chunk": {
    headers: { "Transfer-Encoding": "chunked" },
    part: Buffer.concat([Buffer.from("400000\r\n"), randomBytes(2 * MIB)]),
  },
  "small and declared": { headers: { "Content-Length": "10" }, part: Buffer.from("12345") },
} as const;
const CUTS = {
  FIN: (connection: RawHttp) => connection.end(),
  RST: (connection: RawHttp) => connection.cut(),
};

for (const [framing, { headers, part }] of Object.entries(FRAMINGS)) {
  for (const [way, cut] of Object.entries(CUTS)) {
    test(`a ${framing} body that ends early with ${way} stores nothing and replaces nothing`, async () => {
      const fresh = `/cut/${encodeURIComponent(`${framing} ${way} fresh`)}`;
      const old = `/cut/${encodeURIComponent(`${framing} ${way} old`)}`;
      assert.equal((await put(node.publicUrl + old, "as it was")).status, 201);
      for (const target of [fresh, old]) {
        const connection = await RawHttp.open(node.publicUrl);
        connection.head("PUT", target, headers);
        connection.write(part);
        await connection.flushed();
        // It must be the body that is cut, and not a request that was never read.
        await until(`${target} is under way`, 10_000, async () => await othersUnderWay() === 1, node.lines);
        cut(connection);
        const said = (await connection.closed()).toString("latin1");
        assert.doesNotMatch(said, /^HTTP\/1.1 2/, `half of a body is not acknowledged: ${said}`);
        await allEnded(target);
      }
      assert.equal((await ask(node.publicUrl + fresh)).status, 404);
      const kept = await ask(node.publicUrl + old);
      assert.equal(kept.body.toString(), "as it was");
      assert.equal(kept.headers["atoll-version"], "1");
    });
  }
}

test("a declared length above the limit is 413 before any of the body is asked for", async () => {
  const connection = await RawHttp.open(node.publicUrl);
  connection.head("PUT", "/limits/declared", {
    "Content-Length": String(MAX_OBJECT_BYTES + 1),
    Expect: "100-continue",
  });
  const reply = await connection.reply("PUT");
  assert.deepEqual([reply.status, codeOf(reply)], [413, "too-large"]);
  assert.equal(
    (await connection.closed()).length,
    0,
    "and the connection, of which nobody knows the state, ends",
  );
});

test("Expect: 100-continue is answered with 100, and then the body is stored", async () => {
  const connection = await RawHttp.open(node.publicUrl);
  connection.head("PUT", "/limits/continued", { "Content-Length": "4", Expect: "100-continue" });
  assert.equal((await connection.reply("PUT")).status, 100);
  connection.write("body");
  assert.equal((await connection.reply("PUT")).status, 201);
  connection.cut();
});

test("clients that go away in mid-upload leave nothing under way and no memory held", async () => {
  await warmUp();
  const before = node.memory().rssBytes;
  const part = randomBytes(8 * MIB);
  const uploads = await Promise.all(Array.from({ length: 8 }, async (_, i) => {
    const connection = await RawHttp.open(node.publicUrl);
    connection.head("PUT", `/gone/${i}`, { "Content-Length": String(48 * MIB) });
    connection.write(part);
    connection.write(part);
    await connection.flushed();
    return connection;
  }));
  assert.equal(await othersUnderWay(), uploads.length);
  const held = node.memory().rssBytes - before;
  assert.ok(held < GROWTH_BYTES_MAX, `wanted less than ${GROWTH_BYTES_MAX} bytes more, got ${held}`);
  for (const upload of uploads) upload.cut();
  await allEnded("an upload whose client has gone");
  const { objects } = JSON.parse((await ask(`${node.publicUrl}/gone`)).body.toString()) as {
    objects: unknown[];
  };
  assert.deepEqual(objects, []);
});

test("clients that stop reading 64 MiB hold little memory, hinder nobody, and are let go with their connection", async () => {
  const url = await warmUp();
  const before = node.memory().rssBytes;
  const stalled = await Promise.all(Array.from({ length: 8 }, async () => {
    const connection = await RawHttp.open(node.publicUrl);
    connection.head("GET", new URL(url).pathname);
    await connection.begun();
    connection.pause();
    return connection;
  }));
  assert.equal((await put(`${node.publicUrl}/stalled/other`, "other")).status, 201);
  for (let i = 0; i < 50; i++) {
    assert.equal((await ask(`${node.publicUrl}/stalled/other`, { deadlineMs: 2_000 })).status, 200);
  }
  assert.equal((await ask(url)).body.length, 64 * MIB);
  assert.equal(await othersUnderWay(), stalled.length, "they are stalled, and not served");
  const held = node.memory().rssBytes - before;
  assert.ok(held < GROWTH_BYTES_MAX, `wanted less than ${GROWTH_BYTES_MAX} bytes more, got ${held}`);
  for (const connection of stalled) connection.cut();
  await allEnded("a download whose client has gone");
});

/** A whole upload and download, so that what the process needs for one is there before anything is compared. */
async function warmUp(): Promise<string> {
  const url = `${node.publicUrl}/warm/large`;
  const content = Buffer.alloc(64 * MIB, randomBytes(MIB - 1)); // no two chunks alike
  assert.ok([200, 201].includes((await put(url, content)).status));
  assert.ok((await ask(url)).body.equals(content));
  return url;
}
