/** Who does not belong to the ring is refused, is told of once, and does no harm. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { type AtollRing, startRing } from "../helpers/atoll-ring.ts";
import { until, within } from "../helpers/deadline.ts";
import { ask, codeOf, metricOf, put, RawHttp } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";

const SECRET = { ATOLL_CLUSTER_SECRET: "the ring's own secret" };
const OTHER_SECRET = { ATOLL_CLUSTER_SECRET: "another ring's secret" };

let directory: string;
let ring: AtollRing;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-strangers-"));
  ring = await startRing({ directory, runtimes: [HERE, THERE, HERE], env: SECRET });
});
after(async () => {
  await ring[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const nodeOf = (index: number): AtollProcess => ring.nodes[index]!;

/** Lines in which a node tells of a refused peer. */
function refusals(node: AtollProcess, code: string, from = ""): string[] {
  return linesOf(node, "audit: a peer was refused", code).filter((line) => line.includes(from));
}

function linesOf(node: AtollProcess, message: string, code: string): string[] {
  return node.lines.filter((line) => line.includes(`"${message}"`) && line.includes(`"code":"${code}"`));
}

/** By its own log, in which its operator looks first. */
function saysOnce(stranger: AtollProcess, at: AtollProcess, code: string): void {
  const said = linesOf(stranger, "a peer was found and cannot be talked to", code);
  assert.deepEqual(said.map((line) => (JSON.parse(line) as { peerUrl: string }).peerUrl), [at.peerUrl]);
}

async function isUnharmed(what: string): Promise<void> {
  const content = randomBytes(100_000);
  const key = encodeURIComponent(what);
  for (const [i, node] of ring.nodes.entries()) {
    assert.ok([200, 201].includes((await put(`${node.publicUrl}/unharmed/${key}`, content)).status), what);
    assert.ok((await ask(`${nodeOf((i + 1) % 3).publicUrl}/unharmed/${key}`)).body.equals(content), what);
    assert.equal(await metricOf(node.publicUrl, "atoll_peers_alive"), 2, `${what}: peers alive at ${i}`);
  }
}

/** Whoever is refused asks again with each beat of its heart; the ring's own, which are as fast, are what can be counted. */
async function isRefusedOnce(stranger: AtollProcess, at: AtollProcess, code: string): Promise<void> {
  const isRefused = () => refusals(at, code, stranger.nodeId).length > 0;
  await until(`${stranger.nodeId} is refused`, 10_000, isRefused, at.lines);
  const pings = () => metricOf(at.publicUrl, "atoll_peer_rtt_seconds_count");
  const before = await pings();
  await until("two more beats", 10_000, async () => await pings() >= before + 4);
  const told = refusals(at, code, stranger.nodeId);
  assert.equal(told.length, 1, "told of once");
  assert.match(told[0]!, /"address":"127\.0\.0\.1"/);
  const counted = await metricOf(at.publicUrl, `atoll_access_refused_total{reason="${code}"}`);
  assert.ok(counted > 1, `counted each time, got ${counted}`);
}

test("a node with a wrong secret finds no ring, and is told of once", async () => {
  await using stranger = await startNode({
    runtime: THERE,
    dataDir: join(directory, "wrong-secret"),
    env: { ...OTHER_SECRET, ATOLL_SEEDS: nodeOf(0).peerUrl, ATOLL_BOOTSTRAP_EXPECT: "3" },
    until: "listening",
  });
  await isRefusedOnce(stranger, nodeOf(0), "peer-refused");
  saysOnce(stranger, nodeOf(0), "peer-refused");
  const { status, body } = await ask(`${stranger.publicUrl}/readyz`);
  assert.equal(status, 503);
  assert.match(body.toString(), /waiting for a ring: wanted 3 nodes that see each other/);
  const refused = await put(`${stranger.publicUrl}/abc/k`, "x");
  assert.deepEqual([refused.status, codeOf(refused)], [503, "no-quorum"]);
  await isUnharmed("a wrong secret");
});

test("a node of another ring is refused by its ring's ID, and keeps to its own", async () => {
  const dataDir = join(directory, "other-ring");
  {
    await using alone = await startNode({ runtime: HERE, dataDir, env: SECRET });
    assert.equal((await put(`${alone.publicUrl}/abc/its-own`, "x")).status, 201);
  }
  const env = { ...SECRET, ATOLL_SEEDS: nodeOf(1).peerUrl };
  await using stranger = await startNode({ runtime: HERE, dataDir, env });
  await isRefusedOnce(stranger, nodeOf(1), "wrong-ring");
  saysOnce(stranger, nodeOf(1), "wrong-ring");
  assert.equal((await ask(`${stranger.publicUrl}/abc/its-own`)).body.toString(), "x");
  assert.equal((await ask(`${nodeOf(1).publicUrl}/abc/its-own`)).status, 404);
  assert.equal(await metricOf(stranger.publicUrl, "atoll_peers_alive"), 0);
  await isUnharmed("another ring");
});

