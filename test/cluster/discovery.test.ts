/** Rings of real processes on both runtimes that find each other by DNS, as on Fly.io, and by etcd. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollProcess, type NodeOptions, startNode } from "../helpers/atoll-process.ts";
import { until } from "../helpers/deadline.ts";
import { type DnsServer, startDnsServer } from "../helpers/dns-server.ts";
import { record } from "../helpers/dns-world.ts";
import { NO_ETCD, startEtcd } from "../helpers/etcd-process.ts";
import { freePorts } from "../helpers/ports.ts";
import { ask, metricOf, put } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";

const RUNTIMES = [HERE, THERE, HERE];
const REGIONS = ["fra", "iad", "syd"];

let directory: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-discovery-"));
});
after(() => rm(directory, { recursive: true }));

/** Nodes that end with the block, whatever was started in their place. */
class Nodes implements AsyncDisposable {
  readonly all: AtollProcess[] = [];

  static async start(options: readonly NodeOptions[]): Promise<Nodes> {
    const nodes = new Nodes();
    const starts = await Promise.allSettled(options.map(async (each, i) => {
      nodes.all[i] = await startNode(each);
    }));
    const failed = starts.find((started) => started.status === "rejected");
    if (!failed) return nodes;
    await nodes[Symbol.asyncDispose]();
    throw failed.reason;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.all.filter(Boolean).map((node) => node.kill("SIGKILL")));
  }
}

async function isOneRing(nodes: readonly AtollProcess[]): Promise<void> {
  for (const node of nodes) {
    const seesAll = async () => await metricOf(node.publicUrl, "atoll_peers_alive") === nodes.length - 1;
    await until(`${node.nodeId} sees the others`, 10_000, seesAll, node.lines);
  }
}

async function storesEverywhere(nodes: readonly AtollProcess[], what: string): Promise<void> {
  for (const [i, node] of nodes.entries()) {
    const target = `/found/${what}-${i}`;
    assert.equal((await put(node.publicUrl + target, what)).status, 201, node.lines.join("\n"));
    for (const reader of nodes) assert.equal((await ask(reader.publicUrl + target)).body.toString(), what);
  }
}

test("machines of a fake Fly.io form a ring by its DNS, dial each other by name, and find one that moved", async () => {
  await using server = await startDnsServer();
  const app = "atoll-test";
  const machines = ["148e21f7d0e01", "148e21f7d0e02", "148e21f7d0e03"];
  const addresses = ["127.0.0.11", "127.0.0.12", "127.0.0.13"];
  const [peerPort = 0, ...ports] = await freePorts(4);
  const publish = (): void => {
    server.records.clear();
    const name = `vms.${app}.internal`;
    const data = [machines.map((id, i) => `${id} ${REGIONS[i]}`).join(",")];
    server.records.set(`TXT ${name}`, [record({ type: "TXT", name, data })]);
    for (const [i, id] of machines.entries()) {
      // Only AAAA, as there; that loopback has only one address of IPv6 is what the mapped form is for.
      const name = `${id}.vm.${app}.internal`;
      server.records.set(`AAAA ${name}`, [record({ type: "AAAA", name, data: `::ffff:${addresses[i]}` })]);
    }
  };
  publish();
  const options = (i: number): NodeOptions => ({
    runtime: RUNTIMES[i]!,
    dataDir: join(directory, `fly-${i}`),
    env: {
      FLY_APP_NAME: app,
      FLY_MACHINE_ID: machines[i]!,
      FLY_REGION: REGIONS[i]!,
      FLY_PRIVATE_IP: addresses[i]!,
      ATOLL_DISCOVERY: "fly",
      ATOLL_DNS_SERVER: server.address,
      ATOLL_BOOTSTRAP_EXPECT: "3",
      ATOLL_CLUSTER_SECRET: "0123456789abcdef",
      ATOLL_PEER_PORT: String(peerPort),
      PORT: String(ports[i]),
      // How the test reaches it; on Fly.io this is its name too.
      ATOLL_PUBLIC_URL: `http://127.0.0.1:${ports[i]}`,
    },
  });
  await using nodes = await Nodes.start([0, 1, 2].map(options));
  await isOneRing(nodes.all);
  assert.deepEqual(nodes.all.map(({ nodeId }) => nodeId), machines);
  assert.equal(nodes.all[0]!.peerUrl, `http://${machines[0]}.vm.${app}.internal:${peerPort}`);
  await storesEverywhere(nodes.all, "fly");
  for (const id of machines) assert.ok(server.questions.includes(`AAAA ${id}.vm.${app}.internal`));

  // What is connected goes on without DNS.
  server.mood = "silent";
  await storesEverywhere(nodes.all, "dns-silent");
  server.mood = "well";

  await nodes.all[2]!.kill();
  addresses[2] = "127.0.0.14";
  publish();
  nodes.all[2] = await startNode(options(2));
  await isOneRing(nodes.all);
  await storesEverywhere(nodes.all, "moved");
});

