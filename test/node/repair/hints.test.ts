/** Hints: whoever notices that a replica missed a change keeps that durably, within bounds, until it was delivered. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Membership } from "../../../src/node/membership.ts";
import { Courtesy } from "../../../src/node/courtesy.ts";
import { Hints } from "../../../src/node/repair/hints.ts";
import type { Reconciler } from "../../../src/node/repair/reconciler.ts";
import { Ring } from "../../../src/node/ring.ts";
import type { PeerReply } from "../../../src/ports.ts";
import { MemoryRing } from "../../helpers/memory-ring.ts";
import { deleteObject, holdersOf, putObject, versionsAt } from "../../helpers/stored-objects.ts";

const IDS = ["a", "b", "c"];
const NAME = "bucket\0key";
const GATHERED_MAX = 16_384;
const OWED_MAX = 100_000;
const FULL: PeerReply = { type: "error", code: "storage-full", message: "no room" };

/** Nothing is searched for in it: what arrives was delivered. */
async function open(ids: readonly string[] = IDS): Promise<MemoryRing> {
  const ring = await MemoryRing.open({ ids });
  ring.network.rule(({ request }) => request.type === "digests" ? { lost: true } : undefined);
  return ring;
}

async function openWithout(away: string): Promise<MemoryRing> {
  const ring = await open();
  ring.crash(away);
  await ring.clock.advance(5_000);
  return ring;
}

async function changesOwed(ring: MemoryRing, id: string): Promise<Record<string, number>> {
  const counts = await ring.site(id).disk.catalog.owedCounts();
  return Object.fromEntries(counts.map(({ node, changes }) => [node, changes]));
}

test("Hints bring a node what it missed while it was away, register and chunks, once it is back", async () => {
  const ring = await openWithout("c");
  const manifest = await putObject(ring, "a", NAME);
  await putObject(ring, "b", "bucket\0deleted");
  await deleteObject(ring, "a", "bucket\0deleted");
  await ring.clock.advance(1_000);
  assert.deepEqual(await changesOwed(ring, "a"), { c: 2 });
  assert.ok(ring.count("a", "atoll_hints_owed") >= 2);
  await ring.start("c");
  await ring.clock.advance(10_000);
  assert.deepEqual(await versionsAt(ring, IDS, NAME), [1, 1, 1]);
  assert.deepEqual(await versionsAt(ring, IDS, "bucket\0deleted"), [2, 2, 2]);
  assert.deepEqual(await holdersOf(ring, IDS, manifest.chunks[0]!), IDS);
  for (const id of ["a", "b"]) {
    assert.deepEqual(await changesOwed(ring, id), {}, id);
    assert.equal(ring.count(id, "atoll_hints_owed"), 0);
  }
  ring.close();
});

test("Hints survive a crash of the node that keeps them", async () => {
  const ring = await openWithout("c");
  await putObject(ring, "a", NAME);
  await ring.clock.advance(1_000);
  ring.crash("a");
  await ring.start("c");
  await ring.clock.advance(10_000);
  assert.deepEqual(await versionsAt(ring, ["c"], NAME), [0]);
  await ring.start("a");
  await ring.clock.advance(10_000);
  assert.deepEqual(await versionsAt(ring, ["c"], NAME), [1]);
  ring.close();
});

test("Hints of a name that is written again and again are one, and bring the newest", async () => {
  const ring = await openWithout("c");
  for (let i = 0; i < 20; i++) {
    await putObject(ring, "a", NAME);
    await ring.clock.advance(200);
  }
  assert.deepEqual(await changesOwed(ring, "a"), { c: 1 });
  await ring.start("c");
  await ring.clock.advance(10_000);
  assert.deepEqual(await versionsAt(ring, IDS, NAME), [20, 20, 20]);
  ring.close();
});

test("Hints are kept by a node for itself: its own disk may be what was full", async () => {
  const ring = await open();
  const { disk } = ring.site("a");
  disk.isFull = true;
  await putObject(ring, "a", NAME, new Uint8Array(10));
  await ring.clock.advance(5_000);
  assert.deepEqual(await versionsAt(ring, IDS, NAME), [0, 1, 1]);
  disk.isFull = false;
  await ring.clock.advance(70_000);
  assert.deepEqual(await versionsAt(ring, IDS, NAME), [1, 1, 1]);
  assert.deepEqual(await changesOwed(ring, "a"), {});
  ring.close();
});

test("Hints of one name that cannot be delivered keep no other from it", async () => {
  const ring = await openWithout("c");
  const names = Array.from({ length: 10 }, (_, n) => `bucket\0key ${n}`);
  for (const name of names) await putObject(ring, "a", name, new Uint8Array(10));
  await ring.clock.advance(1_000);
  const lift = ring.network.rule(({ to, request, reply }) =>
    !reply && to === "c" && request.type === "accept" && request.name === names[0]
      ? { reply: FULL }
      : undefined
  );
  await ring.start("c");
  await ring.clock.advance(5_000);
  for (const name of names.slice(1)) assert.deepEqual(await versionsAt(ring, ["c"], name), [1], name);
  assert.deepEqual(await versionsAt(ring, ["c"], names[0]!), [0]);
  assert.deepEqual(await changesOwed(ring, "a"), { c: 1 });
  lift();
  await ring.clock.advance(70_000);
  assert.deepEqual(await versionsAt(ring, ["c"], names[0]!), [1]);
  ring.close();
});

