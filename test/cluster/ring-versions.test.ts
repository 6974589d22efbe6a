/**
 * A ring that is replaced node by node by builds of the next version of the protocol between nodes, and back, under clients
 * that try nothing twice. The old build is made of this source with the newer version left out; ATOLL_OLD_BUILD names a
 * real one instead, a single file.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import { createClock } from "../../src/adapters/clock.ts";
import { createRandom } from "../../src/adapters/random.ts";
import { createPeers } from "../../src/adapters/undici-peers.ts";
import { isAtollError } from "../../src/errors.ts";
import { PEER_PROTOCOL } from "../../src/http/peer-protocol.ts";
import type { PeerRequest } from "../../src/ports.ts";
import { startNode } from "../helpers/atoll-process.ts";
import { type AtollRing, startRing } from "../helpers/atoll-ring.ts";
import { until } from "../helpers/deadline.ts";
import { ask, metricOf, put } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";
import { run } from "../tools/project.ts";

const NODES = [0, 1, 2];
/** A machine that has other things to do learns a ring anew from an old node at some twenty partitions a second. */
const BACK_MS = 180_000;
const SIZES = [500, 70_000, (1 << 20) + 77];
/** Of each client, written again and again. */
const KEYS = 5;

const directory = temporaryDirectory();
let oldBuild = process.env["ATOLL_OLD_BUILD"] ?? "";

before(async () => {
  if (oldBuild !== "") return;
  oldBuild = join(directory.path, "old", "atoll.mjs");
  // In a process of its own: esbuild's service would outlive the test otherwise.
  const command = ["node", "test/tools/build.ts", oldBuild, String(PEER_PROTOCOL - 1)];
  const { code, output } = await run(command, { show: false });
  assert.equal(code, 0, output);
});
after(() => directory[Symbol.dispose]());

test("the old build speaks the old version, strictly, and no other", async () => {
  await using node = await startNode({
    runtime: THERE,
    entry: oldBuild,
    dataDir: join(directory.path, "one"),
  });
  const self = () => ({ nodeId: "caller", ringId: undefined, layoutNumber: 0 });
  const call = async (version: number, request: PeerRequest): Promise<unknown> => {
    const protocols = { min: version, max: version };
    const deps = { self, protocols, secret: undefined, clock: createClock(), random: createRandom() };
    const peers = createPeers(deps);
    try {
      return await peers.call(node.peerUrl, request, { timeoutMs: BACK_MS });
    } finally {
      await peers.close();
    }
  };
  const asked = { type: "members", after: "" } as const;
  await call(PEER_PROTOCOL - 1, asked);
  await assert.rejects(call(PEER_PROTOCOL, asked), (error) => isAtollError(error, "wrong-protocol"));
  const more = { ...asked, zeal: 1 } as PeerRequest;
  await assert.rejects(call(PEER_PROTOCOL - 1, more), (error) => isAtollError(error, "peer-garbage"));
});

/** Which nodes are old. */
const old = new Set(NODES);
let ring: AtollRing;
/** No client asks it. */
let away: number | undefined;

