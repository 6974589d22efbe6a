/** Recovery: a replica that lost its memory has no vote until enough of the others told it what it held. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { replicasOf } from "../../../src/core/layout.ts";
import { isAtollError } from "../../../src/errors.ts";
import { MemoryRing } from "../../helpers/memory-ring.ts";
import {
  bytesOfKind,
  deleteObject,
  holdersOf,
  putObject,
  stateAt,
  versionsAt,
} from "../../helpers/stored-objects.ts";

const IDS = ["a", "b", "c"];
const NAME = "bucket\0key";

function partitionsLeft(ring: MemoryRing, id: string): number {
  return ring.count(id, "atoll_recovery_partitions_left");
}

async function hasNoVote(ring: MemoryRing, id: string, name = NAME): Promise<void> {
  const ballot = { counter: 1_000_000, node: "x" };
  for (const request of [{ type: "read", name }, { type: "prepare", name, ballot }] as const) {
    await assert.rejects(
      ring.run(ring.node(id).handlePeer({ node: "b" }, request)),
      (error) => isAtollError(error, "peer-refused"),
      request.type,
    );
  }
}

test("Recovery gives a wiped replica back what it held: registers, deletions and chunks", async () => {
  const ring = await MemoryRing.open({ ids: IDS });
  const manifest = await putObject(ring, "a", NAME, bytesOfKind(1));
  await putObject(ring, "a", "bucket\0gone", new Uint8Array(10));
  await deleteObject(ring, "b", "bucket\0gone");
  await ring.clock.advance(1_000);
  ring.wipe("a");
  await ring.start("a");
  await ring.clock.advance(1_000);
  await ring.clock.until("it has resynced", () => partitionsLeft(ring, "a") === 0, 60_000);
  await ring.clock.advance(10_000);
  assert.deepEqual(await versionsAt(ring, IDS, NAME), [1, 1, 1]);
  assert.deepEqual(await versionsAt(ring, IDS, "bucket\0gone"), [2, 2, 2]);
  assert.deepEqual(await holdersOf(ring, IDS, manifest.chunks[0]!), IDS);
  // It counts for a majority again.
  ring.crash("b");
  await ring.clock.advance(5_000);
  await putObject(ring, "c", NAME, bytesOfKind(2));
  assert.equal((await stateAt(ring, "a", NAME))?.value?.version, 2);
  ring.close();
});

test("Recovery waits, without a vote, while too few others are there, and through restarts", async () => {
  const ring = await MemoryRing.open({ ids: IDS });
  await putObject(ring, "a", NAME, new Uint8Array(10));
  await ring.clock.advance(1_000);
  ring.crash("c");
  ring.wipe("a");
  await ring.start("a");
  await ring.clock.advance(60_000);
  assert.equal(partitionsLeft(ring, "a"), 1024);
  await hasNoVote(ring, "a");
  ring.crash("a");
  await ring.start("a");
  await ring.clock.advance(60_000);
  await hasNoVote(ring, "a");
  // A majority with the old disk's memory gone would be none.
  const put = putObject(ring, "b", NAME, new Uint8Array(20));
  await assert.rejects(put, (error) => isAtollError(error, "no-quorum"));
  await ring.start("c");
  await ring.clock.advance(60_000);
  assert.equal(partitionsLeft(ring, "a"), 0);
  assert.deepEqual(await versionsAt(ring, IDS, NAME), [1, 1, 1]);
  ring.close();
});

test("Recovery of what can be had does not wait for what cannot", async () => {
  const ring = await MemoryRing.open({ ids: ["a", "b", "c", "d", "e"] });
  const [waits, goes] = [ring.nameOn(["a", "b", "c"]), ring.nameOn(["a", "d", "e"])];
  for (const name of [waits, goes]) await putObject(ring, "a", name, new Uint8Array(10));
  await ring.clock.advance(1_000);
  ring.crash("c");
  ring.wipe("a");
  await ring.start("a");
  await ring.clock.advance(60_000);
  const left = partitionsLeft(ring, "a");
  assert.ok(left > 0 && left < 400, `${left} partitions left`);
  assert.deepEqual(await versionsAt(ring, ["a"], goes), [1]);
  await hasNoVote(ring, "a", waits);
  // It votes where it knows again.
  ring.crash("d");
  await ring.clock.advance(5_000);
  await putObject(ring, "e", goes, new Uint8Array(20));
  await ring.start("c");
  await ring.start("d");
  await ring.clock.advance(90_000);
  assert.equal(partitionsLeft(ring, "a"), 0);
  assert.deepEqual(await versionsAt(ring, ["a"], waits), [1]);
  ring.close();
});

test("Recovery mends a damaged row, which has no vote meanwhile while the others have theirs", async () => {
  const ring = await MemoryRing.open({ ids: IDS });
  await putObject(ring, "a", NAME, new Uint8Array(10));
  await putObject(ring, "a", "bucket\0other", new Uint8Array(10));
  await ring.clock.advance(1_000);
  for (const id of ["b", "c"]) ring.crash(id);
  ring.crash("a");
  ring.site("a").disk.damagedRows.add(NAME);
  await ring.start("a");
  await ring.clock.advance(5_000);
  const read = ring.node("a").handlePeer({ node: "b" }, { type: "read", name: NAME });
  await assert.rejects(ring.run(read), (error) => isAtollError(error, "damaged"));
  await ring.clock.advance(30_000);
  await hasNoVote(ring, "a");
  const other = await ring.run(
    ring.node("a").handlePeer({ node: "b" }, { type: "read", name: "bucket\0other" }),
  );
  assert.equal(other.type === "read" && other.value?.version, 1);
  assert.equal(ring.count("a", "atoll_registers_damaged"), 1);
  for (const id of ["b", "c"]) await ring.start(id);
  await ring.clock.advance(40_000);
  assert.equal(ring.count("a", "atoll_registers_damaged"), 0);
  assert.equal(ring.site("a").disk.damagedRows.size, 0);
  const mended = await ring.run(ring.node("a").handlePeer({ node: "b" }, { type: "read", name: NAME }));
  assert.equal(mended.type === "read" && mended.value?.version, 1);
  ring.close();
});

test("Recovery has votes from the old disk voided: whoever knows of the new one says so with every vote", async () => {
  const ring = await MemoryRing.open({ ids: IDS });
  await putObject(ring, "a", NAME, new Uint8Array(10));
  ring.wipe("a");
  await ring.start("a");
  await ring.clock.advance(20_000);
  assert.equal(partitionsLeft(ring, "a"), 0);
  const testimonies = await Promise.all(IDS.map(async (id) => {
    const reply = await ring.run(ring.node(id).handlePeer({ node: "b" }, { type: "read", name: NAME }));
    return reply.type === "read" ? reply.testimony : undefined;
  }));
  const own = testimonies[0]!.memory;
  assert.ok(own.counter > 0);
  for (const testimony of testimonies.slice(1)) {
    assert.deepEqual(testimony?.witnessed, [{ node: "a", memory: own }]);
  }
  // Also after a restart of the witness.
  ring.crash("b");
  await ring.start("b");
  const again = await ring.run(ring.node("b").handlePeer({ node: "c" }, { type: "read", name: NAME }));
  assert.deepEqual(again.type === "read" && again.testimony?.witnessed, [{ node: "a", memory: own }]);
  assert.ok(replicasOf(ring.layout, NAME).includes("a"));
  ring.close();
});
