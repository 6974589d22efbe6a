/** Requests that are one too many: told so at once, and kept waiting where they come too soon again. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type HttpListener, openHttpListener, type Overload } from "../../src/adapters/http-listener.ts";
import { until } from "../helpers/deadline.ts";
import { RawHttp } from "../helpers/raw-http.ts";

const DEADLINE_MS = 15_000;
const opened: HttpListener[] = [];
after(async () => {
  await Promise.all(opened.map((listener) => listener.close({ graceMs: 0 })));
});

class Full implements Overload {
  isFlood: boolean;
  isOver = false;
  asked = 0;
  readonly given: (string | undefined)[] = [];

  constructor(isFlood: boolean) {
    this.isFlood = isFlood;
  }

  isFull(method: string): boolean {
    this.asked++;
    return method === "PUT" && !this.isOver;
  }

  turnAway(_method: string, givenId: string | undefined) {
    this.given.push(givenId);
    return { requestId: givenId ?? `id-${this.given.length}`, retryAfterSeconds: 1 };
  }
}

async function open(overload: Overload): Promise<{ url: string; listener: HttpListener; reached: string[] }> {
  const reached: string[] = [];
  const listener = await openHttpListener({
    host: "127.0.0.1",
    port: 0,
    overload: () => overload,
    fetch: async (_request, { incoming }) => {
      reached.push(`${incoming.method} ${incoming.url}`);
      for await (const _ of incoming);
      return new Response("hello");
    },
  });
  opened.push(listener);
  return { url: `http://127.0.0.1:${listener.port}`, listener, reached };
}

function put(connection: RawHttp, target: string, headers: Record<string, string> = {}): void {
  connection.head("PUT", target, { "Content-Length": "5", ...headers });
  connection.write("xxxxx");
}

test("one too many is told when to come back, and its connection goes on", async () => {
  const overload = new Full(false);
  const { url, reached } = await open(overload);
  const connection = await RawHttp.open(url);
  put(connection, "/a", { "X-Request-Id": "mine" });
  const { status, headers, body } = await connection.reply();
  assert.equal(status, 503);
  assert.equal(headers["retry-after"], "1");
  assert.equal(headers["ratelimit"], '"load";r=0;t=1');
  assert.equal(headers["x-request-id"], "mine");
  assert.equal(headers["content-type"], "application/problem+json");
  assert.equal(headers["connection"] ?? "keep-alive", "keep-alive");
  assert.deepEqual(JSON.parse(body.toString()), {
    type: "urn:atoll:error:overloaded",
    title: "Service Unavailable",
    status: 503,
    detail: "wanted fewer requests under way, got one more",
    code: "overloaded",
    requestId: "mine",
  });
  put(connection, "/b");
  assert.equal((await connection.reply()).status, 503, "no flood: it is told again at once");
  connection.head("GET", "/c");
  assert.equal((await connection.reply()).status, 200);
  assert.deepEqual(reached, ["GET /c"]);
  assert.deepEqual(overload.given, ["mine", undefined]);
  connection.cut();
});

test("in a flood whoever comes back too soon waits until the time has passed that it was told", async () => {
  const overload = new Full(true);
  const { url, reached } = await open(overload);
  const hasty = await RawHttp.open(url);
  const toldMs = performance.now();
  put(hasty, "/a");
  assert.equal((await hasty.reply()).status, 503, "the first time is told at once");
  put(hasty, "/b");
  const other = await RawHttp.open(url);
  put(other, "/c");
  assert.equal((await other.reply()).status, 503, "others are told at once meanwhile");
  assert.equal((await hasty.reply()).status, 503);
  assert.ok(performance.now() - toldMs >= 1_000, `wanted a second, got ${performance.now() - toldMs} ms`);
  put(hasty, "/d");
  await until("it was asked whether there is room", DEADLINE_MS, () => overload.asked === 5);
  overload.isOver = true;
  assert.equal((await hasty.reply()).body.toString(), "hello", "where there is room again, it is let in");
  assert.deepEqual(reached, ["PUT /d"]);
  for (const connection of [hasty, other]) connection.cut();
});

test("who waits so and goes away is forgotten; a listener that closes tells those that wait", async () => {
  const overload = new Full(true);
  const { url, listener } = await open(overload);
  const [gone, stays] = [await RawHttp.open(url), await RawHttp.open(url)];
  for (const connection of [gone, stays]) {
    put(connection, "/a");
    assert.equal((await connection.reply()).status, 503);
    put(connection, "/b");
  }
  await until("both wait", DEADLINE_MS, () => overload.asked === 4);
  gone.cut();
  await until("one of them is forgotten", DEADLINE_MS, () => listener.held() === 1);
  const closing = listener.close({ graceMs: DEADLINE_MS });
  assert.equal((await stays.reply()).status, 503);
  await closing;
  assert.equal(overload.given.length, 3, "and who is gone is told nothing");
});
