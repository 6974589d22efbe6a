import assert from "node:assert/strict";
import { once } from "node:events";
import { after, test } from "node:test";
import {
  type HttpEnv,
  type HttpListener,
  type HttpListenerOptions,
  openHttpListener,
} from "../../src/adapters/http-listener.ts";
import type { Refusal } from "../../src/adapters/listener-refusal.ts";
import { isAtollError } from "../../src/errors.ts";
import { until, within } from "../helpers/deadline.ts";
import { answerTo, RawSocket } from "../helpers/raw-socket.ts";

const DEADLINE_MS = 10_000;
const listeners: HttpListener[] = [];
after(async () => {
  await Promise.all(listeners.map((listener) => listener.close({ graceMs: 0 })));
});

type Fetch = HttpListenerOptions["fetch"];

async function open(fetch: Fetch, options: Partial<HttpListenerOptions> = {}): Promise<HttpListener> {
  const listener = await openHttpListener({ fetch, host: "127.0.0.1", port: 0, ...options });
  listeners.push(listener);
  return listener;
}

/** How reading the body ended: its bytes, or the error's code. */
async function readBody({ incoming }: HttpEnv): Promise<string> {
  let text = "";
  try {
    for await (const part of incoming) text += String(part);
    return text;
  } catch (error) {
    return `error ${error instanceof Error && "code" in error ? String(error.code) : String(error)}`;
  }
}

function problemIn(answer: string): Record<string, unknown> {
  assert.match(answer, /^Content-Type: application\/problem\+json\r$/im);
  assert.match(answer, /^X-Request-Id: [\x21-\x7e]+\r$/im);
  const body = answer.slice(answer.indexOf("{"), answer.lastIndexOf("}") + 1);
  const problem = JSON.parse(body) as Record<string, unknown>;
  assert.equal(problem["type"], `urn:atoll:error:${String(problem["code"])}`);
  assert.match(answer, new RegExp(`^HTTP/1\\.1 ${String(problem["status"])} `));
  return problem;
}

const hello: Fetch = () => new Response("hello", { headers: { "content-type": "text/plain" } });
const GET = "GET / HTTP/1.1\r\nHost: a\r\n";

test("openHttpListener answers requests on one connection, in order", async () => {
  const { port } = await open((request) => new Response(new URL(request.url).pathname));
  const socket = await RawSocket.open(
    port,
    "GET /one HTTP/1.1\r\nHost: a\r\n\r\nGET /two HTTP/1.1\r\nHost: a\r\n\r\n",
  );
  const text = await socket.until(/\/two/);
  assert.match(text, /\/one[\s\S]*\/two/);
  socket.cut();
});

test("openHttpListener answers HTTP/1.0 without a Host", async () => {
  const { port } = await open(hello);
  assert.match(await answerTo(port, "GET / HTTP/1.0\r\n\r\n"), /^HTTP\/1\.1 200 [\s\S]*hello/);
});