test("Hints reach a node that answers while another hangs", async () => {
  const ring = await open(["a", "b", "c", "d", "e"]);
  const name = ring.nameOn(["a", "b", "c"]);
  const other = ring.nameOn(["a", "b", "e"]);
  for (const id of ["c", "e"]) ring.crash(id);
  await ring.clock.advance(5_000);
  await putObject(ring, "a", name, new Uint8Array(10));
  await putObject(ring, "a", other, new Uint8Array(10));
  await ring.clock.advance(1_000);
  // e is alive as far as pings go, and never answers anything else.
  ring.network.rule(({ to, request, reply }) =>
    !reply && to === "e" && request.type !== "ping" ? { lost: true } : undefined
  );
  await ring.start("e");
  await ring.clock.advance(3_000);
  await ring.start("c");
  await ring.clock.advance(4_000);
  assert.deepEqual(await versionsAt(ring, ["c"], name), [1]);
  ring.close();
});

/** Hints alone, on a catalog, while everybody else is away. */
function openBench() {
  const ring = new MemoryRing({ ids: IDS });
  const ports = ring.portsOf("a");
  const hints = new Hints({
    ...ports,
    ring: new Ring("a", ring.layout),
    membership: { isAlive: () => false } as unknown as Membership,
    reconciler: {} as Reconciler,
    courtesy: new Courtesy(ports.clock),
  });
  const dropped = (): number => ring.count("a", "atoll_hints_dropped_total");
  return { ring, hints, dropped, catalog: ports.catalog };
}

test("Hints that come faster than they are written are bounded, and those that find no place are counted", async () => {
  const { ring, hints, dropped, catalog } = openBench();
  for (let i = 0; i < GATHERED_MAX + 5; i++) hints.missed("b", `bucket\0${i}`);
  assert.equal(dropped(), 5);
  await ring.clock.advance(100);
  assert.deepEqual(await catalog.owedCounts(), [{ node: "b", changes: GATHERED_MAX, chunks: 0 }]);
  hints.missed("b", "bucket\0one more");
  assert.equal(dropped(), 5);
  hints.stop();
});

test("Hints for one node are bounded, by name and not by how often each was missed", async () => {
  const { ring, hints, dropped, catalog } = openBench();
  const fill = async (names: number): Promise<void> => {
    for (let i = 0; i < 10_000; i++) hints.missed("b", `bucket\0${i % names}`);
    await ring.clock.advance(100);
  };
  for (let i = 0; i < 15; i++) await fill(10_000);
  // Ten thousand names, missed fifteen times each: counted anew, there is room for all the others.
  assert.ok(dropped() > 0);
  await ring.clock.advance(20_000);
  const before = dropped();
  hints.missed("b", "bucket\0new");
  await ring.clock.advance(100);
  assert.equal(dropped(), before);
  assert.deepEqual(await catalog.owedCounts(), [{ node: "b", changes: 10_001, chunks: 0 }]);
  for (let n = 1; n <= 12; n++) {
    for (let i = 0; i < 10_000; i++) hints.missed("b", `bucket\0${n} ${i}`);
    await ring.clock.advance(100);
  }
  const [owed] = await catalog.owedCounts();
  assert.ok(owed!.changes >= OWED_MAX && owed!.changes < OWED_MAX + GATHERED_MAX, `${owed!.changes}`);
  assert.ok(dropped() > before);
  // Another node has a bound of its own.
  const full = dropped();
  hints.missed("c", NAME);
  assert.equal(dropped(), full);
  hints.stop();
});

test("Hints that were missed again while they were written and delivered are delivered again", async () => {
  const ring = new MemoryRing({ ids: IDS, diskMs: () => 400 });
  const ports = ring.portsOf("a");
  const reconciled: number[] = [];
  const reconciler = {
    async reconcile(): Promise<ReadonlySet<string>> {
      reconciled.push(ring.clock.monotonicMs());
      return new Set(IDS);
    },
  } as unknown as Reconciler;
  const membership = { isAlive: () => true } as unknown as Membership;
  const hints = new Hints({
    ...ports,
    courtesy: new Courtesy(ports.clock),
    ring: new Ring("a", ring.layout),
    membership,
    reconciler,
  });
  hints.missed("b", NAME);
  await ring.clock.advance(1_000);
  hints.missed("b", NAME); // written from 1,050 to 1,450; the first is read and delivered at 1,450
  await ring.clock.advance(200);
  hints.missed("b", NAME);
  const missedMs = ring.clock.monotonicMs();
  await ring.clock.advance(10_000);
  assert.ok(reconciled.some((ms) => ms >= missedMs), `missed at ${missedMs}, delivered at ${reconciled}`);
  assert.deepEqual(await ports.catalog.owedCounts(), []);
  assert.equal(hints.owed, 0);
  hints.stop();
});

test("Hints of what is no longer the node's business are struck off", async () => {
  const ring = new MemoryRing({ ids: ["a", "b", "c", "d", "e"] });
  const ports = ring.portsOf("a");
  const reconciler = { reconcile: async () => new Set(["a", "d", "e"]) } as unknown as Reconciler;
  const membership = { isAlive: () => true } as unknown as Membership;
  const hints = new Hints({
    ...ports,
    courtesy: new Courtesy(ports.clock),
    ring: new Ring("a", ring.layout),
    membership,
    reconciler,
  });
  hints.missed("b", ring.nameOn(["a", "d", "e"]));
  await ring.clock.advance(2_000);
  assert.deepEqual(await ports.catalog.owedCounts(), []);
  hints.stop();
});
