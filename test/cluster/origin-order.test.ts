/** What one reader's question to an origin means for the others: who may have its answer, and what must not come of it. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { startRing } from "../helpers/atoll-ring.ts";
import { until, within } from "../helpers/deadline.ts";
import { ask, metricOf, put, RawHttp, type Reply as Answer } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";
import { type Reply, type ScriptedOrigin, startScriptedOrigin } from "../helpers/scripted-origin.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const DEADLINE_MS = 30_000;
const FRESH = ["Cache-Control", "max-age=3600"] as const;
const BRIEF = [["Cache-Control", "max-age=3"], ["ETag", '"a"']] as const;
const MAY_BE_STALE = { "Cache-Control": "stale-if-error=86400" };

const directory = temporaryDirectory();
/** By path, one after the other, the last again and again. */
const replies = new Map<string, readonly Reply[]>();
let origin: ScriptedOrigin;
let node: AtollProcess;

before(async () => {
  origin = await startScriptedOrigin(({ path }, count) => {
    const all = replies.get(path) ?? [];
    return all[Math.min(count, all.length) - 1] ?? { status: 404 };
  });
  node = await startNode({
    runtime: HERE,
    dataDir: join(directory.path, "data"),
    env: { ATOLL_ORIGIN_ALLOW_PRIVATE: "127.0.0.1" },
  });
  const settings = JSON.stringify({ origin: { url: origin.url } });
  assert.equal((await put(`${node.publicUrl}/_/buckets/mirror`, settings)).status, 201);
});
after(async () => {
  await node?.[Symbol.asyncDispose]();
  await origin?.[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

function get(key: string, headers: Record<string, string> = {}): Promise<Answer> {
  return ask(`${node.publicUrl}/mirror/${key}`, { headers, deadlineMs: DEADLINE_MS });
}

function said({ status, headers, body }: Answer): string {
  return `${status} ${body.toString().slice(0, 100)} | ${headers["cache-status"]}`;
}

function unasked(key: string, headers: Record<string, string> = {}): Promise<Answer> {
  return get(key, { "Cache-Control": "only-if-cached", ...headers });
}

async function isKept(key: string, headers: Record<string, string> = {}): Promise<void> {
  await until(`${key} is kept`, DEADLINE_MS, async () => (await unasked(key, headers)).status === 200);
}

async function asked(key: string, times: number): Promise<void> {
  await until(
    `${key} is asked for ${times} times`,
    DEADLINE_MS,
    () => origin.seen(`/${key}`).length >= times,
  );
}

/** So many requests, besides the one that asks, are waiting. */
async function underWay(count: number): Promise<void> {
  const now = () => metricOf(node.publicUrl, "http_server_active_requests");
  await until(`${count} requests wait`, DEADLINE_MS, async () => await now() > count);
}

/** Answers when the gate is opened. */
function held(answer: string): { reply: Reply; open: () => void } {
  const gate = Promise.withResolvers<void>();
  return {
    open: gate.resolve,
    reply: {
      raw: async (socket) => {
        await gate.promise;
        if (answer === "") socket.destroy();
        else socket.write(answer);
      },
    },
  };
}

const UNAVAILABLE = "HTTP/1.1 503 Down\r\nContent-Length: 4\r\n\r\ndown";

for (const [what, answer, status] of [["says 503", UNAVAILABLE, 503], ["hangs up", "", 502]] as const) {
  test(`an origin that ${what}: each of two who wait has the stale copy only if it said it would`, async () => {
    for (const [first, second] of [[MAY_BE_STALE, {}], [{}, MAY_BE_STALE]] as const) {
      const key = `stand-in-${status}-${Object.keys(first).length}`;
      const gate = held(answer);
      const later: Reply = answer === ""
        ? { raw: (socket) => void socket.destroy() }
        : { status: 503, body: "down" };
      replies.set(`/${key}`, [{ headers: BRIEF, body: "old" }, gate.reply, later]);
      assert.equal((await get(key)).body.toString(), "old");
      await isKept(key);
      await until(`${key} is stale`, DEADLINE_MS, async () => (await unasked(key)).status === 504);
      const one = get(key, first);
      await asked(key, 2);
      const other = get(key, second);
      await underWay(2);
      gate.open();
      for (const [answered, directives] of [[await one, first], [await other, second]] as const) {
        if (directives === MAY_BE_STALE) assert.match(said(answered), /^200 old .*stale-if-error/, key);
        else assert.equal(answered.status, status, `${key}: ${said(answered)}`);
      }
    }
  });
}

async function purge(what: object, at = node): Promise<{ complete: boolean; copies: number }> {
  const body = JSON.stringify({ bucket: "mirror", ...what });
  const answer = await ask(`${at.publicUrl}/_/purge`, { method: "POST", body });
  assert.equal(answer.status, 200, said(answer));
  return JSON.parse(answer.body.toString()) as { complete: boolean; copies: number };
}

test("a purge by tag finds a key by the tags of any of its variants, and counts it once", async () => {
  const tagged = (coding: string): Reply => ({
    headers: [FRESH, ["Vary", "Accept-Encoding"], ["Cache-Tag", `all, t-${coding}`]],
    body: coding,
  });
  const codings = ["gzip", "br", "zstd"];
  const readAll = async () => {
    for (const coding of codings) {
      assert.equal((await get("tagged", { "Accept-Encoding": coding })).status, 200);
      await isKept("tagged", { "Accept-Encoding": coding });
    }
  };
  replies.set("/tagged", codings.map(tagged));
  await readAll();
  assert.equal(origin.seen("/tagged").length, 3);
  assert.equal((await purge({ tags: ["t-none"] })).copies, 0);
  assert.equal((await purge({ tags: ["t-br"] })).copies, 1);
  for (const coding of codings) {
    const answer = await unasked("tagged", { "Accept-Encoding": coding });
    assert.equal(answer.status, 504, `${coding}: ${said(answer)}`);
  }
  // What lies in the slots from before the purge says nothing of the key as it is now.
  replies.set("/tagged", [{ headers: [FRESH, ["Vary", "Accept-Encoding"]], body: "untagged" }]);
  await readAll();
  assert.equal((await purge({ tags: ["t-br", "all"] })).copies, 0);
  replies.set("/tagged", [{ headers: [FRESH, ["Vary", "Accept-Encoding"], ["Cache-Tag", "z"]], body: "z" }]);
  assert.equal((await purge({ keys: ["tagged"] })).copies, 1);
  await readAll();
  assert.equal((await purge({ tags: ["z"] })).copies, 1);
});

/** More than fits between a node and a client that does not read. */
const LONG = randomBytes(24 << 20);

interface Slow {
  /** All of it comes; resolves with what the client got, which it has only when nothing is left to be kept of it. */
  finish(): Promise<Answer>;
}

/** A client that began to read a long answer, of which more comes only when it is told to. */
async function beginSlowly(key: string, more: readonly Reply[], at = node): Promise<Slow> {
  const gate = Promise.withResolvers<void>();
  const sent = Promise.withResolvers<void>();
  const head = `HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nCache-Tag: slow\r\nETag: "slow"\r\n`;
  const reply: Reply = {
    raw: async (socket) => {
      socket.write(`${head}Content-Length: ${LONG.length}\r\n\r\n`);
      socket.write(LONG.subarray(0, 1_000));
      await gate.promise;
      socket.write(LONG.subarray(1_000), () => sent.resolve());
    },
  };
  const before = origin.seen(`/${key}`).length;
  replies.set(`/${key}`, [...Array.from({ length: before }, () => ({ status: 404 })), reply, ...more]);
  const client = await RawHttp.open(at.publicUrl);
  client.head("GET", `/mirror/${key}`);
  await client.begun();
  client.pause();
  return {
    async finish() {
      gate.resolve();
      await within(sent.promise, DEADLINE_MS, `${key} has been sent`);
      client.resume();
      const answer = await client.reply("GET", DEADLINE_MS);
      client.cut();
      return answer;
    },
  };
}

const NEW: Reply = { headers: [FRESH], body: "new" };

test("an answer does not take the place of one that was asked for after it", async () => {
  const slow = await beginSlowly("overtaken", [NEW]);
  assert.equal((await get("overtaken", { "Cache-Control": "no-cache" })).body.toString(), "new");
  await isKept("overtaken");
  assert.ok((await slow.finish()).body.equals(LONG), "who asked for it has all of it");
  assert.match(said(await get("overtaken")), /^200 new .*hit/);
  assert.equal(origin.seen("/overtaken").length, 2);
});

test("an answer that is not to be kept takes nothing with it that was asked for after it", async () => {
  const gate = held("HTTP/1.1 404 Gone\r\nCache-Control: no-store\r\nContent-Length: 4\r\n\r\ngone");
  replies.set("/gone", [{ headers: BRIEF, body: "old" }, gate.reply, NEW]);
  await get("gone");
  await isKept("gone");
  await until("it is stale", DEADLINE_MS, async () => (await unasked("gone")).status === 504);
  const first = get("gone");
  await asked("gone", 2);
  assert.equal((await get("gone", { "Cache-Control": "no-cache" })).body.toString(), "new");
  await isKept("gone");
  gate.open();
  assert.equal((await first).status, 404);
  assert.match(said(await get("gone")), /^200 new .*hit/);
});

async function forget(key: string, at = node): Promise<void> {
  const { status } = await ask(`${at.publicUrl}/mirror/${key}`, { method: "DELETE" });
  assert.equal(status, 204);
}

const FORGETTING: readonly (readonly [what: string, key: string, forget: () => Promise<unknown>])[] = [
  ["a purge of its key", "by-key", () => purge({ keys: ["by-key"] })],
  ["a soft purge of its key", "by-key-softly", () => purge({ keys: ["by-key-softly"], soft: true })],
  ["a purge of its prefix", "by-prefix", () => purge({ prefix: "by-pre" })],
  ["a purge of its tag", "by-tag", () => purge({ tags: ["slow"] })],
  ["a DELETE", "by-delete", () => forget("by-delete")],
];
for (const [what, key, done] of FORGETTING) {
  test(`${what}: an answer that was on its way is not kept, and not joined, and its reader has all of it`, async () => {
    const slow = await beginSlowly(key, [NEW]);
    await done();
    assert.ok((await slow.finish()).body.equals(LONG));
    assert.equal((await unasked(key)).status, 504);
    const again = await beginSlowly(key, [NEW]);
    await done();
    assert.match(said(await get(key)), /^200 new .*uri-miss/, "asked for anew");
    await isKept(key);
    assert.ok((await again.finish()).body.equals(LONG));
    assert.match(said(await get(key)), /^200 new .*hit/);
  });
}

test("a question that was under way at a purge is joined by nobody when its answer comes at last", async () => {
  const begun = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const reply: Reply = {
    raw: async (socket) => {
      await begun.promise;
      socket.write("HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: 6\r\n\r\nold");
      await ended.promise;
      socket.write("old");
    },
  };
  replies.set("/asked", [reply, NEW]);
  const client = await RawHttp.open(node.publicUrl);
  client.head("GET", "/mirror/asked");
  await asked("asked", 1);
  await purge({ tags: ["whatever it may bear"] });
  begun.resolve();
  await client.begun();
  assert.match(said(await get("asked")), /^200 new .*uri-miss/);
  await isKept("asked");
  ended.resolve();
  assert.equal((await client.reply("GET", DEADLINE_MS)).body.toString(), "oldold");
  client.cut();
  assert.match(said(await get("asked")), /^200 new .*hit/);
});

test("a purge by another tag or prefix leaves alone what is on its way", async () => {
  const slow = await beginSlowly("unconcerned", [NEW]);
  await purge({ tags: ["fast"], prefix: "other" });
  assert.ok((await slow.finish()).body.equals(LONG));
  assert.match(said(await get("unconcerned", { Range: "bytes=0-3" })), /^206 .*hit/);
});

test("what is on its way to one node is not kept after a purge at another, or a DELETE of an older one", async () => {
  await using ring = await startRing({
    runtimes: [HERE, THERE, HERE],
    directory: join(directory.path, "ring"),
    env: { ATOLL_ORIGIN_ALLOW_PRIVATE: "127.0.0.1" },
  });
  const [a, b, c] = ring.nodes;
  const settings = JSON.stringify({ origin: { url: origin.url } });
  assert.equal((await put(`${b!.publicUrl}/_/buckets/mirror`, settings)).status, 201);
  const read = (key: string, at: AtollProcess, cacheControl = "max-stale=0") =>
    ask(`${at.publicUrl}/mirror/${key}`, { headers: { "Cache-Control": cacheControl } });
  // A ring that has only just formed may fail to store the first time: then it is asked for again.
  const old = { headers: BRIEF, body: "old" };
  replies.set("/deleted", [old]);
  const kept = async (at: AtollProcess) => /; hit/.test(said(await read("deleted", at)));
  await until("an older one is kept", DEADLINE_MS, () => kept(a!));
  const unaskedAt = (at: AtollProcess) => read("deleted", at, "only-if-cached");
  await until("it is stale", DEADLINE_MS, async () => (await unaskedAt(a!)).status === 504);
  const cases = [["purged", () => purge({ keys: ["purged"] }, b)], ["deleted", () => forget("deleted", b)]];
  for (const [key, done] of cases as [string, () => Promise<unknown>][]) {
    const slow = await beginSlowly(key, [NEW], a);
    const said = await done() as { complete?: boolean } | undefined;
    if (said) assert.equal(said.complete, true);
    assert.ok((await slow.finish()).body.equals(LONG));
    assert.equal((await read(key, c!)).body.toString(), "new", key);
  }
});
