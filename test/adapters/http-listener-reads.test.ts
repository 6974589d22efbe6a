/** Reads in their usual form need no Request; all else is `fetch`'s, and nothing that was watched over is overlooked. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import {
  type HttpListener,
  type HttpListenerOptions,
  type ListenerLimit,
  openHttpListener,
} from "../../src/adapters/http-listener.ts";
import { until, within } from "../helpers/deadline.ts";
import { RawSocket } from "../helpers/raw-socket.ts";

const DEADLINE_MS = 15_000;
const opened: HttpListener[] = [];
after(async () => {
  await Promise.all(opened.map((listener) => listener.close({ graceMs: 0 })));
});

type Read = NonNullable<HttpListenerOptions["read"]>;

async function open(
  read: Read,
  limits: HttpListenerOptions["limits"] = {},
): Promise<HttpListener & { limited: ListenerLimit[] }> {
  const limited: ListenerLimit[] = [];
  const listener = await openHttpListener({
    fetch: () => new Response("by fetch"),
    read,
    limits,
    onLimit: (limit) => void limited.push(limit),
    host: "127.0.0.1",
    port: 0,
  });
  opened.push(listener);
  return Object.assign(listener, { limited });
}

const SENT = new Response();

const byRead: Read = ({ outgoing }) => {
  outgoing.end("by read");
  return SENT;
};

async function answerOf(listener: HttpListener, text: string): Promise<string> {
  const [line, ...headers] = text.split("\n");
  const head = [line, ...headers, "Connection: close", "", ""].join("\r\n");
  return await (await RawSocket.open(listener.port, head)).closed();
}

const table: readonly (readonly [string, RegExp])[] = [
  ["GET /a/b?c=%20 HTTP/1.1\nHost: a.example:8080", / 200 OK[^]*by read/],
  ["HEAD / HTTP/1.1\nHost: [::1]:8080", / 200 OK/],
  ["HEAD /a HTTP/1.1\nHost: 127.0.0.1:65535", / 200 OK/],
  ["GET /a HTTP/1.0\nHost: a", / 200 OK[^]*by read/],
  ["GET /a HTTP/1.0", / 200 OK[^]*by fetch/],
  ["GET http://a/b HTTP/1.1\nHost: a", / 200 OK[^]*by fetch/],
  ["GET /a|b HTTP/1.1\nHost: a", / 200 OK[^]*by fetch/],
  ["PUT /a HTTP/1.1\nHost: a\nContent-Length: 0", / 200 OK[^]*by fetch/],
  ["DELETE /a HTTP/1.1\nHost: a", / 200 OK[^]*by fetch/],
  ["GET /a HTTP/1.1", / 400 [^]*wanted one Host header/],
  ["GET /a HTTP/1.1\nHost: a\nHost: a", / 400 [^]*wanted one Host header/],
  ["GET /a HTTP/1.1\nHost: a/b", / 400 [^]*wanted a request target and host/],
  ["GET /a HTTP/1.1\nHost: a:99999", / 400 [^]*wanted a request target and host/],
  ["GET /a\\b HTTP/1.1\nHost: a", / 400 /],
];

for (const [text, wanted] of table) {
  test(`read or fetch: ${text.replace("\n", ", ").replace("\n", ", ")}`, async () => {
    assert.match(await answerOf(await open(byRead), text), wanted);
  });
}

test("what read leaves alone is fetch's", async () => {
  assert.match(await answerOf(await open(() => undefined), "GET / HTTP/1.1\nHost: a"), /by fetch/);
});

test("reads of one connection are answered in their order, late ones and early ones", async () => {
  const { port } = await open(({ incoming, outgoing }) => {
    const { promise, resolve } = Promise.withResolvers<Response>();
    const answer = (): void => {
      outgoing.end(`[${incoming.url}]`);
      resolve(SENT);
    };
    if (incoming.url !== "/late") {
      answer();
      return SENT;
    }
    setImmediate(answer);
    return promise;
  });
  const request = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
  const socket = await RawSocket.open(port, ["/1", "/late", "/2", "/3"].map(request).join(""));
  const text = await socket.until(/\[\/3\]/);
  assert.deepEqual(text.match(/\[.*?\]/g), ["[/1]", "[/late]", "[/2]", "[/3]"]);
  socket.cut();
});

for (
  const [how, read] of [
    ["throws", () => {
      throw new Error("secret");
    }],
    ["rejects", () => Promise.reject(new Error("secret"))],
  ] as const satisfies readonly (readonly [string, Read])[]
) {
  test(`a read that ${how} is answered 500, and nothing is told of why`, async () => {
    const answer = await answerOf(await open(read), "GET / HTTP/1.1\nHost: a");
    assert.match(answer, / 500 [^]*"code":"internal"/);
    assert.doesNotMatch(answer, /secret/);
  });
}

test("a read that fails in the midst of its answer has the connection cut", async () => {
  const listener = await open(async ({ outgoing }) => {
    outgoing.writeHead(200, { "Content-Length": "10" });
    await new Promise((resolve) => outgoing.write("half", resolve));
    throw new Error("broken");
  });
  const text = await (await RawSocket.open(listener.port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")).closed();
  assert.match(text, / 200 OK[^]*half$/);
});

test("whoever does not take what a read answered at once is cut, too", async () => {
  const bytes = new Uint8Array(64 << 20);
  const listener = await open(({ outgoing }) => {
    outgoing.end(bytes);
    return SENT;
  }, { minBytesPerSecond: 100 << 20, minRateGraceMs: 200 });
  const socket = await RawSocket.open(listener.port);
  socket.pause();
  socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await until("the reader is cut", DEADLINE_MS, () => listener.limited.includes("slow-reader"));
  socket.cut();
});

test("HttpListener.close waits for the reads that are under way", async () => {
  const { promise: begun, resolve: begin } = Promise.withResolvers<() => void>();
  const listener = await open(({ outgoing }) => {
    const { promise, resolve } = Promise.withResolvers<Response>();
    begin(() => {
      outgoing.end("done");
      resolve(SENT);
    });
    return promise;
  });
  const socket = await RawSocket.open(listener.port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  const answer = await within(begun, DEADLINE_MS, "the read is under way", []);
  const closed = listener.close({ graceMs: DEADLINE_MS });
  answer();
  assert.match(await socket.closed(), /connection: close[^]*done$/i);
  await within(closed, DEADLINE_MS, "the listener is closed", []);
});
