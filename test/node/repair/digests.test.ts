/** Digests: what replicas compare is what lies in their catalogs, or soon is again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY_DIGEST } from "../../../src/core/merkle.ts";
import { PARTITIONS, slotOf, SLOTS, SLOTS_PER_PARTITION } from "../../../src/core/partitions.ts";
import { Digests } from "../../../src/node/repair/digests.ts";
import { HASHING, MemoryRing } from "../../helpers/memory-ring.ts";
import { putObject, rowOf, versionsAt } from "../../helpers/stored-objects.ts";

/** In a slot that the slow cycle comes to in its first hundredth. */
const NAME = firstName((name) => slotOf(name) < SLOTS / 100);
const SLOT = slotOf(NAME);
const PARTITION = Math.floor(SLOT / SLOTS_PER_PARTITION);
const CYCLE_MS = 1_024_000;
const FOUND_MS = CYCLE_MS / 100 + 2_000;
/** What changes of a moment are gathered for, and a little. */
const GATHERED_MS = 600;

function firstName(isWanted: (name: string) => boolean): string {
  for (let n = 0;; n++) if (isWanted(`bucket\0${n}`)) return `bucket\0${n}`;
}

function openBench() {
  const ring = new MemoryRing({ ids: ["a"] });
  const damaged: string[] = [];
  const open = (): Digests => {
    const ports = ring.portsOf("a");
    return new Digests({
      ...ports,
      hashing: HASHING,
      onDamaged: (name) => damaged.push(name),
      cycleMs: CYCLE_MS,
    });
  };
  const { disk } = ring.site("a");
  const lies = (): number => ring.count("a", "atoll_digests_wrong_total");
  return { ring, disk, catalog: disk.catalog, damaged, open, lies };
}

test("Digests follow every change, and are the same wherever the same lies", async () => {
  const one = openBench();
  const two = openBench();
  const [first, second] = [one.open(), two.open()];
  await first.start();
  await second.start();
  assert.equal(first.ofPartition(PARTITION), EMPTY_DIGEST);
  await one.catalog.commit({ registers: [rowOf(NAME, 1), rowOf("bucket\0other", 2)] });
  first.changed();
  await two.catalog.commit({ registers: [rowOf("bucket\0other", 2)] });
  await two.catalog.commit({ registers: [rowOf(NAME, 1)] });
  second.changed();
  await one.ring.clock.advance(GATHERED_MS);
  await two.ring.clock.advance(GATHERED_MS);
  const all = (digests: Digests) =>
    Array.from({ length: PARTITIONS }, (_, partition) => digests.ofPartition(partition));
  assert.notEqual(first.ofPartition(PARTITION), EMPTY_DIGEST);
  assert.deepEqual(all(first), all(second));
  const before = first.ofPartition(PARTITION);
  await one.catalog.commit({ registers: [rowOf(NAME, 2)] });
  first.changed();
  await one.ring.clock.advance(GATHERED_MS);
  assert.notEqual(first.ofPartition(PARTITION), before);
  await one.catalog.commit({ forgotten: [NAME] });
  first.changed();
  await one.ring.clock.advance(GATHERED_MS);
  assert.equal(first.ofPartition(PARTITION), EMPTY_DIGEST);
  assert.deepEqual(await one.catalog.changedSlots(9), []);
});

test("Digests of changes that a crash came after are made at the next start, for the change marked its slot itself", async () => {
  const { ring, catalog, open } = openBench();
  const first = open();
  await first.start();
  await ring.clock.advance(GATHERED_MS);
  await catalog.commit({ registers: [rowOf(NAME, 1)] }); // and nobody was told
  first.stop();
  const second = open();
  await second.start();
  assert.equal(second.ofPartition(PARTITION), EMPTY_DIGEST);
  await ring.clock.advance(GATHERED_MS);
  assert.notEqual(second.ofPartition(PARTITION), EMPTY_DIGEST);
});

test("Digests say the same after a restart, without reading what did not change", async () => {
  const { ring, disk, catalog, open } = openBench();
  await catalog.commit({ registers: [rowOf(NAME, 1)] });
  const first = open();
  await first.start();
  await ring.clock.advance(GATHERED_MS);
  const digest = first.ofPartition(PARTITION);
  first.stop();
  disk.damagedRows.add(NAME); // would be found if it were read
  const second = open();
  await second.start();
  await ring.clock.advance(GATHERED_MS);
  assert.equal(second.ofPartition(PARTITION), digest);
});

