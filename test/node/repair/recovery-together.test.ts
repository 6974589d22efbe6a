/** Several replicas that have each lost something at the same time, no majority of anything: all of it comes back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Name } from "../../../src/core/names.ts";
import { slotOf } from "../../../src/core/partitions.ts";
import { isAtollError } from "../../../src/errors.ts";
import { MemoryRing } from "../../helpers/memory-ring.ts";
import { putObject, versionsAt } from "../../helpers/stored-objects.ts";

const ABC = ["a", "b", "c"];
const NAME = "bucket\0key";

/** In order of name. */
function twoOfOneSlot(): readonly [Name, Name] {
  const bySlot = new Map<number, Name>();
  for (let n = 100_000; n < 200_000; n++) {
    const name = `bucket\0key-${n}`;
    const other = bySlot.get(slotOf(name));
    if (other !== undefined) return [other, name];
    bySlot.set(slotOf(name), name);
  }
  return assert.fail("wanted two names in one slot, found none");
}

async function notices(ring: MemoryRing, id: string, name: Name): Promise<void> {
  const read = ring.run(ring.node(id).handlePeer({ node: "c" }, { type: "read", name }));
  await assert.rejects(read, (error) => isAtollError(error, "damaged", "peer-refused"));
}

function left(ring: MemoryRing, ids: readonly string[], series: string): number {
  return ids.reduce((sum, id) => sum + ring.count(id, series), 0);
}

async function listed(ring: MemoryRing, id: string): Promise<Name[]> {
  const page = await ring.run(ring.node(id).listings.list({ prefix: "bucket\0", after: "", limit: 100 }));
  return page.objects.map(({ name }) => name);
}

for (const [at, other] of [["a", "b"], ["b", "a"]] as const) {
  test(`damaged rows of two replicas are mended, though they are neighbours: the first one at ${at}`, async () => {
    const ring = await MemoryRing.open({ ids: ABC });
    const [first, second] = twoOfOneSlot();
    for (const name of [first, second, NAME]) await putObject(ring, "c", name, new Uint8Array(10));
    await ring.clock.advance(1_000);
    for (const id of ABC) ring.crash(id);
    ring.site(at).disk.damagedRows.add(first);
    ring.site(other).disk.damagedRows.add(second);
    for (const id of ["a", "b"]) await ring.start(id);
    await ring.clock.advance(5_000);
    await notices(ring, at, first);
    await notices(ring, other, second);
    assert.equal(left(ring, ABC, "atoll_registers_damaged"), 2);
    await ring.start("c");
    await ring.clock.until(
      "both are mended",
      () => left(ring, ABC, "atoll_registers_damaged") === 0,
      120_000,
    );
    for (const name of [first, second]) assert.deepEqual(await versionsAt(ring, ABC, name), [1, 1, 1]);
    for (const id of ABC) assert.deepEqual(await listed(ring, id), [NAME, first, second].sort());
    ring.close();
  });
}

test("two wiped replicas of five resync from the other three", async () => {
  const ids = ["a", "b", "c", "d", "e"];
  const ring = await MemoryRing.open({ ids, replicas: 5 });
  await putObject(ring, "a", NAME, new Uint8Array(10));
  await ring.clock.advance(1_000);
  ring.crash("c");
  for (const id of ["d", "e"]) {
    ring.wipe(id);
    await ring.start(id);
  }
  await ring.clock.advance(30_000);
  assert.equal(left(ring, ids, "atoll_recovery_partitions_left"), 2 * 1024);
  await ring.start("c");
  await ring.clock.until(
    "both have resynced",
    () => left(ring, ids, "atoll_recovery_partitions_left") === 0,
    120_000,
  );
  assert.deepEqual(await versionsAt(ring, ids, NAME), [1, 1, 1, 1, 1]);
  // Both have their votes again, on layouts too.
  await ring.clock.advance(5_000);
  for (const id of ["a", "b"]) ring.crash(id);
  await ring.clock.advance(5_000);
  await putObject(ring, "d", NAME, new Uint8Array(20));
  for (const id of ["c", "d", "e"]) {
    const reply = await ring.run(ring.node(id).handlePeer({ node: "c" }, { type: "decree-state" }));
    assert.equal(reply.type, "decree-state");
  }
  ring.close();
});

test("a damaged row holds up no more of a wiped replica than its partition", async () => {
  const ring = await MemoryRing.open({ ids: ABC });
  const damaged = ring.nameOn(ABC);
  for (const name of [damaged, NAME]) await putObject(ring, "c", name, new Uint8Array(10));
  await ring.clock.advance(1_000);
  for (const id of ["a", "b"]) ring.crash(id);
  ring.wipe("a");
  ring.site("b").disk.damagedRows.add(damaged);
  await ring.start("b");
  await ring.clock.advance(5_000);
  await notices(ring, "b", damaged);
  await ring.start("a");
  await ring.clock.until(
    "all but one partition have come back",
    () => ring.node("a").layout() !== undefined && ring.count("a", "atoll_recovery_partitions_left") === 1,
    120_000,
  );
  assert.deepEqual(await versionsAt(ring, ["a"], NAME), [1]);
  // Of that one a majority is gone: nobody makes up what it held.
  await ring.clock.advance(60_000);
  assert.equal(ring.count("a", "atoll_recovery_partitions_left"), 1);
  assert.equal(ring.count("b", "atoll_registers_damaged"), 1);
  ring.close();
});

test("a replica that has yet to resync does not count in its own listings", async () => {
  const ring = await MemoryRing.open({ ids: ABC });
  ring.crash("b");
  await ring.clock.advance(10_000);
  await putObject(ring, "a", NAME, new Uint8Array(10));
  for (const id of ["a", "c"]) ring.crash(id);
  ring.wipe("a");
  for (const id of ["a", "b"]) await ring.start(id);
  await ring.clock.until("it has the layout", () => ring.node("a").layout() !== undefined, 60_000);
  await ring.clock.advance(5_000);
  await assert.rejects(listed(ring, "a"), (error) => isAtollError(error, "no-quorum"));
  ring.close();
});
