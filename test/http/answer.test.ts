/** Bodies in memory: sent as they are taken, and under way until then, with and without TLS, over either HTTP. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type CertificateFiles, openCertificateFiles } from "../../src/adapters/certificate-files.ts";
import { createClock } from "../../src/adapters/clock.ts";
import { type HttpEnv, openHttpListener } from "../../src/adapters/http-listener.ts";
import { send } from "../../src/http/answer.ts";
import { makeCertificate } from "../helpers/certificates.ts";
import { until } from "../helpers/deadline.ts";
import { QUIET } from "../helpers/memory-node.ts";
import { RawHttp } from "../helpers/raw-http.ts";

const DEADLINE_MS = 15_000;
/** More than the kernel takes of what nobody reads. */
const LARGE_BYTES = 32 << 20;
const SLICE_BYTES = 64 << 10;
const MEDIUM_BYTES = 60_000;

let directory: string;
let certificates: CertificateFiles;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-answer-"));
  const made = await makeCertificate(directory, "answer.test");
  certificates = await openCertificateFiles({ ...made, clock: createClock(), log: QUIET });
});
after(() => rm(directory, { recursive: true }));

interface Seen {
  readonly url: string;
  readonly begun: HttpEnv["outgoing"][];
  readonly sent: (readonly [bytes: number, complete: boolean])[];
}

interface Given {
  readonly isSecure: boolean;
  readonly body: Uint8Array;
  readonly before?: (env: HttpEnv) => void;
}

/** A listener that answers everything with `body`. */
async function serving(given: Given, run: (seen: Seen) => Promise<void>): Promise<void> {
  const { isSecure, body, before } = given;
  const begun: HttpEnv["outgoing"][] = [];
  const sent: (readonly [number, boolean])[] = [];
  const listener = await openHttpListener({
    fetch: (_request, env) => {
      begun.push(env.outgoing);
      before?.(env);
      return send(env, { status: 200, headers: {}, body }, false, QUIET, (...how) => void sent.push(how));
    },
    host: "127.0.0.1",
    port: 0,
    ...(isSecure && { certificates }),
  });
  try {
    await run({ url: `http${isSecure ? "s" : ""}://127.0.0.1:${listener.port}`, begun, sent });
  } finally {
    await listener.close({ graceMs: 0 });
  }
}

/** Handed over and not taken. */
function waitingBytes(outgoing: HttpEnv["outgoing"]): number {
  return "stream" in outgoing
    ? (outgoing.stream as { writableLength: number }).writableLength
    : outgoing.writableLength;
}

for (const isSecure of [false, true]) {
  const how = isSecure ? "over TLS" : "without TLS";

  test(`a large body that nobody reads is under way ${how}, then comes whole or is told to have broken off`, async () => {
    const body = Buffer.alloc(LARGE_BYTES, "content ");
    await serving({ isSecure, body }, async ({ url, begun, sent }) => {
      const clients = [await RawHttp.open(url), await RawHttp.open(url)] as const;
      for (const client of clients) {
        client.head("GET", "/");
        await client.begun();
        client.pause();
      }
      const isStuck = () => begun.length === 2 && begun.every((outgoing) => outgoing.writableNeedDrain);
      await until("both wait for their readers", DEADLINE_MS, isStuck);
      assert.deepEqual(sent, []);
      if (isSecure) {
        const waiting = begun.map(waitingBytes);
        assert.ok(
          waiting.every((bytes) => bytes <= 2 * SLICE_BYTES),
          `${waiting} bytes were handed over at once`,
        );
      }
      clients[0].cut();
      await until("one broke off", DEADLINE_MS, () => sent.length === 1);
      assert.equal(sent[0]![1], false);
      clients[1].resume();
      assert.ok((await clients[1].reply()).body.equals(body));
      await until("the other one was sent", DEADLINE_MS, () => sent.length === 2);
      assert.deepEqual(sent[1], [LARGE_BYTES, true]);
      clients[1].cut();
    });
  });

  test(`a smaller one is under way ${how} until it was taken`, async () => {
    const filler = new Uint8Array(LARGE_BYTES);
    const body = Buffer.alloc(MEDIUM_BYTES, "x");
    const given = { isSecure, body, before: ({ incoming }: HttpEnv) => void incoming.socket.write(filler) };
    await serving(given, async ({ url, begun, sent }) => {
      const clients = [await RawHttp.open(url), await RawHttp.open(url)] as const;
      for (const client of clients) {
        client.head("GET", "/");
        client.pause();
      }
      await until("both have their answer", DEADLINE_MS, () => begun.length === 2);
      assert.ok(begun.every((outgoing) => outgoing.writableEnded && waitingBytes(outgoing) > 0));
      assert.deepEqual(sent, []);
      clients[0].cut();
      await until("one broke off", DEADLINE_MS, () => sent.length === 1);
      clients[1].resume();
      await until("the other one was sent", DEADLINE_MS, () => sent.length === 2);
      // Over TLS, Deno (2.9) takes what was thrown away with its connection for sent.
      const isMistaken = isSecure && "Deno" in globalThis;
      assert.deepEqual(sent, [[MEDIUM_BYTES, isMistaken], [MEDIUM_BYTES, true]]);
      const wanted = LARGE_BYTES + MEDIUM_BYTES;
      await until("all is there", DEADLINE_MS, () => clients[1].receivedBytes > wanted);
      clients[1].cut();
    });
  });
}

for (const bodyBytes of [MEDIUM_BYTES, 1 << 20]) {
  test(`a body of ${bodyBytes} bytes is under way over HTTP/2 until it was taken`, async () => {
    await serving({ isSecure: true, body: Buffer.alloc(bodyBytes, "x") }, async ({ url, begun, sent }) => {
      const session = connectHttp2(url, {
        rejectUnauthorized: false,
        settings: { initialWindowSize: 1_000 },
      });
      session.on("error", () => undefined);
      const streams = [session.request({ ":path": "/" }), session.request({ ":path": "/" })] as const;
      for (const stream of streams) stream.on("error", () => undefined);
      await until("both wait for their readers", DEADLINE_MS, () => {
        return begun.length === 2 && begun.every((outgoing) => waitingBytes(outgoing) > 0);
      });
      assert.deepEqual(sent, []);
      const waiting = begun.map(waitingBytes);
      assert.ok(
        waiting.every((bytes) => bytes <= 2 * SLICE_BYTES),
        `${waiting} bytes were handed over at once`,
      );
      streams[0].close();
      await until("one broke off", DEADLINE_MS, () => sent.length === 1);
      assert.equal(sent[0]![1], false);
      let gotBytes = 0;
      for await (const part of streams[1]) gotBytes += (part as Uint8Array).length;
      assert.equal(gotBytes, bodyBytes);
      await until("the other one was sent", DEADLINE_MS, () => sent.length === 2);
      assert.deepEqual(sent[1], [bodyBytes, true]);
      session.destroy();
    });
  });
}