const refused: readonly (readonly [string, string, number, string])[] = [
  ["headers beyond the limit", `${GET}A: ${"a".repeat(40_000)}\r\n\r\n`, 431, "headers-too-large"],
  ["1,000 headers", `${GET}${"A:\r\n".repeat(999)}\r\n`, 431, "headers-too-large"],
  ["more headers than a parser reads", `${GET}${"A:\r\n".repeat(1_500)}\r\n`, 431, "headers-too-large"],
  [
    "a condition behind 1,000 headers",
    `PUT / HTTP/1.1\r\nHost: a\r\n${"A:\r\n".repeat(1_000)}If-None-Match: *\r\nContent-Length: 0\r\n\r\n`,
    431,
    "headers-too-large",
  ],
  ["a method that is none", "FROB / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method-not-allowed"],
  ["a tunnel", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405, "method-not-allowed"],
  ["non-ASCII bytes in the target", "GET /\u00e9 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid-argument"],
  ["a header without a colon", "GET / HTTP/1.1\r\nHost: a\r\nbroken\r\n\r\n", 400, "invalid-argument"],
  [
    "a length and chunks at once",
    "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    400,
    "invalid-argument",
  ],
  [
    "a coding it cannot undo",
    "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    400,
    "invalid-argument",
  ],
  ["no Host", "GET / HTTP/1.1\r\n\r\n", 400, "invalid-argument"],
  ["two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "invalid-argument"],
  ["a Host that is none", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "invalid-argument"],
  [
    "an expectation that nobody can meet",
    "PUT / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n",
    417,
    "invalid-argument",
  ],
];

for (const [what, text, status, code] of refused) {
  test(`openHttpListener refuses ${what} with ${status} ${code}`, async () => {
    const seen: Refusal[] = [];
    const { port } = await open(hello, {
      onBadRequest: (refusal) => {
        seen.push(refusal);
        return "id-1";
      },
    });
    const answer = await answerTo(port, text);
    const problem = problemIn(answer);
    assert.deepEqual([problem["status"], problem["code"], problem["requestId"]], [status, code, "id-1"]);
    assert.deepEqual(seen.map((refusal) => [refusal.status, refusal.code]), [[status, code]]);
    assert.equal(/^Allow: .*PUT/m.test(answer), status === 405);
  });
}

test("openHttpListener takes 999 headers, and nothing of them is lost", async () => {
  const { port } = await open((request) => new Response(String(request.headers.get("if-none-match"))));
  const others = "A:\r\n".repeat(996);
  const text = `${GET}${others}If-None-Match: *\r\nConnection: close\r\n\r\n`;
  assert.match(await answerTo(port, text), /^HTTP\/1\.1 200 [\s\S]*\*$/);
});

test("openHttpListener takes headers of 30 KiB", async () => {
  const { port } = await open((request) => new Response(String(request.headers.get("a")?.length)));
  assert.match(await answerTo(port, `${GET}Connection: close\r\nA: ${"a".repeat(30_000)}\r\n\r\n`), /30000$/);
});

test("openHttpListener answers 408 when the headers do not come in time", async () => {
  const { port } = await open(hello, { limits: { headersTimeoutMs: 200 } });
  assert.equal(problemIn(await answerTo(port, "GET / HTTP/1.1\r\nHo"))["status"], 408);
});

test("openHttpListener closes a connection that is idle in the midst of a body", async () => {
  let ended: Promise<string> | undefined;
  const { port } = await open(async (_request, env) => {
    ended = readBody(env);
    return new Response(await ended);
  }, { limits: { idleTimeoutMs: 300 } });
  await answerTo(port, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
  assert.match(await within(ended!, DEADLINE_MS, "the body ends", []), /^error /);
});

const halves: readonly (readonly [string, string])[] = [
  ["a body of declared length", "Content-Length: 1000\r\n\r\nhalf"],
  ["a chunked body", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"],
];

for (const [what, text] of halves) {
  for (const way of ["end", "cut"] as const) {
    test(`openHttpListener reports ${what} that was cut off (${way}) as an error of the stream`, async () => {
      let ended: Promise<string> | undefined;
      const { port } = await open(async (_request, env) => {
        ended = readBody(env);
        return new Response(await ended);
      });
      const socket = await RawSocket.open(port, `PUT / HTTP/1.1\r\nHost: a\r\n${text}`);
      await until("the request arrives", DEADLINE_MS, () => ended !== undefined);
      socket[way]();
      assert.match(await within(ended!, DEADLINE_MS, "the body ends", []), /^error ECONNRESET/);
      await socket.closed();
    });
  }
}

test("openHttpListener reports a malformed chunk as an error of the stream, and answers 400", async () => {
  let ended: Promise<string> | undefined;
  const { port } = await open(async (_request, env) => {
    ended = readBody(env);
    return new Response(await ended);
  });
  const answer = await answerTo(
    port,
    "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nhalf\r\n",
  );
  assert.equal(problemIn(answer)["status"], 400);
  assert.match(await ended!, /^error /);
});

test("HttpEnv.continueBody sends 100 Continue once, and only when it is called", async () => {
  let leave = () => {};
  const { port } = await open(async (_request, env) => {
    await new Promise<void>((resolve) => {
      leave = resolve;
    });
    env.continueBody();
    env.continueBody();
    return new Response(`got ${await readBody(env)}`);
  });
  const head = "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
  const socket = await RawSocket.open(port, head);
  const asked = leave;
  await until("the request arrives", DEADLINE_MS, () => leave !== asked);
  assert.equal(socket.received, "");
  leave();
  assert.equal(await socket.until(/\r\n\r\n/), "HTTP/1.1 100 Continue\r\n\r\n");
  socket.write("abcd");
  const text = await socket.until(/got abcd/);
  assert.doesNotMatch(text, /connection: close/i);
  assert.equal(text.split("100 Continue").length, 2);
  // The connection is as good as any: the next request is answered on it.
  socket.write("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nefgh");
  await until("the second request arrives", DEADLINE_MS, () => {
    leave();
    return socket.received.includes("got efgh");
  });
  socket.cut();
});

test("openHttpListener answers without 100 Continue when the app never reads, and closes", async () => {
  const { port } = await open(() => new Response("no", { status: 403 }));
  const answer = await answerTo(
    port,
    "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
  );
  assert.match(answer, /^HTTP\/1\.1 403 /);
  assert.match(answer, /connection: close/i);
});

test("openHttpListener answers 500 when the app throws", async () => {
  const { port } = await open(() => Promise.reject(new Error("secret")));
  const answer = await answerTo(port, `${GET}Connection: close\r\n\r\n`);
  assert.equal(problemIn(answer)["code"], "internal");
  assert.doesNotMatch(answer, /secret/);
});

test("openHttpListener says which port is taken", async () => {
  const { port } = await open(hello);
  await assert.rejects(openHttpListener({ fetch: hello, host: "127.0.0.1", port }), (error) => {
    assert(isAtollError(error, "config"));
    assert.equal(error.message, `port ${port} on 127.0.0.1 is taken`);
    return true;
  });
});

test("HttpListener.close lets requests end, closes their connections, and takes no new ones", async () => {
  let answer = (_response: Response) => {};
  const listener = await open(() => new Promise<Response>((resolve) => (answer = resolve)));
  const initial = answer;
  const idle = await RawSocket.open(listener.port);
  const busy = await RawSocket.open(listener.port, `${GET}\r\n`);
  await until("the request arrives", DEADLINE_MS, () => answer !== initial);
  const closed = listener.close({ graceMs: DEADLINE_MS });
  await assert.rejects(RawSocket.open(listener.port), /ECONNREFUSED/);
  answer(new Response("done"));
  const text = await busy.closed();
  assert.match(text, /connection: close/i);
  assert.match(text, /done$/);
  idle.cut(); // Whether a connection that never said anything counts as idle differs between the runtimes.
  await within(closed, DEADLINE_MS, "the listener is closed", []);
});

test("HttpListener.close cuts what is still under way when the grace is over", async () => {
  let state = "waiting";
  const listener = await open(async (_request, { outgoing }) => {
    state = "under way";
    await once(outgoing, "close");
    state = "aborted";
    return new Response("too late");
  });
  const socket = await RawSocket.open(listener.port, `${GET}\r\n`);
  await until("the request is under way", DEADLINE_MS, () => state === "under way");
  const startedMs = performance.now();
  await within(listener.close({ graceMs: 200 }), DEADLINE_MS, "the listener is closed", []);
  assert(performance.now() - startedMs >= 190);
  assert.equal(await socket.closed(), "");
  await until("the app hears of it", DEADLINE_MS, () => state === "aborted");
});
