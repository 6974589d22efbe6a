/** What a stranger may take of the peer listener: so many connections, for so long, and headers of a size. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { connect as connectTcp } from "node:net";
import { test } from "node:test";
import type { PeerLimit, PeerListenerLimits } from "../../src/adapters/peer-guard.ts";
import { openPeerListener } from "../../src/adapters/peer-listener.ts";
import { messageOf } from "../../src/errors.ts";
import { readBody } from "../../src/http/peer-connection.ts";
import { until, within } from "../helpers/deadline.ts";

const DEADLINE_MS = 10_000;

async function open(
  limits: Partial<PeerListenerLimits>,
  fetch: Parameters<typeof openPeerListener>[0]["fetch"] = () => new Response("hello"),
) {
  const limited: PeerLimit[] = [];
  const onLimit = (limit: PeerLimit) => void limited.push(limit);
  const listener = await openPeerListener({ fetch, host: "127.0.0.1", port: 0, limits, onLimit });
  return { ...listener, limited, [Symbol.asyncDispose]: () => listener.close({ graceMs: 0 }) };
}

async function dial({ port }: { port: number }): Promise<ClientHttp2Session> {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
  await within(once(session, "connect"), DEADLINE_MS, "the session is connected");
  return session;
}

/** What it is answered with; or that it is not. */
async function ask(session: ClientHttp2Session, headers: Record<string, string> = {}): Promise<string> {
  const stream = session.request({ ":path": "/", ...headers });
  return await textOf(stream).catch((error: unknown) => `cut: ${messageOf(error)}`);
}

async function textOf(stream: ClientHttp2Stream): Promise<string> {
  let text = "";
  stream.setEncoding("utf8").on("data", (part: string) => (text += part));
  await within(once(stream, "close"), DEADLINE_MS, "the stream is closed");
  if (stream.rstCode !== 0) throw new Error(`reset with ${stream.rstCode}`);
  return text;
}

test("a connection too many is closed, until another ends", async () => {
  await using listener = await open({ maxConnections: 2 });
  const kept = [await dial(listener), await dial(listener)];
  for (const session of kept) assert.equal(await ask(session), "hello");
  const third = connectTcp(listener.port, "127.0.0.1");
  third.on("error", () => {});
  await within(once(third.resume(), "close"), DEADLINE_MS, "the third is closed");
  assert.deepEqual(listener.limited, ["peer-connections"]);
  for (const session of kept) assert.equal(await ask(session), "hello", "the others go on");
  kept[0]!.destroy();
  await until("there is room again", DEADLINE_MS, async () => {
    const session = connect(`http://127.0.0.1:${listener.port}`);
    session.on("error", () => {});
    const text = await ask(session);
    session.destroy();
    return text === "hello";
  });
  kept[1]!.destroy();
});

test("who connects and asks nothing is closed, and so is who asked and has been idle for long", async () => {
  await using listener = await open({ firstRequestMs: 300, idleTimeoutMs: 1_500 });
  const session = await dial(listener);
  assert.equal(await ask(session), "hello");
  const askedMs = performance.now();
  const silent = connectTcp(listener.port, "127.0.0.1");
  silent.on("error", () => {});
  await within(once(silent.resume(), "close"), DEADLINE_MS, "the silent one is closed");
  assert.deepEqual(listener.limited, ["peer-idle"]);
  assert.ok(!session.destroyed && !session.closed, "who has asked may wait for longer");
  await until("the idle one is closed", DEADLINE_MS, () => session.destroyed);
  assert.ok(performance.now() - askedMs >= 1_500, `wanted 1500 ms, got ${performance.now() - askedMs}`);
  assert.deepEqual(listener.limited, ["peer-idle", "peer-idle"]);
});

test("a request that is not over in time is reset, whoever reads its body hears of it, and others go on", async () => {
  let outcome = "";
  await using listener = await open(
    { requestTimeoutMs: 400, firstRequestMs: 300, idleTimeoutMs: DEADLINE_MS },
    async (request, env) => {
      if (request.method === "GET") return new Response("hello");
      outcome = await readBody(request, env, 1_000).then(() => "whole", messageOf);
      return new Response();
    },
  );
  const session = await dial(listener);
  const stuck = session.request({ ":method": "PUT", ":path": "/", "content-length": "100" });
  stuck.on("error", () => {});
  stuck.resume();
  stuck.write("half");
  await within(once(stuck, "close"), DEADLINE_MS, "the stuck one is reset");
  assert.deepEqual(listener.limited, ["peer-request-time"]);
  await until("whoever read it has heard of it", DEADLINE_MS, () => outcome !== "");
  assert.match(outcome, /reset/);
  assert.equal(await ask(session), "hello");
  session.destroy();
});

test("a request with too much in its headers never reaches the app, and the node goes on", async () => {
  let reached = 0;
  await using listener = await open({ maxHeaderBytes: 4_096 }, () => {
    reached++;
    return new Response("hello");
  });
  const session = await dial(listener);
  assert.equal(await ask(session, { "x-fits": "x".repeat(1_000) }), "hello");
  const sent = connect(`http://127.0.0.1:${listener.port}`);
  sent.on("error", () => {});
  assert.match(await ask(sent, { "x-large": "x".repeat(20_000) }), /^cut: /);
  assert.deepEqual(listener.limited, ["peer-header-bytes"], "before it can have heard of the limit");
  assert.match(await ask(session, { "x-large": "x".repeat(20_000) }), /^cut: /);
  assert.equal(reached, 1);
  sent.destroy();
  assert.equal(await ask(session), "hello");
  session.destroy();
});
