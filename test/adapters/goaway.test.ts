/** GOAWAY, said by frames of our own: to the listeners that speak HTTP/2, with requests under way, and to who asks peers. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { test } from "node:test";
import { openCertificateFiles } from "../../src/adapters/certificate-files.ts";
import { createClock } from "../../src/adapters/clock.ts";
import { openHttpListener } from "../../src/adapters/http-listener.ts";
import { openPeerListener } from "../../src/adapters/peer-listener.ts";
import { mutual } from "../../src/adapters/peer-tls.ts";
import { createRandom } from "../../src/adapters/random.ts";
import { createPeers } from "../../src/adapters/undici-peers.ts";
import {
  END_HEADERS,
  END_STREAM,
  FRAME,
  type Frame,
  frame,
  FrameReader,
  greeting,
  headerBlock,
} from "../fuzz/h2-frames.ts";
import { makeCertificate } from "../helpers/certificates.ts";
import { until, within } from "../helpers/deadline.ts";
import { QUIET } from "../helpers/memory-node.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const DEADLINE_MS = 10_000;
const GOAWAY = frame(FRAME.goaway, 0, 0, Buffer.alloc(8));
const POST = headerBlock({ ":method": "POST", ":path": "/", ":scheme": "http", ":authority": "a.test" });

/** What comes, as frames. */
function listen(socket: Socket): Frame[] {
  const heard: Frame[] = [];
  const reader = new FrameReader();
  socket.on("data", (part: Buffer) => void heard.push(...reader.take(part)));
  return heard;
}

for (const way of ["of peers", "of peers, over TLS", "that is public"] as const) {
  test(`a client's GOAWAY ends nothing that is under way (listener ${way})`, async () => {
    using directory = temporaryDirectory();
    const authority = await makeCertificate(directory.path, "authority");
    const made = await makeCertificate(directory.path, "node", authority);
    const files = { ...made, caFile: authority.certFile };
    const [cert, key, ca] = await Promise.all(
      [files.certFile, files.keyFile, files.caFile].map((file) => readFile(file, "utf8")),
    );
    const isSecure = way !== "of peers";
    let arrived = 0;
    const certificates = await openCertificateFiles({ ...files, clock: createClock(), log: QUIET });
    const options = {
      fetch: async (request: Request) => {
        arrived++;
        return new Response(await request.text());
      },
      host: "127.0.0.1",
      port: 0,
      certificates: isSecure ? certificates : undefined,
    };
    const listener = await (way === "that is public" ? openHttpListener(options) : openPeerListener(options));
    const to = { port: listener.port, host: "127.0.0.1" };
    const socket = isSecure
      ? connectTls({ ...to, cert: cert!, key: key!, ca: ca!, ALPNProtocols: ["h2"] })
      : connect(to);
    try {
      const heard = listen(socket);
      socket.on("error", () => {});
      await within(once(socket, isSecure ? "secureConnect" : "connect"), DEADLINE_MS, "it is connected");
      socket.write(
        Buffer.concat([
          greeting(),
          ...[1, 3].map((stream) => frame(FRAME.headers, END_HEADERS, stream, POST)),
          ...Array.from({ length: 50 }, () => GOAWAY),
          frame(FRAME.data, END_STREAM, 3, Buffer.from("three")),
        ]),
      );
      await until("both requests arrive", DEADLINE_MS, () => arrived === 2);
      const answers = (stream: number) =>
        heard.filter((one) => one.stream === stream && one.type === FRAME.data).map((one) =>
          String(one.payload)
        ).join("");
      await until("the one is answered", DEADLINE_MS, () => answers(3) === "three");
      socket.write(Buffer.concat([GOAWAY, frame(FRAME.data, END_STREAM, 1, Buffer.from("one"))]));
      await until(
        "the other is answered, which was under way all the time",
        DEADLINE_MS,
        () => answers(1) === "one",
      );
      if (!("Deno" in globalThis)) return; // Node hears of it, and ends the connection here
      socket.write(
        Buffer.concat([
          frame(FRAME.headers, END_HEADERS, 5, POST),
          frame(FRAME.data, END_STREAM, 5, Buffer.from("five")),
        ]),
      );
      await until("Deno, which must not hear of it, goes on", DEADLINE_MS, () => answers(5) === "five");
    } finally {
      socket.destroy();
      await listener.close({ graceMs: 0 });
    }
  });
}

for (const way of ["plain", "TLS"] as const) {
  test(`a server's GOAWAY is kept from Deno's client, and Node's gives up (${way})`, async () => {
    using directory = temporaryDirectory();
    const authority = await makeCertificate(directory.path, "authority");
    const made = await makeCertificate(directory.path, "node", authority);
    const certificates = await openCertificateFiles({
      ...made,
      caFile: authority.certFile,
      clock: createClock(),
      log: QUIET,
    });
    const sockets: Socket[] = [];
    const onSocket = (socket: Socket) => {
      sockets.push(socket);
      socket.on("error", () => {});
      socket.resume();
      socket.write(Buffer.concat([frame(FRAME.settings, 0, 0), GOAWAY, GOAWAY]));
    };
    const server = way === "TLS"
      ? createTlsServer({ ...mutual(certificates), ALPNProtocols: ["h2"] }, onSocket)
      : createServer(onSocket);
    server.listen(0, "127.0.0.1");
    await within(once(server, "listening"), DEADLINE_MS, "the server listens");
    const peers = createPeers({
      self: () => ({ nodeId: "caller", ringId: "ring", layoutNumber: 1 }),
      secret: undefined,
      certificates: way === "TLS" ? certificates : undefined,
      clock: createClock(),
      random: createRandom(),
    });
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const call = peers.call(url, { type: "layout" }, { timeoutMs: 500 });
      // Nobody ever answers: who heard nothing waits for it, who did gives up at once.
      await assert.rejects(
        call,
        "Deno" in globalThis ? /within 500 ms, got none/ : /lost before it answered/,
      );
      assert.ok(sockets.length > 0);
    } finally {
      await peers.close();
      for (const socket of sockets) socket.destroy();
      server.close();
    }
  });
}
