import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_BALLOT } from "../../../src/core/ballot.ts";
import { NODES_MAX } from "../../../src/core/layout-node.ts";
import { Memories } from "../../../src/node/repair/memories.ts";
import { MemoryRing } from "../../helpers/memory-ring.ts";

const [OLD, NEW] = [{ counter: 1, node: "0a" }, { counter: 2, node: "0b" }];

function openBench(diskMs = 0) {
  const ring = new MemoryRing({ ids: ["a"], diskMs: () => diskMs });
  const open = async (): Promise<Memories> => {
    const memories = new Memories(ring.portsOf("a").catalog, () => ["a", "b", "c"]);
    await ring.run(memories.load());
    return memories;
  };
  return { ring, open };
}

test("Memories say nothing for as long as no disk was ever lost", async () => {
  const { open } = openBench();
  const memories = await open();
  assert.equal(memories.testimony(), undefined);
  assert.deepEqual(memories.own, NO_BALLOT);
});

test("Memories tell of members only, once they know more disks than a message holds", async () => {
  const { open } = openBench();
  const memories = await open();
  for (let n = 0; n < NODES_MAX; n++) await memories.witness(`gone-${n}`, OLD);
  assert.equal(memories.testimony()?.witnessed.length, NODES_MAX);
  await memories.witness("b", NEW);
  assert.deepEqual(memories.testimony(), { memory: NO_BALLOT, witnessed: [{ node: "b", memory: NEW }] });
  assert.deepEqual(await memories.witness("gone-0", OLD), OLD, "none is forgotten");
});

test("Memories keep the newest name of each node's disk, whatever the order in which they come", async () => {
  const { open } = openBench();
  const memories = await open();
  assert.deepEqual(await memories.witness("b", NEW), NEW);
  assert.deepEqual(await memories.witness("b", OLD), NEW);
  assert.deepEqual(await memories.witness("c", OLD), OLD);
  assert.deepEqual(memories.testimony(), {
    memory: NO_BALLOT,
    witnessed: [{ node: "b", memory: NEW }, { node: "c", memory: OLD }],
  });
});

test("Memories tell nobody anything before it is durable, and forget nothing in a crash", async () => {
  const { ring, open } = openBench(100);
  const memories = await open();
  const [witnessed, renamed] = [memories.witness("b", OLD), memories.rename(NEW)];
  await ring.clock.advance(60);
  assert.equal(memories.testimony(), undefined);
  await ring.run(Promise.all([witnessed, renamed]));
  const again = await open();
  assert.deepEqual(again.testimony(), { memory: NEW, witnessed: [{ node: "b", memory: OLD }] });
  assert.deepEqual(again.own, NEW);
});

test("Memories that come together are all kept", async () => {
  const { ring, open } = openBench(10);
  const memories = await open();
  const nodes = Array.from({ length: 20 }, (_, n) => `node-${n}`);
  await ring.run(Promise.all(nodes.map((node) => memories.witness(node, OLD))));
  const kept = (await open()).testimony()?.witnessed.map(({ node }) => node);
  assert.deepEqual(kept, nodes);
});

test("Memories that could not be made durable were never there", async () => {
  const { ring } = openBench();
  const { catalog } = ring.portsOf("a");
  const failing = Object.create(catalog) as typeof catalog;
  failing.commit = () => Promise.reject(new Error("the disk has a bad day"));
  const memories = new Memories(failing, () => []);
  await assert.rejects(memories.witness("b", OLD));
  await assert.rejects(memories.rename(NEW));
  assert.equal(memories.testimony(), undefined);
});
