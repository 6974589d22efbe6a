/** What one reader's question to an origin means for the others: who may have its answer, and what must not come of it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { until } from "../helpers/deadline.ts";
import { ask, metricOf, put, type Reply as Answer } from "../helpers/raw-http.ts";
import { HERE } from "../helpers/raw-start.ts";
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

async function purge(what: object): Promise<{ complete: boolean; copies: number }> {
  const body = JSON.stringify({ bucket: "mirror", ...what });
  const answer = await ask(`${node.publicUrl}/_/purge`, { method: "POST", body });
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
