/** Mutual TLS between nodes of both runtimes: the ring works as without it, and who has no certificate of its is left outside. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { copyFile, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { startNode } from "../helpers/atoll-process.ts";
import { type AtollRing, startRing } from "../helpers/atoll-ring.ts";
import {
  type CertificateFilesMade,
  makeCertificate,
  makeExpiredCertificate,
} from "../helpers/certificates.ts";
import { CLUSTER_SECRET } from "../helpers/credentials.ts";
import { until, within } from "../helpers/deadline.ts";
import { ask, metricOf, put, RawHttp } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";

const CONTENT = randomBytes(3_000_000);

let directory: string;
let authority: CertificateFilesMade;
let used: CertificateFilesMade;
let stranger: CertificateFilesMade;
let expired: CertificateFilesMade;
let settings: Record<string, string>;
let ring: AtollRing;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-peer-tls-"));
  authority = await makeCertificate(directory, "ring-authority");
  used = { certFile: join(directory, "used.pem"), keyFile: join(directory, "used.key") };
  await use(await makeCertificate(directory, "first", authority));
  stranger = await makeCertificate(
    directory,
    "stranger",
    await makeCertificate(directory, "another-authority"),
  );
  expired = await makeExpiredCertificate(directory, "expired", authority);
  settings = {
    ATOLL_CLUSTER_SECRET: CLUSTER_SECRET,
    ATOLL_PEER_TLS_CERT: used.certFile,
    ATOLL_PEER_TLS_KEY: used.keyFile,
    ATOLL_PEER_TLS_CA: authority.certFile,
  };
  ring = await startRing({ directory, runtimes: [HERE, THERE, HERE], env: settings });
});
after(async () => {
  await ring[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

async function use({ certFile, keyFile }: CertificateFilesMade): Promise<void> {
  for (const [from, to] of [[keyFile, used.keyFile], [certFile, used.certFile]] as const) {
    await copyFile(from, `${to}.new`);
    await rename(`${to}.new`, to);
  }
}

async function works(key: string): Promise<void> {
  for (const [i, node] of ring.nodes.entries()) {
    assert.ok([200, 201].includes((await put(`${node.publicUrl}/docs/${key}-${i}`, CONTENT)).status), key);
    const read = await ask(`${ring.nodes[(i + 1) % 3]!.publicUrl}/docs/${key}-${i}`);
    assert.ok(read.body.equals(CONTENT), `${key}-${i}`);
    assert.equal(await metricOf(node.publicUrl, "atoll_peers_alive"), 2);
  }
}

test("a ring of both runtimes stores and reads", async () => {
  await works("first");
});

test("who has no certificate of the ring's authority is not spoken to, whatever else he has", async () => {
  const refused = 'atoll_access_refused_total{reason="wrong-certificate"}';
  for (const node of ring.nodes) {
    const { hostname: host, port } = new URL(node.peerUrl);
    const before = await metricOf(node.publicUrl, refused);
    const plain = await RawHttp.open(node.peerUrl);
    plain.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    assert.ok(!(await plain.closed()).includes("\0\0\0\x04\x01"), "no HTTP/2 without TLS");
    const ca = await readFile(authority.certFile);
    const files = async ({ certFile, keyFile }: CertificateFilesMade) => ({
      cert: await readFile(certFile),
      key: await readFile(keyFile),
    });
    for (const own of [{}, await files(stranger), await files(expired)]) {
      const socket = connectTls({
        host,
        port: Number(port),
        ca,
        ...own,
        ALPNProtocols: ["h2"],
        checkServerIdentity: () => undefined,
      });
      const failed = new Promise<boolean>((resolve) => {
        socket.once("error", () => resolve(true));
        socket.once("close", () => resolve(true));
        // In TLS 1.3 a client has finished before its certificate was looked at.
        socket.on("data", (part: Buffer) => resolve(part.length === 0));
      });
      socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
      assert.ok(await within(failed, 10_000, "the connection fails"));
      socket.destroy();
    }
    const isCounted = async () => await metricOf(node.publicUrl, refused) === before + 4;
    await until("all four are counted", 10_000, isCounted, node.lines);
    const told = () => node.lines.filter((line) => line.includes('"audit: a peer was refused"'));
    await until("it is told of", 10_000, () => told().length > 0, node.lines);
    assert.equal(told().length, 1, "in the log once for each address");
    assert.match(told()[0]!, /"address":"127\.0\.0\.1","code":"wrong-certificate","reason":"[A-Z_0-9]+"/);
    const known = connectHttp2(`https://${host}:${port}`, {
      ca,
      ...await files(used),
      checkServerIdentity: () => undefined,
    });
    const stream = known.request({
      ":method": "POST",
      ":path": "/v1/call",
      "atoll-protocol": "1",
      "atoll-from": "x",
      "atoll-ring": "-",
      "atoll-layout": "0",
    });
    stream.end();
    const status = await within(
      new Promise((resolve) => stream.once("response", (head) => resolve(head[":status"]))),
      10_000,
      "an answer",
    );
    assert.equal(status, 401, "a certificate is no signature");
    const closed = new Promise((resolve) => known.once("close", resolve));
    known.destroy();
    await closed;
  }
});

test("a node that knows the secret but has no TLS, or another authority's, stays alone", async () => {
  const first = ring.nodes[0]!;
  const { ATOLL_PEER_TLS_CERT: _, ATOLL_PEER_TLS_KEY: __, ATOLL_PEER_TLS_CA: ___, ...secret } = settings;
  const others = {
    ATOLL_PEER_TLS_CERT: stranger.certFile,
    ATOLL_PEER_TLS_KEY: stranger.keyFile,
    ATOLL_PEER_TLS_CA: stranger.certFile,
  };
  for (const [name, env] of [["plain", secret], ["other", { ...secret, ...others }]] as const) {
    await using outside = await startNode({
      runtime: HERE,
      dataDir: join(directory, name),
      env: { ...env, ATOLL_SEEDS: first.peerUrl, ATOLL_BOOTSTRAP_EXPECT: "3" },
      until: "listening",
    });
    const beats = () => metricOf(first.publicUrl, "atoll_peer_rtt_seconds_count");
    const before = await beats();
    await until("two beats of the ring's", 10_000, async () => await beats() >= before + 4);
    assert.equal((await ask(`${outside.publicUrl}/readyz`)).status, 503, name);
    assert.equal(await metricOf(first.publicUrl, "atoll_peers_alive"), 2, name);
  }
});

test("certificates are renewed while the ring goes on, and a node that starts again has the new one", async () => {
  await use(await makeCertificate(directory, "second", authority));
  const isTold = (i: number) =>
    ring.nodes[i]!.lines.some((line) => line.includes("another certificate is in use"));
  await until("all have seen it", 20_000, () => isTold(0) && isTold(1) && isTold(2));
  await works("second");
  const expiry = 'atoll_tls_certificate_expiry_seconds{listener="peer"}';
  const leftSeconds = await metricOf(ring.nodes[0]!.publicUrl, expiry) - Date.now() / 1_000;
  assert.ok(Math.abs(leftSeconds - 2 * 86_400) < 3_600, `a certificate of two days has ${leftSeconds} s`);
  await ring.nodes[1]!.kill("SIGTERM");
  await ring.restart(1);
  await until(
    "it is alive to the others",
    10_000,
    async () => await metricOf(ring.nodes[0]!.publicUrl, "atoll_peers_alive") === 2,
  );
  await works("third");
});