test("a request of another protocol is refused by its number before anything else, and told of once", async () => {
  const headers = { "atoll-from": "ancient", "atoll-ring": "-", "atoll-layout": "0", "atoll-protocol": "0" };
  for (let i = 0; i < 3; i++) {
    const { status, body } = await callPeer(nodeOf(0).peerUrl, headers);
    assert.equal(status, 426);
    assert.equal((JSON.parse(body) as { code: string }).code, "wrong-protocol");
  }
  const told = () => refusals(nodeOf(0), "wrong-protocol", "ancient").length;
  await until("it is told of", 5_000, () => told() > 0, nodeOf(0).lines);
  assert.equal(told(), 1);
  const { status, body } = await callPeer(nodeOf(0).peerUrl, { ...headers, "atoll-protocol": "1" });
  assert.deepEqual(
    [status, (JSON.parse(body) as { code: string }).code],
    [401, "peer-refused"],
    "without a signature",
  );
  await isUnharmed("another protocol");
});

const GARBAGE: readonly (readonly [what: string, bytes: Buffer])[] = [
  ["random bytes", randomBytes(10_000)],
  ["HTTP/1.1", Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n")],
  ["a preface and nothing more", Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")],
  [
    "a preface and a frame of 16 MiB",
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x00\x00\x00\x00\x00\x01", "latin1"),
  ],
  ["a TLS greeting", Buffer.from("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "latin1")],
];

test("garbage on the peer port harms nobody, however much of it there is", async () => {
  const connections: RawHttp[] = [];
  for (let round = 0; round < 20; round++) {
    for (const [, bytes] of GARBAGE) {
      for (const node of ring.nodes) {
        const connection = await RawHttp.open(node.peerUrl);
        connection.write(bytes);
        connections.push(connection);
      }
    }
  }
  await isUnharmed("garbage, with its connections open");
  for (const connection of connections) connection.cut();
  await isUnharmed("garbage, cut off");
});

test("a member that comes back with a wrong secret does not count for a majority", async () => {
  const [first, second, third] = [nodeOf(0), nodeOf(1), nodeOf(2)];
  await third.kill("SIGKILL");
  await using wrong = await startNode({
    runtime: HERE,
    dataDir: join(directory, "c"),
    env: { ...OTHER_SECRET, ATOLL_PEER_PORT: new URL(third.peerUrl).port, ATOLL_REGION: "c" },
    until: "listening",
  });
  const written = await put(`${first.publicUrl}/majority/of-two`, "x");
  assert.equal(written.status, 201, written.body.toString());
  await second.kill("SIGKILL");
  const refused = await put(`${first.publicUrl}/majority/of-one`, "x");
  assert.deepEqual([refused.status, codeOf(refused)], [503, "no-quorum"]);
  const read = await ask(`${first.publicUrl}/majority/of-two`);
  assert.deepEqual([read.status, codeOf(read)], [503, "no-quorum"]);
  const there = await put(`${wrong.publicUrl}/majority/of-none`, "x");
  assert.deepEqual([there.status, codeOf(there)], [503, "no-quorum"]);
});

/** A call between nodes, made by hand. */
async function callPeer(
  peerUrl: string,
  headers: Readonly<Record<string, string>>,
): Promise<{ status: number; body: string }> {
  const session = connectHttp2(peerUrl);
  const closed = new Promise<void>((resolve) => session.once("close", () => resolve()));
  try {
    const stream = session.request({ ":method": "POST", ":path": "/v1/call", ...headers });
    const answered = new Promise<{ status: number; body: string }>((resolve, reject) => {
      let status = 0;
      let body = "";
      stream.on("response", (response) => (status = Number(response[":status"])));
      stream.setEncoding("utf8").on("data", (text: string) => (body += text));
      stream.once("close", () => resolve({ status, body }));
      stream.once("error", reject);
      session.once("error", reject);
    });
    stream.end(Buffer.from([0, 0, 0, 0]));
    return await within(answered, 5_000, "the peer port answers");
  } finally {
    session.destroy();
    await closed;
  }
}