test("Digests that are not those of what lies there are found within the slow cycle, and counted", async () => {
  const { ring, catalog, open, lies } = openBench();
  await catalog.commit({ registers: [rowOf(NAME, 1)] });
  const first = open();
  await first.start();
  await ring.clock.advance(GATHERED_MS);
  const right = first.ofPartition(PARTITION);
  first.stop();
  await catalog.commit({ digests: [{ slot: SLOT, digest: "00".repeat(32), turn: 1 }] });
  assert.deepEqual(await catalog.changedSlots(9), [], "the lie must not be marked");
  const second = open();
  await second.start();
  await ring.clock.advance(GATHERED_MS);
  assert.notEqual(second.ofPartition(PARTITION), right);
  await ring.clock.advance(FOUND_MS);
  assert.equal(second.ofPartition(PARTITION), right);
  assert.equal(lies(), 1);
  second.stop();
  const third = open();
  await third.start();
  assert.equal(third.ofPartition(PARTITION), right, "what was found was not kept");
});

test("Digests of a slot that cannot be read are made once it can be; the others do not wait for it", async () => {
  const { ring, disk, catalog, damaged, open } = openBench();
  await catalog.commit({ registers: [rowOf(NAME, 1), rowOf("bucket\0other", 1)] });
  disk.damagedRows.add(NAME);
  const digests = open();
  await digests.start();
  await ring.clock.advance(GATHERED_MS);
  const other = Math.floor(slotOf("bucket\0other") / SLOTS_PER_PARTITION);
  assert.notEqual(digests.ofPartition(other), EMPTY_DIGEST);
  assert.equal(digests.ofPartition(PARTITION), EMPTY_DIGEST);
  assert.deepEqual([...new Set(damaged)], [NAME]);
  assert.equal((await catalog.changedSlots(9)).length, 1);
  disk.damagedRows.delete(NAME);
  await ring.clock.advance(11_000);
  assert.notEqual(digests.ofPartition(PARTITION), EMPTY_DIGEST);
});

test("Digests are checked in the slow cycle although a slot before them cannot be read", async () => {
  const { ring, disk, catalog, damaged, open, lies } = openBench();
  // In one step of the cycle, the second after the first.
  const after = firstName((name) => slotOf(name) >> 6 === SLOT >> 6 && slotOf(name) > SLOT);
  await catalog.commit({ registers: [rowOf(NAME, 1), rowOf(after, 1)] });
  const first = open();
  await first.start();
  await ring.clock.advance(GATHERED_MS);
  first.stop();
  await catalog.commit({ digests: [{ slot: slotOf(after), digest: "00".repeat(32), turn: 2 }] });
  assert.deepEqual(await catalog.changedSlots(9), []);
  disk.damagedRows.add(NAME);
  const second = open();
  await second.start();
  await ring.clock.advance(FOUND_MS);
  assert.equal(lies(), 1);
  assert.deepEqual([...new Set(damaged)], [NAME]);
});

test("Digests that lie hide a difference only until the slow cycle comes by", async () => {
  const ids = ["a", "b", "c"];
  const ring = await MemoryRing.open({ ids, repair: { compareIntervalMs: 5_000, digestCycleMs: CYCLE_MS } });
  await putObject(ring, "a", NAME, new Uint8Array(10));
  await ring.clock.advance(20_000);
  // c loses the row, and its digest goes on saying that it is there.
  ring.crash("c");
  const { catalog } = ring.site("c").disk;
  const [known] = (await catalog.digests()).filter(({ slot }) => slot === SLOT);
  await catalog.commit({ forgotten: [NAME] });
  const [{ turn } = { turn: 0 }] = await catalog.changedSlots(9);
  await catalog.commit({ digests: [{ ...known!, turn }] });
  await ring.start("c");
  assert.deepEqual(await versionsAt(ring, ids, NAME), [1, 1, 0]);
  await ring.clock.advance(FOUND_MS + 20_000);
  assert.deepEqual(await versionsAt(ring, ids, NAME), [1, 1, 1]);
  ring.close();
});
