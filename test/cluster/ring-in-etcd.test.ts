/** A ring of real processes on both runtimes whose layout is shown in a real etcd, and learned from there. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { join } from "node:path";
import { EtcdDocuments } from "../../src/adapters/etcd-documents.ts";
import type { Layout } from "../../src/core/layout.ts";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { command } from "../helpers/command-line.ts";
import { until } from "../helpers/deadline.ts";
import { type EtcdProcess, NO_ETCD, startEtcd } from "../helpers/etcd-process.ts";
import { metricOf } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const DEADLINE_MS = 30_000;
const FOUNDERS = ["node-a", "node-b", "node-c"];
const directory = temporaryDirectory();
const nodes = new Map<string, AtollProcess>();

after(async () => {
  await Promise.all([...nodes.values()].map((node) => node.kill("SIGKILL")));
  directory[Symbol.dispose]();
});

async function start(etcd: EtcdProcess, id: string, expect: number): Promise<AtollProcess> {
  const node = await startNode({
    runtime: id === "node-b" || id === "node-d" ? THERE : HERE,
    dataDir: join(directory.path, id),
    until: "listening",
    env: {
      ATOLL_NODE_ID: id,
      ATOLL_DISCOVERY: `etcd:${etcd.url}`,
      ATOLL_BOOTSTRAP_EXPECT: String(expect),
      ATOLL_JOIN_AFTER: "never",
    },
  });
  nodes.set(id, node);
  return node;
}

async function kill(...ids: readonly string[]): Promise<void> {
  await Promise.all(ids.map((id) => nodes.get(id)!.kill("SIGKILL")));
}

async function shown(etcd: EtcdProcess): Promise<Layout | undefined> {
  const document = await new EtcdDocuments(etcd.gateway).get("/atoll/layout");
  return document && JSON.parse(document.text) as Layout;
}

async function shownFrom(etcd: EtcdProcess, number: number): Promise<Layout> {
  const isShown = async () => (await shown(etcd) ?? { number: 0 }).number >= number;
  await until(`layout ${number} is shown in etcd`, DEADLINE_MS, isShown);
  return (await shown(etcd))!;
}

async function goesBy({ publicUrl, nodeId, lines }: AtollProcess, number: number): Promise<void> {
  const isSo = async () => (await metricOf(publicUrl, "atoll_layout_number") ?? 0) >= number;
  await until(`${nodeId} goes by layout ${number}`, DEADLINE_MS, isSo, lines);
}

async function changes(node: AtollProcess, ...words: readonly string[]): Promise<void> {
  const { code, stderr } = await command(["ring", ...words, "--yes"], { env: { ATOLL_URL: node.publicUrl } });
  assert.equal(code, 0, stderr);
}

test(
  "a ring's layout stands in etcd, teaches who reaches no peer, and keeps new nodes from founding another",
  NO_ETCD === undefined ? {} : { skip: NO_ETCD },
  async () => {
    await using etcd = await startEtcd();
    const [a] = await Promise.all(FOUNDERS.map((id) => start(etcd, id, 3)));
    await Promise.all(FOUNDERS.map((id) => nodes.get(id)!.ready()));
    const founded = await shownFrom(etcd, 1);
    assert.deepEqual(founded.nodes.map(({ id }) => id), FOUNDERS);

    await kill("node-c");
    await changes(a!, "zone", "node-a", "elsewhere");
    const changed = await shownFrom(etcd, founded.number + 1);
    assert.deepEqual([changed.ringId, changed.nodes[0]?.zone], [founded.ringId, "elsewhere"]);

    await kill("node-a", "node-b");
    await goesBy(await start(etcd, "node-c", 3), changed.number);

    await kill("node-c");
    const [d, e] = await Promise.all(["node-d", "node-e"].map((id) => start(etcd, id, 2)));
    for (const { publicUrl, lines } of [d!, e!]) {
      const seesOther = async () => await metricOf(publicUrl, "atoll_peers_alive") === 1;
      await until("the new ones see each other", DEADLINE_MS, seesOther, lines);
      const waits = () => lines.some((line) => line.includes("this node founds none"));
      await until("it waits", DEADLINE_MS, waits, lines);
    }
    await start(etcd, "node-a", 3);
    for (const node of [d!, e!]) {
      await goesBy(node, changed.number);
      const adopted = node.lines.filter((line) => line.includes('"layout adopted"'));
      for (const line of adopted) assert.ok(line.includes(`"${founded.ringId}"`), line);
    }
    assert.equal((await shown(etcd))?.ringId, founded.ringId);
  },
);
