/** Handoffs: a chunk held for a replica that was away goes home, and is given up only when every home has it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ChunkId, Manifest } from "../../../src/core/manifest.ts";
import type { PeerReply, PeerRequest } from "../../../src/ports.ts";
import { HASHING, MemoryRing } from "../../helpers/memory-ring.ts";
import { bytesOfKind, deleteObject, FILE_BYTES, holdersOf, putObject } from "../../helpers/stored-objects.ts";

const IDS = ["a", "b", "c", "d", "e"];
const HOMES = ["a", "b", "c"];
const FULL: PeerReply = { type: "error", code: "storage-full", message: "no room" };
const GARBAGE = { garbageGraceMs: 30_000, garbageIntervalMs: 10_000, compareIntervalMs: 3_600_000 };

interface HeldObject {
  readonly ring: MemoryRing;
  readonly name: string;
  readonly chunk: ChunkId;
  readonly manifest: Manifest;
  /** The node that holds the chunk in c's place. */
  readonly holder: string;
}

/** An object of a, b and c whose chunk came while c was down. */
async function openHeld(
  repair: Record<string, number> = { compareIntervalMs: 3_600_000 },
): Promise<HeldObject> {
  const ring = await MemoryRing.open({ ids: IDS, repair });
  const name = ring.nameOn(HOMES);
  ring.crash("c");
  await ring.clock.advance(5_000);
  const manifest = await putObject(ring, "a", name);
  const chunk = manifest.chunks[0]!;
  await ring.clock.advance(1_000);
  const [holder] = await holdersOf(ring, ["d", "e"], chunk);
  assert.ok(holder, "nobody stood in");
  return { ring, name, chunk, manifest, holder };
}

function owedAt(ring: MemoryRing, id: string): Promise<{ node: string; chunks: number; changes: number }[]> {
  return ring.site(id).disk.catalog.owedCounts();
}

/** A node that answers one kind of request with an error. */
function refuse(ring: MemoryRing, to: string, type: PeerRequest["type"]): () => void {
  return ring.network.rule((message) =>
    !message.reply && message.to === to && message.request.type === type ? { reply: FULL } : undefined
  );
}

test("Handoffs hold a chunk for a replica that is away, durably, and bring it home when it is back", async () => {
  const { ring, chunk, holder } = await openHeld();
  assert.deepEqual(await owedAt(ring, holder), [{ node: "c", changes: 0, chunks: 1 }]);
  assert.equal(ring.count(holder, "atoll_handoff_chunks_owed"), 1);
  // c gets it from nobody else.
  ring.network.rule(({ from, request }) =>
    from === "c" && request.type === "chunk-get" ? { lost: true } : undefined
  );
  await ring.start("c");
  await ring.clock.advance(5_000);
  assert.deepEqual(await holdersOf(ring, HOMES, chunk), HOMES);
  assert.deepEqual(await owedAt(ring, holder), []);
  assert.equal(ring.count(holder, "atoll_handoff_chunks_owed"), 0);
  ring.close();
});

test("Handoffs survive a crash of the holder", async () => {
  const { ring, chunk, holder } = await openHeld();
  ring.crash(holder);
  ring.network.rule(({ from, request }) =>
    from === "c" && request.type === "chunk-get" ? { lost: true } : undefined
  );
  await ring.start("c");
  await ring.clock.advance(20_000);
  assert.deepEqual(await holdersOf(ring, HOMES, chunk), ["a", "b"]);
  await ring.start(holder);
  await ring.clock.advance(5_000);
  assert.deepEqual(await holdersOf(ring, HOMES, chunk), HOMES);
  ring.close();
});

test("Handoffs are given up only when every home has the chunk, not only the one it is owed to", async () => {
  const { ring, chunk, holder } = await openHeld();
  const lift = refuse(ring, "b", "chunk-put");
  await ring.site("b").disk.chunkFiles.delete(chunk);
  await ring.start("c");
  await ring.clock.advance(10_000);
  assert.deepEqual(await holdersOf(ring, HOMES, chunk), ["a", "c"]);
  assert.deepEqual(await owedAt(ring, holder), [{ node: "c", changes: 0, chunks: 1 }]);
  lift();
  await ring.clock.advance(70_000);
  assert.deepEqual(await holdersOf(ring, HOMES, chunk), HOMES);
  assert.deepEqual(await owedAt(ring, holder), []);
  ring.close();
});

