import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { openCertificateFiles } from "../../src/adapters/certificate-files.ts";
import { createClock } from "../../src/adapters/clock.ts";
import { type HttpLimits, type ListenerLimit, openHttpListener } from "../../src/adapters/http-listener.ts";
import { makeCertificate } from "../helpers/certificates.ts";
import { until, within } from "../helpers/deadline.ts";
import { QUIET } from "../helpers/memory-node.ts";
import { RawSocket } from "../helpers/raw-socket.ts";

async function opened(
  limits: Partial<HttpLimits>,
  run: (port: number, limited: readonly ListenerLimit[]) => Promise<void>,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "atoll-tls-listener-"));
  const made = await makeCertificate(directory, "listener.test");
  const certificates = await openCertificateFiles({ ...made, clock: createClock(), log: QUIET });
  const limited: ListenerLimit[] = [];
  const listener = await openHttpListener({
    onLimit: (limit) => void limited.push(limit),
    fetch: () => new Response("hello"),
    host: "127.0.0.1",
    port: 0,
    certificates,
    limits,
  });
  try {
    await run(listener.port, limited);
  } finally {
    await listener.close({ graceMs: 100 });
    await rm(directory, { recursive: true });
  }
}

/** All that comes until the other end closes. */
async function answerTo(port: number, text: string): Promise<string> {
  const socket: TLSSocket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
  let received = "";
  socket.setEncoding("latin1").on("data", (part: string) => (received += part));
  socket.on("error", () => undefined);
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.write(text);
  try {
    await within(closed, 10_000, "the listener closes", [received]);
  } finally {
    socket.destroy();
  }
  return received;
}

test("over TLS the limits are those without it: headers in time, and of a size", async () => {
  await opened({ headersTimeoutMs: 300, maxHeaderBytes: 2_000 }, async (port) => {
    assert.match(
      await answerTo(port, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
      /^HTTP\/1\.1 200 /,
    );
    assert.match(await answerTo(port, "GET / HTTP/1.1\r\nHost: a\r\n"), /^HTTP\/1\.1 408 /);
    const large = `GET / HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(3_000)}\r\n\r\n`;
    assert.match(await answerTo(port, large), /^HTTP\/1\.1 431 /);
    assert.match(await answerTo(port, "GET / HTTP/1.1\r\n\r\n"), /^HTTP\/1\.1 400 /);
  });
});

test("a listener that closes ends connections on which nothing is under way, of either version", async () => {
  await opened({}, async (port) => {
    for (const ALPNProtocols of [["h2"], ["http/1.1"], []]) {
      const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols });
      socket.on("error", () => undefined);
      await within(new Promise((resolve) => socket.once("secureConnect", resolve)), 5_000, "a handshake");
      assert.equal(socket.alpnProtocol || "none", ALPNProtocols[0] ?? "none");
    }
  });
});

test("a connection over TLS takes one request after another", async () => {
  await opened({}, async (port) => {
    const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
    let received = "";
    socket.setEncoding("latin1").on("data", (part: string) => (received += part));
    socket.on("error", () => undefined);
    for (let answers = 1; answers <= 3; answers++) {
      socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      await until(`answer ${answers}`, 5_000, () => received.split("hello").length > answers, [received]);
    }
    socket.destroy();
  });
});

const GET = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

for (
  const [limits, limit] of [
    [{ maxConnections: 2 }, "connections"],
    [{ maxConnectionsPerClient: 2 }, "client-connections"],
  ] as const
) {
  test(`${Object.keys(limits)[0]} counts connections before their handshake, and each once`, async () => {
    await opened(limits, async (port, limited) => {
      const silent = await RawSocket.open(port);
      const another = await RawSocket.open(port);
      assert.equal(await (await RawSocket.open(port)).closed(), "");
      assert.equal(await answerTo(port, GET), "");
      assert.deepEqual(limited, [limit, limit]);
      silent.cut();
      await until(
        "there is room for one, which is not counted again after its handshake",
        10_000,
        async () => /200/.test(await answerTo(port, GET)),
      );
      another.cut();
    });
  });
}

test("a connection that never makes its handshake is closed, long before headers would be late", async () => {
  await opened({ handshakeTimeoutMs: 300 }, async (port) => {
    assert.equal(await (await RawSocket.open(port)).closed(), "");
  });
});
