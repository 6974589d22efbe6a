/** Many clients, slow clients, and all the nodes of a ring, at one origin. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { startRing } from "../helpers/atoll-ring.ts";
import { until } from "../helpers/deadline.ts";
import { ask, joinChunks, metricOf, put, RawHttp } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";
import { type Reply, type ScriptedOrigin, startScriptedOrigin } from "../helpers/scripted-origin.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const MIB = 1 << 20;
const PART_BYTES = 64 << 10;
const READERS = 100;
const DEADLINE_MS = 30_000;
const FRESH = ["Cache-Control", "max-age=3600"] as const;

const directory = temporaryDirectory();
const replies = new Map<string, Reply>();
let origin: ScriptedOrigin;
let node: AtollProcess;

before(async () => {
  origin = await startScriptedOrigin(({ path }, count) =>
    replies.get(path) ?? { headers: [FRESH], body: `answer ${count}` }
  );
  node = await startNode({
    runtime: HERE,
    dataDir: join(directory.path, "solo"),
    env: { ATOLL_ORIGIN_ALLOW_PRIVATE: "127.0.0.0/8" },
  });
  await set(node);
});
after(async () => {
  await node?.[Symbol.asyncDispose]();
  await origin?.[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

async function set(at: AtollProcess): Promise<void> {
  const settings = JSON.stringify({ origin: { url: origin.url } });
  assert.equal((await put(`${at.publicUrl}/_/buckets/mirror`, settings)).status, 201);
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Sends `first` bytes, and the rest when the gate is opened. */
function gated(
  path: string,
  content: Buffer,
  first: number,
  cacheControl: string = FRESH[1],
): { open: () => void } {
  const gate = Promise.withResolvers<void>();
  const head =
    `HTTP/1.1 200 OK\r\nCache-Control: ${cacheControl}\r\nContent-Length: ${content.length}\r\n\r\n`;
  replies.set(path, {
    raw: async (socket) => {
      socket.write(head);
      socket.write(content.subarray(0, first));
      await gate.promise;
      socket.write(content.subarray(first));
    },
  });
  return { open: () => gate.resolve() };
}

test(`${READERS} clients at once are one question, and have the first bytes before the last have come`, async () => {
  const content = randomBytes(2 * MIB);
  const gate = gated("/many", content, 100_000);
  const readers = await Promise.all(Array.from({ length: READERS }, async () => {
    const reader = await RawHttp.open(node.publicUrl);
    reader.head("GET", "/mirror/many");
    return reader;
  }));
  await until(
    "all have the beginning",
    DEADLINE_MS,
    () => readers.every((each) => each.receivedBytes > 100_000),
  );
  gate.open();
  const answers = await Promise.all(readers.map((each) => each.reply("GET", DEADLINE_MS)));
  for (const { status, body } of answers) assert.deepEqual([status, body.equals(content)], [200, true]);
  for (const reader of readers) reader.cut();
  assert.equal(origin.seen("/many").length, 1);
  assert.equal(
    answers.filter(({ headers }) => headers["cache-status"]?.includes("collapsed")).length,
    READERS - 1,
  );
  const later = await ask(`${node.publicUrl}/mirror/many`);
  assert.match(later.headers["cache-status"]!, /hit/);
  assert.equal(sha256(later.body), sha256(content), "what was kept is what came");
});

test("a client that does not read holds nobody up, and gets the whole in the end", async () => {
  const content = randomBytes(24 * MIB);
  const gate = gated("/slow", content, 1_000);
  const slow = await RawHttp.open(node.publicUrl);
  slow.head("GET", "/mirror/slow");
  await slow.begun();
  slow.pause();
  const quick = ask(`${node.publicUrl}/mirror/slow`, { deadlineMs: DEADLINE_MS });
  await until("the second is there", DEADLINE_MS, () => origin.seen("/slow").length === 1);
  gate.open();
  assert.ok((await quick).body.equals(content));
  await until("it is kept", DEADLINE_MS, async () => {
    const { headers } = await ask(`${node.publicUrl}/mirror/slow`, { method: "HEAD" });
    return /hit/.test(headers["cache-status"] ?? "");
  });
  slow.resume();
  const { body } = await slow.reply("GET", DEADLINE_MS);
  assert.ok(body.equals(content), "the slow one has all of it, in order");
  slow.cut();
  assert.equal(origin.seen("/slow").length, 1);
});

