/** Over HTTP/2 slow bodies are cut by themselves, and what shares their connection goes on. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openCertificateFiles } from "../../src/adapters/certificate-files.ts";
import { createClock } from "../../src/adapters/clock.ts";
import {
  type HttpListenerOptions,
  type ListenerLimit,
  openHttpListener,
  type Overload,
} from "../../src/adapters/http-listener.ts";
import { messageOf } from "../../src/errors.ts";
import { makeCertificate } from "../helpers/certificates.ts";
import { until, within } from "../helpers/deadline.ts";
import { QUIET } from "../helpers/memory-node.ts";

const DEADLINE_MS = 15_000;
const GRACE_MS = 400;

interface Opened {
  readonly session: ClientHttp2Session;
  readonly limited: ListenerLimit[];
}

async function opened(
  options: Pick<HttpListenerOptions, "fetch" | "limits" | "overload">,
  run: (of: Opened) => Promise<void>,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "atoll-stream-guard-"));
  const made = await makeCertificate(directory, "listener.test");
  const certificates = await openCertificateFiles({ ...made, clock: createClock(), log: QUIET });
  const limited: ListenerLimit[] = [];
  const onLimit = (limit: ListenerLimit) => void limited.push(limit);
  const listener = await openHttpListener({ ...options, host: "127.0.0.1", port: 0, certificates, onLimit });
  const session = connect(`https://127.0.0.1:${listener.port}`, { rejectUnauthorized: false });
  session.on("error", () => {});
  try {
    await within(once(session, "connect"), DEADLINE_MS, "the session is connected");
    await run({ session, limited });
  } finally {
    session.destroy();
    await listener.close({ graceMs: 0 });
    await rm(directory, { recursive: true });
  }
}

function ask(session: ClientHttp2Session, method: string, path: string): ClientHttp2Stream {
  const stream = session.request({ ":method": method, ":path": path }, { endStream: method === "GET" });
  stream.on("error", () => {});
  return stream;
}

async function textOf(stream: ClientHttp2Stream): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}

test("an upload that hardly moves is cut and never taken for whole, one that is fast enough goes on", async () => {
  const outcomes = new Map<string, string>();
  await opened({
    limits: { minBytesPerSecond: 2_000, minRateGraceMs: GRACE_MS },
    fetch: async (_, { incoming }) => {
      let bytes = 0;
      const outcome = await (async () => {
        for await (const part of incoming) bytes += (part as Uint8Array).length;
        return `whole, ${bytes}`;
      })().catch(messageOf);
      outcomes.set(incoming.url!, outcome);
      return new Response(outcome);
    },
  }, async ({ session, limited }) => {
    const [slow, fast] = [ask(session, "PUT", "/slow"), ask(session, "PUT", "/fast")];
    let sentBytes = 0;
    await until("the slow one is cut", DEADLINE_MS, () => {
      if (!slow.closed) slow.write("x");
      fast.write("x".repeat(500));
      sentBytes += 500;
      return slow.closed;
    });
    assert.equal(slow.rstCode, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    await until("whoever read it has heard of it", DEADLINE_MS, () => outcomes.has("/slow"));
    assert.doesNotMatch(outcomes.get("/slow")!, /^whole/);
    fast.end();
    assert.equal(await within(textOf(fast), DEADLINE_MS, "the fast one is answered"), `whole, ${sentBytes}`);
    assert.deepEqual(limited, ["slow-sender"]);
  });
});

test("whoever waits for the node is not blamed for it, over HTTP/2 either", async () => {
  let goOn!: () => void;
  const waits = new Promise<void>((resolve) => (goOn = resolve));
  await opened({
    limits: { minBytesPerSecond: 1_000_000, minRateGraceMs: GRACE_MS },
    fetch: async (_, { incoming }) => {
      await waits;
      let bytes = 0;
      for await (const part of incoming) bytes += (part as Uint8Array).length;
      return new Response(`got ${bytes}`);
    },
  }, async ({ session, limited }) => {
    const begunMs = performance.now();
    const patient = ask(session, "PUT", "/");
    patient.end("x".repeat(100_000));
    const isOver = () => performance.now() - begunMs > 4 * GRACE_MS;
    await until("several grace times have passed", DEADLINE_MS, isOver);
    goOn();
    assert.equal(await within(textOf(patient), DEADLINE_MS, "it is answered"), "got 100000");
    assert.deepEqual(limited, []);
  });
});

test("a stream that nobody reads is cut, another of its connection is not", async () => {
  const answer = Buffer.alloc(4 << 20, "x");
  await opened({
    limits: { minBytesPerSecond: 8 << 20, minRateGraceMs: GRACE_MS },
    fetch: (request) => new Response(request.url.endsWith("/short") ? "hello" : new Uint8Array(answer)),
  }, async ({ session, limited }) => {
    const stuck = ask(session, "GET", "/long");
    await within(once(stuck, "response"), DEADLINE_MS, "an answer begins");
    await until("it is cut", DEADLINE_MS, () => limited.length > 0);
    assert.deepEqual(limited, ["slow-reader"]);
    stuck.resume();
    await until("the client hears of it", DEADLINE_MS, () => stuck.closed);
    assert.equal(stuck.rstCode, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    assert.equal(await within(textOf(ask(session, "GET", "/short")), DEADLINE_MS, "another"), "hello");
  });
});

test("one too many is told so over HTTP/2 as well", async () => {
  const overload: Overload = {
    isFull: (method) => method === "PUT",
    isFlood: true,
    turnAway: () => ({ requestId: "one", retryAfterSeconds: 3 }),
  };
  await opened({ overload: () => overload, fetch: () => new Response("hello") }, async ({ session }) => {
    const stream = ask(session, "PUT", "/a");
    stream.end("x".repeat(1_000));
    const [headers] = await within(once(stream, "response"), DEADLINE_MS, "an answer begins") as [
      Record<string, unknown>,
    ];
    assert.equal(headers[":status"], 503);
    assert.equal(headers["retry-after"], "3");
    assert.match(await within(textOf(stream), DEADLINE_MS, "it is whole"), /"code":"overloaded"/);
    assert.equal(await within(textOf(ask(session, "GET", "/a")), DEADLINE_MS, "a read"), "hello");
  });
});
