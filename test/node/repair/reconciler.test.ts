/** Reconciler: the replicas of one register hold the greatest accepted ballot, or who does not is not said to. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ballot } from "../../../src/core/ballot.ts";
import { changedLayout, settledLayout } from "../../../src/core/layout-change.ts";
import { Metrics } from "../../../src/node/metrics.ts";
import { Reconciler } from "../../../src/node/repair/reconciler.ts";
import { Ring } from "../../../src/node/ring.ts";
import { openParts, type Parts } from "../../helpers/memory-ring-parts.ts";
import { HASHING, type MemoryRing } from "../../helpers/memory-ring.ts";
import { bytesOfKind, manifestOf, rowOf, stateAt, versionsAt } from "../../helpers/stored-objects.ts";

const IDS = ["a", "b", "c"];
const NAME = "bucket\0key";

async function openBench(): Promise<
  { ring: MemoryRing; parts: Readonly<Record<string, Parts>>; reconciler: Reconciler }
> {
  const { ring, parts } = await openParts({ ids: IDS });
  const { replica, chunks, gate, registers } = parts["a"]!;
  const metrics = new Metrics();
  const reconciler = new Reconciler({
    ring: new Ring("a", ring.layout),
    replica,
    chunks,
    gate,
    registers,
    metrics,
  });
  return { ring, parts, reconciler };
}

async function hold(ring: MemoryRing, id: string, counter: number, promised?: Ballot): Promise<void> {
  const row = rowOf(NAME, counter);
  const state = promised ? { ...row.state, promised } : row.state;
  await ring.site(id).disk.catalog.commit({ registers: [{ name: NAME, state }] });
}

function alike(set: ReadonlySet<string>): string[] {
  return [...set].sort();
}

test("Reconciler brings the greatest accepted ballot to those that lack it, and says who holds it", async () => {
  const { ring, reconciler } = await openBench();
  await hold(ring, "a", 2);
  await hold(ring, "b", 5);
  assert.deepEqual(alike(await ring.run(reconciler.reconcile(NAME))), IDS);
  assert.deepEqual(await versionsAt(ring, IDS, NAME), [5, 5, 5]);
  // The very ballot: nothing was proposed anew.
  for (const id of IDS) assert.equal((await stateAt(ring, id, NAME))?.accepted.counter, 5);
});

test("Reconciler writes nothing where all are alike, or none has anything", async () => {
  const { ring, reconciler } = await openBench();
  for (const id of IDS) await hold(ring, id, 3);
  const commits = () => IDS.map((id) => ring.site(id).disk.commits);
  const before = commits();
  for (const name of [NAME, "bucket\0absent"]) {
    assert.deepEqual(alike(await ring.run(reconciler.reconcile(name))), IDS);
  }
  assert.deepEqual(commits(), before);
});

test("Reconciler leaves out who cannot be asked, and does the others", async () => {
  const { ring, reconciler } = await openBench();
  await hold(ring, "b", 5);
  ring.network.refuse("c");
  assert.deepEqual(alike(await ring.run(reconciler.reconcile(NAME))), ["a", "b"]);
  assert.deepEqual(await versionsAt(ring, IDS, NAME), [5, 5, 0]);
});

test("Reconciler gets past a promise that was never kept, with a round of its own", async () => {
  const { ring, reconciler } = await openBench();
  await hold(ring, "a", 5);
  await hold(ring, "b", 5);
  await hold(ring, "c", 2, { counter: 9, node: "z" });
  assert.deepEqual(alike(await ring.run(reconciler.reconcile(NAME))), IDS);
  const states = await Promise.all(IDS.map((id) => stateAt(ring, id, NAME)));
  for (const state of states) {
    assert.equal(state?.value?.version, 5, "a new version was made of it");
    assert.deepEqual(state?.accepted, states[0]?.accepted);
    assert.ok(state.accepted.counter > 9);
  }
});

test("Reconciler says of nobody that it holds what it could not be given", async () => {
  const { ring, reconciler } = await openBench();
  await hold(ring, "b", 5);
  ring.network.rule(({ to, request, reply }) =>
    !reply && to === "c" && request.type === "accept"
      ? { reply: { type: "error", code: "storage-full", message: "no room" } }
      : undefined
  );
  assert.deepEqual(alike(await ring.run(reconciler.reconcile(NAME))), ["a", "b"]);
});

test("Reconciler believes no replica that says it accepted something and never what", async () => {
  const { ring, reconciler } = await openBench();
  await hold(ring, "a", 5);
  ring.network.rule(({ to, request, reply }) =>
    !reply && to === "c" && request.type === "read"
      ? { reply: { type: "read", accepted: { counter: 99, node: "c" } } }
      : undefined
  );
  assert.deepEqual(alike(await ring.run(reconciler.reconcile(NAME))), ["a", "b"]);
  assert.deepEqual(await versionsAt(ring, IDS, NAME), [5, 5, 0]);
});

test("Reconciler works for names that this node is no replica of", async () => {
  const { ring, parts } = await openParts({ ids: ["a", "b", "c", "d", "e"] });
  const { replica, chunks, gate, registers } = parts["a"]!;
  const metrics = new Metrics();
  const reconciler = new Reconciler({
    ring: new Ring("a", ring.layout),
    replica,
    chunks,
    gate,
    registers,
    metrics,
  });
  const name = ring.nameOn(["b", "c", "d"]);
  await ring.site("c").disk.catalog.commit({ registers: [rowOf(name, 4)] });
  assert.deepEqual(alike(await ring.run(reconciler.reconcile(name))), ["b", "c", "d"]);
  assert.deepEqual(await versionsAt(ring, ["a", "b", "c", "d"], name), [0, 4, 4, 4]);
});

test("Reconciler brings nothing to a node that stopped being a replica after it had begun", async () => {
  const { ring, parts } = await openParts({ ids: [...IDS, "d"] });
  const { ring: own, replica, chunks, gate, registers } = parts["a"]!;
  const reconciler = new Reconciler({ ring: own, replica, chunks, gate, registers, metrics: new Metrics() });
  const name = ring.nameOn(IDS);
  const row = { ...rowOf(NAME, 5), name };
  await ring.site("b").disk.catalog.commit({ registers: [row] });
  const planned = changedLayout(ring.layout, { remove: ["a"] });
  assert(planned.kind === "planned");
  ring.network.rule(({ to, request }) => {
    if (to === "b" && request.type === "read") own.adopt(settledLayout(planned.layout));
    return undefined;
  });
  const holders = await ring.run(reconciler.reconcile(name));
  assert.equal(own.number, 3, "the layout came meanwhile");
  assert.ok(!holders.has("a"));
  assert.equal(await stateAt(ring, "a", name), undefined);
});

test("Reconciler sends a small object's chunk along, so that nobody has to fetch it", async () => {
  const { ring, reconciler } = await openBench();
  const bytes = bytesOfKind(1, 1_000);
  const id = HASHING.sha256(bytes);
  const row = rowOf(NAME, 5, { content: { kind: "object", manifest: manifestOf(id, bytes.length) } });
  for (const node of ["a", "b"]) {
    await ring.site(node).disk.catalog.commit({ registers: [row], chunks: [{ id, bytes }] });
  }
  assert.deepEqual(alike(await ring.run(reconciler.reconcile(NAME))), IDS);
  const { catalog } = ring.site("c").disk;
  assert.deepEqual(await catalog.chunk(id), bytes);
  assert.deepEqual(await catalog.incomplete(1), []);
});

test("Reconciler sends no chunk to a node that takes none with a vote", async () => {
  const { ring, reconciler } = await openBench();
  const bytes = bytesOfKind(1, 1_000);
  const id = HASHING.sha256(bytes);
  const row = rowOf(NAME, 5, { content: { kind: "object", manifest: manifestOf(id, bytes.length) } });
  await ring.site("a").disk.catalog.commit({ registers: [row], chunks: [{ id, bytes }] });
  ring.network.rule(({ request }) =>
    request.type === "accept" && request.chunk
      ? { reply: { type: "error", code: "peer-refused", message: "it is older" } }
      : undefined
  );
  assert.deepEqual(alike(await ring.run(reconciler.reconcile(NAME))), IDS);
  assert.deepEqual(await versionsAt(ring, IDS, NAME), [5, 5, 5]);
});