/** Sends it in chunks, as fast as it is taken; `sentBytes` of them so far. */
function unannounced(path: string, content: Buffer, cacheControl: string = FRESH[1]): { sentBytes: number } {
  const progress = { sentBytes: 0 };
  replies.set(path, {
    raw: async (socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nCache-Control: ${cacheControl}\r\nTransfer-Encoding: chunked\r\n\r\n`);
      for (let at = 0; at < content.length && !socket.destroyed; at += PART_BYTES) {
        const part = content.subarray(at, at + PART_BYTES);
        const frame = [Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from("\r\n")];
        await new Promise<void>((resolve) => socket.write(Buffer.concat(frame), () => resolve()));
        progress.sentBytes = at + part.length;
      }
      socket.write("0\r\n\r\n");
    },
  });
  return progress;
}

/** It goes no further, as far as one can see. */
async function stalled(label: string, progress: { readonly sentBytes: number }): Promise<void> {
  let [before, looks] = [-1, 0];
  await until(label, DEADLINE_MS, () => {
    looks = progress.sentBytes === before ? looks + 1 : 0;
    before = progress.sentBytes;
    return before > 0 && looks === 25;
  });
}

test("a good answer that proves too large to be kept is not cut, however slowly it is read", async () => {
  const settings = JSON.stringify({ origin: { url: origin.url, maxBytes: 24 * MIB } });
  assert.equal((await put(`${node.publicUrl}/_/buckets/limited`, settings)).status, 201);
  const content = randomBytes(32 * MIB);
  const progress = unannounced("/too-large", content);
  const slow = await RawHttp.open(node.publicUrl);
  slow.head("GET", "/limited/too-large", { Connection: "close" });
  await slow.begun();
  slow.pause();
  await stalled("no more is sent", progress);
  slow.resume();
  const answer = await slow.closed(DEADLINE_MS);
  const body = joinChunks(answer.subarray(answer.indexOf("\r\n\r\n") + 4));
  assert.equal(body.length, content.length);
  assert.ok(body.equals(content), "all of it, in order");
});

test("whoever comes while somebody reads slowly what has no length is soon served all the same", async () => {
  const content = randomBytes(32 * MIB);
  const progress = unannounced("/held-up", content);
  const slow = await RawHttp.open(node.publicUrl);
  slow.head("GET", "/mirror/held-up");
  await slow.begun();
  slow.pause();
  await stalled("no more is sent", progress);
  replies.set("/held-up", { headers: [FRESH], body: "another" });
  const others = await Promise.all([1, 2].map(() => ask(`${node.publicUrl}/mirror/held-up`)));
  assert.deepEqual(others.map(({ body }) => body.toString()), ["another", "another"]);
  slow.cut();
  await until("what was held up is kept", DEADLINE_MS, async () => {
    const { headers } = await ask(`${node.publicUrl}/mirror/held-up`, { method: "HEAD" });
    return /hit/.test(headers["cache-status"] ?? "");
  });
  const { body } = await ask(`${node.publicUrl}/mirror/held-up`);
  assert.ok(body.equals(content));
});

test("of two that vary neither takes the other's place, whichever is kept first", async () => {
  const gates = new Map(["1", "2"].map((value) => [value, Promise.withResolvers<void>()]));
  replies.set("/vary", {
    raw: async (socket, { headers }) => {
      const value = headers["accept-language"]!;
      await gates.get(value)?.promise;
      const fields = "Cache-Control: max-age=3600\r\nVary: Accept-Language\r\nContent-Length: 1\r\n";
      socket.write(`HTTP/1.1 200 OK\r\n${fields}\r\n${value}`);
    },
  });
  const read = async (value: string) =>
    await ask(`${node.publicUrl}/mirror/vary`, { headers: { "Accept-Language": value } });
  const both = { first: read("1"), second: read("2") };
  await until("both are asked for", DEADLINE_MS, () => origin.seen("/vary").length === 2);
  gates.get("1")!.resolve();
  await both.first;
  await until(
    "the first is kept",
    DEADLINE_MS,
    async () => /hit/.test((await read("1")).headers["cache-status"]!),
  );
  gates.get("2")!.resolve();
  assert.equal((await both.second).body.toString(), "2");
  await until(
    "the second is kept",
    DEADLINE_MS,
    async () => /hit/.test((await read("2")).headers["cache-status"]!),
  );
  const again = await read("1");
  assert.deepEqual([again.body.toString(), origin.seen("/vary").length], ["1", 2]);
});

test("what may not be shared is asked for by each for itself", async () => {
  const content = randomBytes(10_000);
  const gate = gated("/secret", content, 1_000, "private");
  const answers = Array.from({ length: 10 }, () => ask(`${node.publicUrl}/mirror/secret`));
  await until("each has asked", DEADLINE_MS, () => origin.seen("/secret").length === 10);
  gate.open();
  for (const { body } of await Promise.all(answers)) assert.ok(body.equals(content));
});

test("who comes while something stale comes waits for the next question, with all the others", async () => {
  const content = randomBytes(50_000);
  const gate = gated("/brief", content, 1_000, 'max-age=0\r\nETag: "a"');
  const first = ask(`${node.publicUrl}/mirror/brief`);
  await until("it is asked", DEADLINE_MS, () => origin.seen("/brief").length === 1);
  replies.set("/brief", { headers: [["Cache-Control", "max-age=0"], ["ETag", '"b"']], body: "next" });
  const others = Array.from({ length: 20 }, () => ask(`${node.publicUrl}/mirror/brief`));
  const underWay = () => metricOf(node.publicUrl, "http_server_active_requests");
  await until("all wait", DEADLINE_MS, async () => await underWay() >= 21);
  gate.open();
  assert.ok((await first).body.equals(content));
  for (const { body } of await Promise.all(others)) assert.equal(body.toString(), "next");
  assert.equal(origin.seen("/brief").length, 2, "one question for all of them");
});

test("a purge forgets copies by key, prefix and tag, or has them asked about", async () => {
  for (const [key, tag] of [["p/1", "x"], ["p/2", "y"], ["q", "x"], ["r", "z"]] as const) {
    const headers = [FRESH, ["ETag", '"a"'], ["Cache-Tag", tag]] as const;
    replies.set(`/${key}`, { headers, body: `body of ${key}` });
  }
  const asked = () => ["p/1", "p/2", "q", "r"].map((key) => origin.seen(`/${key}`).length);
  const readAll = async () => {
    for (const key of ["p/1", "p/2", "q", "r"]) {
      await until(`${key} is kept`, DEADLINE_MS, async () => {
        const { headers, body } = await ask(`${node.publicUrl}/mirror/${key}`);
        assert.equal(body.toString(), `body of ${key}`);
        return /hit; ttl=3/.test(headers["cache-status"] ?? "");
      });
    }
  };
  await readAll();
  assert.deepEqual(asked(), [1, 1, 1, 1]);
  const cases = [
    [{ keys: ["q", "none"] }, 1, [1, 1, 2, 1]],
    [{ prefix: "p/" }, 2, [2, 2, 2, 1]],
    [{ tags: ["x"] }, 2, [3, 2, 3, 1]],
    [{ tags: ["z"], prefix: "p/2" }, 2, [3, 3, 3, 2]],
    [{ prefix: "", soft: true }, undefined, [4, 4, 4, 3]],
  ] as const;
  for (const [what, copies, seen] of cases) {
    const body = JSON.stringify({ bucket: "mirror", ...what });
    const answer = await ask(`${node.publicUrl}/_/purge`, { method: "POST", body });
    const said = JSON.parse(answer.body.toString()) as { copies: number };
    if (copies !== undefined) assert.equal(said.copies, copies, body);
    await readAll();
    assert.deepEqual(asked(), seen, body);
  }
  assert.equal(origin.seen("/q").at(-1)?.headers["if-none-match"], '"a"', "a soft one only asks");
});

test("a ring of both runtimes asks once, forgets everywhere, and goes on from memory without a majority", async () => {
  await using ring = await startRing({
    runtimes: [HERE, THERE, HERE],
    directory: join(directory.path, "ring"),
    env: { ATOLL_ORIGIN_ALLOW_PRIVATE: "127.0.0.1" },
  });
  const [a, b, c] = ring.nodes;
  await set(b!);
  const get = (at: AtollProcess, key: string) => ask(`${at.publicUrl}/mirror/${key}`);
  const bodies = async (key: string): Promise<string[]> => {
    const found: string[] = [];
    for (const at of ring.nodes) found.push((await get(at, key)).body.toString());
    return found;
  };
  // A ring that has only just formed may fail to store the first time: then it is asked for again.
  const isKept = async (at: AtollProcess) => /hit/.test((await get(at, "k")).headers["cache-status"] ?? "");
  await until("it is kept", DEADLINE_MS, () => isKept(a!));
  const asked = origin.seen("/k").length;
  const one = `answer ${asked}`;
  assert.deepEqual(await bodies("k"), [one, one, one]);
  assert.equal(origin.seen("/k").length, asked);
  assert.equal((await ask(`${c!.publicUrl}/mirror/k`, { method: "DELETE" })).status, 204);
  await until("the new one is kept", DEADLINE_MS, () => isKept(c!));
  const next = `answer ${origin.seen("/k").length}`;
  assert.notEqual(next, one);
  assert.deepEqual(await bodies("k"), [next, next, next]);
  assert.equal(
    (await ask(`${a!.publicUrl}/mirror?limit=10`)).body.toString(),
    '{"objects":[],"prefixes":[],"next":null}\n',
  );
  assert.equal((await ask(`${a!.publicUrl}/`)).body.toString(), '{"buckets":[],"next":null}\n');
  await b!.kill("SIGKILL");
  await c!.kill("SIGKILL");
  const alone = await get(a!, "k");
  assert.deepEqual([alone.status, alone.body.toString()], [200, next]);
  assert.match(alone.headers["cache-status"]!, /^atoll; hit; ttl=3/);
});