test("nodes form a ring by the services of a name", async () => {
  await using server = await startDnsServer();
  const ports = await freePorts(3);
  publishServices(server, "_atoll._tcp.test", ports);
  await using nodes = await Nodes.start(ports.map((port, i) => ({
    runtime: RUNTIMES[i]!,
    dataDir: join(directory, `dns-${i}`),
    env: {
      ATOLL_DISCOVERY: "dns:_atoll._tcp.test",
      ATOLL_DNS_SERVER: server.address,
      ATOLL_BOOTSTRAP_EXPECT: "3",
      ATOLL_PEER_PORT: String(port),
      ATOLL_PEER_URL: `http://n${i}.test:${port}`,
    },
  })));
  await isOneRing(nodes.all);
  await storesEverywhere(nodes.all, "dns");
});

test(
  "nodes form a ring by etcd, and go on, restarts included, when it is gone",
  NO_ETCD === undefined ? {} : { skip: NO_ETCD },
  async () => {
    await using etcd = await startEtcd();
    const ports = await freePorts(3);
    const options = (i: number): NodeOptions => ({
      runtime: RUNTIMES[i]!,
      dataDir: join(directory, `etcd-${i}`),
      env: {
        ATOLL_DISCOVERY: `etcd:${etcd.url}`,
        ATOLL_BOOTSTRAP_EXPECT: "3",
        ATOLL_PEER_PORT: String(ports[i]),
      },
    });
    await using nodes = await Nodes.start([0, 1, 2].map(options));
    await isOneRing(nodes.all);
    await storesEverywhere(nodes.all, "etcd");
    await etcd.kill();
    await storesEverywhere(nodes.all, "etcd-gone");
    await nodes.all[1]!.kill();
    nodes.all[1] = await startNode(options(1));
    await isOneRing(nodes.all);
    await storesEverywhere(nodes.all, "etcd-still-gone");
  },
);

test("a node whose seeds are of another ring stays in its own", async () => {
  const options = (name: string, env = {}): NodeOptions => ({
    runtime: HERE,
    dataDir: join(directory, name),
    env,
  });
  await using other = await startNode(options("other-ring"));
  {
    await using before = await startNode(options("own-ring"));
    assert.equal((await put(`${before.publicUrl}/own/object`, "mine")).status, 201);
  }
  await using node = await startNode(options("own-ring", { ATOLL_SEEDS: other.peerUrl }));
  const isRefused = () => other.lines.some((line) => line.includes('"code":"wrong-ring"'));
  await until("the other refuses it", 10_000, isRefused, other.lines);
  for (const each of [node, other]) assert.equal(await metricOf(each.publicUrl, "atoll_peers_alive"), 0);
  assert.equal((await ask(`${node.publicUrl}/own/object`)).body.toString(), "mine");
  assert.equal((await ask(`${other.publicUrl}/own/object`)).status, 404);
});

function publishServices(server: DnsServer, name: string, ports: readonly number[]): void {
  server.records.set(
    `SRV ${name}`,
    ports.map((port, i) => record({ type: "SRV", name, data: { target: `n${i}.test`, port } })),
  );
  for (const i of ports.keys()) {
    const target = `n${i}.test`;
    server.records.set(`A ${target}`, [record({ type: "A", name: target, data: "127.0.0.1" })]);
  }
}
