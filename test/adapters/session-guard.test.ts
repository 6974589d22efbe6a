/** Over HTTP/2 the limits of headers and of idle connections are those of HTTP/1.1. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type ClientHttp2Session, connect, type OutgoingHttpHeaders } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { openCertificateFiles } from "../../src/adapters/certificate-files.ts";
import { createClock } from "../../src/adapters/clock.ts";
import {
  type HttpListenerOptions,
  type ListenerLimit,
  openHttpListener,
} from "../../src/adapters/http-listener.ts";
import { makeCertificate } from "../helpers/certificates.ts";
import { until, within } from "../helpers/deadline.ts";
import { QUIET } from "../helpers/memory-node.ts";

const DEADLINE_MS = 10_000;

interface Opened {
  readonly port: number;
  readonly limited: ListenerLimit[];
  readonly open: () => Promise<ClientHttp2Session>;
}

async function opened(
  options: Pick<HttpListenerOptions, "limits"> & Partial<HttpListenerOptions>,
  run: (of: Opened) => Promise<void>,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "atoll-session-guard-"));
  const made = await makeCertificate(directory, "listener.test");
  const certificates = await openCertificateFiles({ ...made, clock: createClock(), log: QUIET });
  const limited: ListenerLimit[] = [];
  const listener = await openHttpListener({
    fetch: (request) => new Response(String([...request.headers.keys()].length)),
    ...options,
    host: "127.0.0.1",
    port: 0,
    certificates,
    onLimit: (limit) => void limited.push(limit),
  });
  const { port } = listener;
  const sessions: ClientHttp2Session[] = [];
  const open = async () => {
    const session = connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
    sessions.push(session);
    session.on("error", () => {});
    await within(once(session, "connect"), DEADLINE_MS, "the session is connected");
    return session;
  };
  try {
    await run({ port, limited, open });
  } finally {
    for (const session of sessions) session.destroy();
    await listener.close({ graceMs: 0 });
    await rm(directory, { recursive: true });
  }
}

async function ask(session: ClientHttp2Session, headers: OutgoingHttpHeaders) {
  const stream = session.request({ ":path": "/a", ...headers });
  const answer = within(once(stream, "response"), DEADLINE_MS, "an answer begins");
  const [head] = await answer as [Record<string, unknown>];
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return { status: head[":status"], text: Buffer.concat(parts).toString() };
}
const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`x${i}`, "1"]));

test("headers over HTTP/2 that are too large or too many get 431, and the next request an answer", async () => {
  await opened({ limits: { maxHeaderBytes: 20_000 } }, async ({ open, limited }) => {
    const session = await open();
    const large = await ask(session, { a: "a".repeat(20_000) });
    assert.equal(large.status, 431);
    assert.match(large.text, /"code":"headers-too-large".*/);
    assert.match(large.text, /at most 20000 bytes together, got 200\d\d/);
    const lots = await ask(session, many(1_000));
    assert.equal(lots.status, 431);
    assert.match(lots.text, /fewer than 1000 headers/);
    assert.deepEqual(limited, ["header-bytes", "header-count"]);
    const fewer = await ask(session, many(300));
    assert.deepEqual([fewer.status, Number(fewer.text) >= 300], [200, true], fewer.text);
  });
});

/** By which a client keeps its connection from being idle, as far as the runtime can tell. */
async function endsAlthoughItPings(session: ClientHttp2Session, what: string): Promise<void> {
  await until(what, DEADLINE_MS, () => {
    if (!session.destroyed && !session.closed) session.ping(() => {});
    return session.destroyed || session.closed;
  });
}

test(
  "a connection on which nothing is asked, or nothing more, is closed although it pings",
  async () => {
    const limits = { headersTimeoutMs: 300, keepAliveTimeoutMs: 300 };
    let answer!: () => void;
    const waits = new Promise<void>((resolve) => (answer = resolve));
    const fetch = async ({ url }: Request) => {
      if (url.endsWith("/slow")) await waits;
      return new Response("hello");
    };
    await opened({ limits, fetch }, async ({ open }) => {
      const busy = await open();
      const slow = ask(busy, { ":path": "/slow" });
      await endsAlthoughItPings(await open(), "a connection without a request ends");
      const asked = await open();
      for (let i = 0; i < 2; i++) assert.equal((await ask(asked, {})).status, 200);
      await endsAlthoughItPings(asked, "a connection without a further request ends");
      assert(!busy.closed && !busy.destroyed, "one with a request under way stays");
      answer();
      assert.equal((await slow).text, "hello");
    });
  },
);

test("headers over HTTP/2 that never end have their connection closed", async () => {
  await opened({ limits: { headersTimeoutMs: 300 } }, async ({ port }) => {
    const socket = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols: ["h2"] });
    socket.on("error", () => {});
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])); // SETTINGS
    socket.write(Buffer.from([0, 0x27, 0x10, 1, 5, 0, 0, 0, 1])); // HEADERS of 10,000 bytes
    const dribble = setInterval(() => socket.write(Buffer.from([0, 1, 0x61, 1, 0x62])), 50); // a: b
    try {
      await within(closed, DEADLINE_MS, "the connection is closed");
    } finally {
      clearInterval(dribble);
      socket.destroy();
    }
  });
});