/** Writes and reads through whichever nodes are there, on and on; everything must succeed. */
class Client {
  readonly acknowledged = new Map<string, Buffer>();
  done = 0;
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  async run(over: AbortSignal): Promise<void> {
    for (let n = 0; !over.aborted; n++) {
      const target = `/versions/${this.#name}-${n % KEYS}`;
      const content = randomBytes(SIZES[n % SIZES.length]!);
      const written = await put(this.#url(n) + target, content);
      assert.ok(
        [200, 201].includes(written.status),
        `PUT ${target}: ${written.status} ${String(written.body)}`,
      );
      this.acknowledged.set(target, content);
      const read = await ask(this.#url(n + 1) + target);
      assert.ok(read.status === 200 && read.body.equals(content), `GET ${target}: ${read.status}`);
      const listed = await ask(`${this.#url(n + 2)}/versions?prefix=${this.#name}-`);
      assert.ok(listed.status === 200, `a listing: ${listed.status} ${String(listed.body)}`);
      this.done++;
    }
  }

  #url(n: number): string {
    const there = NODES.filter((index) => index !== away);
    return ring.nodes[there[n % there.length]!]!.publicUrl;
  }
}

test("three nodes of the old version become new ones one by one, and back: nothing fails", async (t) => {
  ring = await startRing({
    directory: directory.path,
    runtimes: [HERE, THERE, HERE],
    env: { ATOLL_CLUSTER_SECRET: "a secret of this ring", ATOLL_COMPARE_INTERVAL: "1s" },
    entryOf: (index) => old.has(index) ? oldBuild : undefined,
    keepsPublicPorts: true,
  });
  await using _ring = ring;
  const clients = NODES.map((index) => new Client(`client-${index}`));
  const over = new AbortController();
  const load = Promise.all(clients.map((client) => client.run(over.signal)));
  load.catch(() => over.abort()); // looked at below
  const steps = (async () => {
    await replace(t, clients, 0, "new");
    await replace(t, clients, 1, "new");
    // Replicas that must learn everything from the others, a new one from an old one and the other way round.
    await replace(t, clients, 1, "new", { wiped: true });
    await replace(t, clients, 2, "old", { wiped: true });
    await replace(t, clients, 2, "new");
    assert.deepEqual(refusals(), [], "before anything is taken back nobody meets a version it does not know");
    await replace(t, clients, 0, "old");
    await replace(t, clients, 0, "new");
  })().finally(() => over.abort());
  await Promise.all([load, steps]);
  t.diagnostic(`${clients.reduce((sum, { done }) => sum + done, 0)} uploads, downloads and listings`);
  for (const { publicUrl } of ring.nodes) {
    for (const [target, content] of clients.flatMap(({ acknowledged }) => [...acknowledged])) {
      const { status, body } = await ask(publicUrl + target);
      assert.ok(status === 200 && body.equals(content), `${target} at ${publicUrl}: ${status}`);
    }
  }
});

/** With its disk, or `wiped` with an empty one; back when every node sees every other and it has its votes. */
async function replace(
  t: TestContext,
  clients: readonly Client[],
  index: number,
  by: "old" | "new",
  { wiped = false } = {},
): Promise<void> {
  const startedMs = performance.now();
  away = index;
  await whileClientsWork(clients, 1, "nobody is at that node");
  const { code } = await ring.nodes[index]!.kill("SIGTERM");
  assert.equal(code, 0);
  if (by === "old") old.add(index);
  else old.delete(index);
  if (wiped) await rm(ring.dataDir(index), { recursive: true });
  const node = await ring.restart(index);
  for (const { publicUrl, lines } of ring.nodes) {
    const sees = async () => await metricOf(publicUrl, "atoll_peers_alive") === NODES.length - 1;
    await until(`${publicUrl} sees all others`, BACK_MS, sees, lines);
  }
  const hasVotes = async () => await metricOf(node.publicUrl, "atoll_recovery_partitions_left") === 0;
  await until("it has learned what it held", BACK_MS, hasVotes, node.lines);
  assert.equal(node.lines.some((line) => line.includes("resyncing")), wiped, "learned anew");
  away = undefined;
  await whileClientsWork(clients, 2, `after node ${index} became ${by}`);
  const took = ((performance.now() - startedMs) / 1000).toFixed(1);
  t.diagnostic(`node ${index} (${node.runtime}) is ${by}${wiped ? ", with an empty disk" : ""}: ${took} s`);
}

function whileClientsWork(clients: readonly Client[], rounds: number, label: string): Promise<void> {
  const counts = clients.map(({ done }) => done);
  return until(label, BACK_MS, () => clients.every(({ done }, i) => done >= counts[i]! + rounds));
}

/** Of versions, by any node that is there now. */
function refusals(): string[] {
  return ring.nodes.flatMap(({ lines }) => lines.filter((line) => line.includes("wrong-protocol")));
}
