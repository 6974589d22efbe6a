import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientHttp2Session, connect } from "node:http2";
import { test } from "node:test";
import { openPeerListener, type PeerListener } from "../../src/adapters/peer-listener.ts";
import { isAtollError, messageOf } from "../../src/errors.ts";
import { readBody } from "../../src/http/peer-connection.ts";
import { until, within } from "../helpers/deadline.ts";

const DEADLINE_MS = 10_000;

async function open(fetch: Parameters<typeof openPeerListener>[0]["fetch"]) {
  const listener = await openPeerListener({ fetch, host: "127.0.0.1", port: 0 });
  return Object.assign(listener, { [Symbol.asyncDispose]: () => listener.close({ graceMs: 0 }) });
}

async function dial({ port }: PeerListener): Promise<ClientHttp2Session> {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
  await within(once(session, "connect"), DEADLINE_MS, "the session is connected", []);
  return session;
}

test("openPeerListener says which port is taken", async () => {
  await using listener = await open(() => new Response());
  const again = openPeerListener({ fetch: () => new Response(), host: "127.0.0.1", port: listener.port });
  await assert.rejects(again, (error) => {
    assert(isAtollError(error, "config"));
    assert.equal(error.message, `port ${listener.port} on 127.0.0.1 is taken`);
    return true;
  });
});

for (const way of ["reset", "destroyed session"] as const) {
  test(`readBody rejects when the stream is cut in the midst of the body (${way})`, async () => {
    let outcome = "";
    await using listener = await open(async (request, env) => {
      outcome = "reading";
      outcome = await readBody(request, env, 1_000).then(() => "whole", messageOf);
      return new Response();
    });
    const session = await dial(listener);
    const stream = session.request({ ":method": "PUT", ":path": "/", "content-length": "100" });
    stream.on("error", () => {});
    stream.write("half");
    await until("the body is being read", DEADLINE_MS, () => outcome === "reading");
    if (way === "reset") stream.close(8);
    else session.destroy();
    await until("reading ends", DEADLINE_MS, () => outcome !== "reading");
    assert.match(outcome, /reset/);
    session.destroy();
  });
}

test("openPeerListener lets go of an answer that nobody takes any longer, by the next request or second", async () => {
  let closed = 0;
  await using listener = await open((_request, { outgoing }) => {
    outgoing.on("close", () => closed++);
    outgoing.writeHead(200);
    outgoing.end(new Uint8Array(40 << 20));
    return RESPONSE_ALREADY_SENT;
  });
  const session = await dial(listener);
  for (const answers of [1, 2]) {
    const stream = session.request({ ":path": "/" });
    stream.on("error", () => {});
    await within(once(stream, "data"), DEADLINE_MS, "the answer begins", []);
    stream.close(); // as undici does: NO_ERROR
    stream.destroy();
    await until("the answer before is closed", DEADLINE_MS, () => closed >= answers - 1);
  }
  session.destroy();
  await until("both answers are closed", DEADLINE_MS, () => closed === 2);
});

const RESETS = 1_500;
const skip = "Deno" in globalThis &&
  "Deno (2.9) holds to nghttp2's own limit of 1,000 resets, whatever it is told";

test(`a connection bears that ${RESETS} requests are given up at once`, { skip }, async () => {
  await using listener = await open(async (request) => new Response(await request.text()));
  const session = await dial(listener);
  try {
    for (let given = 0; given < RESETS; given++) {
      const stream = session.request({ ":method": "POST", ":path": "/" });
      stream.on("error", () => {});
      stream.close(8);
      await within(once(stream, "close"), DEADLINE_MS, "it is given up", []);
    }
    const last = session.request({ ":method": "POST", ":path": "/" });
    let text = "";
    last.setEncoding("utf8").on("data", (part: string) => (text += part));
    last.end("still here");
    await within(once(last, "close"), DEADLINE_MS, "another is answered", []);
    assert.equal(text, "still here");
  } finally {
    session.destroy();
  }
});

test("PeerListener.close lets requests end, and cuts them when the grace is over", async () => {
  for (const graceMs of [DEADLINE_MS, 100]) {
    let arrived = false;
    let answer = (_response: Response) => {};
    const listener = await open(() => {
      arrived = true;
      return new Promise<Response>((resolve) => {
        answer = resolve;
      });
    });
    const session = await dial(listener);
    const stream = session.request({ ":path": "/" });
    stream.on("error", () => {});
    let text = "";
    stream.on("data", (part: Uint8Array) => text += String(part));
    const ended = new Promise((resolve) => stream.once("close", resolve));
    await until("the request arrives", DEADLINE_MS, () => arrived);
    const closed = listener.close({ graceMs });
    if (graceMs === DEADLINE_MS) answer(new Response("done"));
    await within(closed, DEADLINE_MS / 2, "the listener is closed", []);
    await within(ended, DEADLINE_MS / 2, "the stream is closed", []);
    assert.equal(text, graceMs === DEADLINE_MS ? "done" : "");
    session.destroy();
  }
});