test("Handoffs wait, unsettled, for a home that is away; the one it is owed to has it meanwhile", async () => {
  const { ring, chunk, holder } = await openHeld();
  ring.crash("b");
  await ring.clock.advance(5_000);
  await ring.start("c");
  await ring.clock.advance(10_000);
  assert.deepEqual(await holdersOf(ring, ["a", "c"], chunk), ["a", "c"]);
  assert.deepEqual(await owedAt(ring, holder), [{ node: "c", changes: 0, chunks: 1 }]);
  await ring.start("b");
  await ring.clock.advance(70_000);
  assert.deepEqual(await owedAt(ring, holder), []);
  ring.close();
});

test("Handoffs to a node that is back are not slowed by another home that stays away", async () => {
  const ring = await MemoryRing.open({ ids: IDS, repair: { compareIntervalMs: 3_600_000 } });
  const name = ring.nameOn(HOMES);
  const { disk } = ring.site("d");
  // More than one batch, all owed to c, and b is away.
  const ids = Array.from({ length: 2_000 }, (_, n) => HASHING.sha256(bytesOfKind(n, 100)));
  await disk.catalog.commit({
    chunks: ids.map((id, n) => ({ id, bytes: bytesOfKind(n, 100) })),
    owed: ids.map((chunk) => ({ node: "c", name, chunk, settled: false })),
  });
  ring.crash("b");
  ring.crash("d");
  await ring.clock.advance(5_000);
  await ring.start("d");
  await ring.clock.advance(10_000);
  const stored = await ring.site("c").disk.catalog.listChunks("", 10_000);
  assert.equal(stored.length, 2_000);
  assert.deepEqual(await owedAt(ring, "d"), [{ node: "c", changes: 0, chunks: 2_000 }]);
  ring.close();
});

test("Handoffs are kept by the garbage collector for as long as they are owed, and go once they are home", async () => {
  const { ring, chunk, holder } = await openHeld(GARBAGE);
  await ring.clock.advance(400_000);
  // c is away, and while that is so nothing at all goes.
  assert.deepEqual(await holdersOf(ring, [holder], chunk), [holder]);
  const bytes = (state: string) => ring.count(holder, `atoll_stored_bytes{state="${state}"}`);
  assert.deepEqual([bytes("live"), bytes("owed"), bytes("dead")], [0, FILE_BYTES, 0]);
  // c is back and answers, and has no room for the chunk.
  const lift = refuse(ring, "c", "chunk-put");
  ring.network.rule(({ from, request }) =>
    from === "c" && request.type === "chunk-get" ? { lost: true } : undefined
  );
  await ring.start("c");
  await ring.clock.advance(400_000);
  assert.deepEqual(await holdersOf(ring, [holder], chunk), [holder], "what was owed was collected");
  lift();
  await ring.clock.advance(400_000);
  assert.deepEqual(await holdersOf(ring, IDS, chunk), HOMES);
  assert.deepEqual([bytes("live"), bytes("owed"), bytes("dead")], [0, 0, 0]);
  ring.close();
});

test("Handoffs of an object that was deleted meanwhile are collected everywhere in the end", async () => {
  const { ring, name, chunk } = await openHeld({ ...GARBAGE, tombstoneAgeMs: 30_000 });
  await deleteObject(ring, "a", name);
  await ring.start("c");
  await ring.clock.advance(800_000);
  assert.deepEqual(await holdersOf(ring, IDS, chunk), []);
  ring.close();
});

test("Handoffs: a home that said it holds a chunk keeps it as if it had just been stored", async () => {
  const ring = await MemoryRing.open({ ids: IDS, repair: GARBAGE });
  // A chunk that c had from an earlier upload, named by nobody, old enough to go.
  const bytes = bytesOfKind(7);
  const id = HASHING.sha256(bytes);
  await ring.site("c").disk.chunkFiles.put(id, bytes);
  const keep = async () => {
    const asked = ring.node("c").handlePeer({ node: "d" }, { type: "chunks-held", ids: [id] });
    assert.deepEqual(await ring.run(asked), { type: "chunks-held", held: [true] });
  };
  for (let asked = 0; asked < 20; asked++) {
    await ring.clock.advance(25_000);
    await keep();
  }
  await ring.clock.advance(500_000);
  assert.deepEqual(await holdersOf(ring, ["c"], id), []);
  ring.close();
});
