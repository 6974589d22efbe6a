/** Too many connections are told so; those that hardly move are cut, and no others. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import {
  type HttpEnv,
  type HttpListener,
  type HttpListenerOptions,
  type ListenerLimit,
  openHttpListener,
} from "../../src/adapters/http-listener.ts";
import { until } from "../helpers/deadline.ts";
import { RawHttp } from "../helpers/raw-http.ts";
import { RawSocket } from "../helpers/raw-socket.ts";

const DEADLINE_MS = 15_000;
const GRACE_MS = 400;
const opened: HttpListener[] = [];
after(async () => {
  await Promise.all(opened.map((listener) => listener.close({ graceMs: 0 })));
});

async function open(
  limits: NonNullable<HttpListenerOptions["limits"]>,
  fetch: HttpListenerOptions["fetch"] = () => new Response("hello"),
): Promise<{ port: number; url: string; limited: ListenerLimit[] }> {
  const limited: ListenerLimit[] = [];
  const onLimit = (limit: ListenerLimit) => void limited.push(limit);
  const listener = await openHttpListener({ fetch, host: "127.0.0.1", port: 0, limits, onLimit });
  opened.push(listener);
  return { port: listener.port, url: `http://127.0.0.1:${listener.port}`, limited };
}

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

for (
  const [limits, status, code] of [
    [{ maxConnections: 2 }, 503, "overloaded"],
    [{ maxConnectionsPerClient: 2 }, 429, "too-many-requests"],
  ] as const
) {
  test(`a connection beyond ${Object.keys(limits)[0]} gets ${status} and is closed, until another ends`, async () => {
    const { port, limited } = await open(limits);
    const kept = [await RawSocket.open(port, GET), await RawSocket.open(port, GET)];
    for (const socket of kept) await socket.until(/hello/);
    const answer = await (await RawSocket.open(port, GET)).closed();
    assert.match(answer, new RegExp(`^HTTP/1.1 ${status} [^]*Retry-After: 1\r\n[^]*"code":"${code}"`));
    assert.equal(answer.split("HTTP/1.1").length, 2, "one answer");
    assert.equal(limited.length, 1);
    kept[0]!.write(GET);
    await kept[0]!.until(/hello[^]*hello/);
    kept[1]!.cut();
    await until("there is room again", DEADLINE_MS, async () => {
      const socket = await RawSocket.open(port, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
      return /hello/.test(await socket.closed());
    });
    kept[0]!.cut();
  });
}

/** Reads all of the body, then says how much it was. */
async function counting({ incoming }: HttpEnv): Promise<Response> {
  let bytes = 0;
  for await (const part of incoming) bytes += (part as Uint8Array).length;
  return new Response(`got ${bytes}`);
}

test("a body that comes too slowly is cut, one that is fast enough is not, however long it takes", async () => {
  const { url, limited } = await open(
    { minBytesPerSecond: 2_000, minRateGraceMs: GRACE_MS },
    (_, env) => counting(env),
  );
  const slow = await RawHttp.open(url);
  const fast = await RawHttp.open(url);
  for (const connection of [slow, fast]) connection.head("PUT", "/", { "Content-Length": "1000000" });
  let isCut = false;
  const cut = slow.closed().then(() => (isCut = true));
  let sentBytes = 0;
  // Both send for as long as it takes until one is cut.
  await until("the slow one is cut", DEADLINE_MS, () => {
    slow.write("x");
    fast.write("x".repeat(500));
    sentBytes += 500;
    return isCut;
  });
  await cut;
  assert.deepEqual(limited, ["slow-sender"]);
  fast.write("x".repeat(1_000_000 - sentBytes));
  assert.equal((await fast.reply("PUT")).body.toString(), "got 1000000");
});

test("whoever waits for the node is not blamed for it", async () => {
  let goOn!: () => void;
  const waits = new Promise<void>((resolve) => (goOn = resolve));
  const { url, limited } = await open(
    { minBytesPerSecond: 1_000_000, minRateGraceMs: GRACE_MS },
    async (_, env) => {
      await waits;
      return await counting(env);
    },
  );
  const begunMs = performance.now();
  const patient = await RawHttp.open(url);
  patient.head("PUT", "/", { "Content-Length": "100000" });
  patient.write("x".repeat(100_000));
  await until(
    "several grace times have passed",
    DEADLINE_MS,
    () => performance.now() - begunMs > 4 * GRACE_MS,
  );
  goOn();
  assert.equal((await patient.reply("PUT")).body.toString(), "got 100000");
  assert.deepEqual(limited, []);
});

test("a reader that takes nothing is cut, one that takes its time is not", async () => {
  const piece = Buffer.alloc(64 << 10, "x");
  const pieces = 400;
  const { url, limited } = await open(
    { minBytesPerSecond: 1 << 20, minRateGraceMs: GRACE_MS },
    () =>
      new Response(
        new ReadableStream({
          start: (controller) => {
            for (let i = 0; i < pieces; i++) controller.enqueue(new Uint8Array(piece));
            controller.close();
          },
        }),
        { headers: { "Content-Length": String(pieces * piece.length) } },
      ),
  );
  const stuck = await RawHttp.open(url);
  stuck.head("GET", "/");
  await stuck.begun();
  stuck.pause();
  await until("the reader is cut", DEADLINE_MS, () => limited.length > 0);
  assert.deepEqual(limited, ["slow-reader"]);
  stuck.cut();
  const normal = await RawHttp.open(url);
  normal.head("GET", "/");
  assert.equal((await normal.reply("GET")).body.length, pieces * piece.length);
  normal.cut();
  assert.equal(limited.length, 1);
});
