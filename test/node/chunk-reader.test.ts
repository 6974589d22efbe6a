/** ChunkReader: from wherever it is nearest, once for many readers, and never a wrong byte. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { replicasOf, successorsOfPartition } from "../../src/core/layout.ts";
import { objectName } from "../../src/core/names.ts";
import { partitionOf } from "../../src/core/partitions.ts";
import type { ChunkWanted } from "../../src/node/chunk-reader.ts";
import { SMALL_CHUNK_BYTES } from "../../src/core/manifest.ts";
import type { Message } from "../helpers/fake-network.ts";
import { HASHING, type MemoryRing, type RingOptions } from "../helpers/memory-ring.ts";
import { openParts, type PartsRing } from "../helpers/memory-ring-parts.ts";

const IDS = ["a", "b", "c", "d"];
/** Round trips as d sees them: b is nearest, then c, then a. */
const FAR_MS: Readonly<Record<string, number>> = { a: 30, b: 2, c: 10 };
const delayMs: NonNullable<RingOptions["delayMs"]> = ({ from, to }) => FAR_MS[from === "d" ? to : from] ?? 1;

/** A chunk on a, b and c, and a ring that also has d, which is no replica of it. */
async function open(sizeBytes = 200_000): Promise<PartsRing & { wanted: ChunkWanted; bytes: Uint8Array }> {
  const { ring, parts } = await openParts({ ids: IDS, delayMs });
  const bytes = new Uint8Array(sizeBytes).map((_, i) => (i * 31) & 0xff);
  const id = HASHING.sha256(bytes);
  for (const node of ["a", "b", "c"]) await ring.run(parts[node]!.chunks.put(id, bytes));
  const wanted = { name: ring.nameOn(["a", "b", "c"]), id, sizeBytes, keep: false };
  return { ring, parts, wanted, bytes };
}

function watchGets(ring: MemoryRing): Message[] {
  const sent: Message[] = [];
  ring.network.rule((message) => {
    if (message.request.type === "chunk-get" && !message.reply) sent.push(message);
    return undefined;
  });
  return sent;
}

test("ChunkReader.fetch asks the nearest replica, and it alone, when it answers in time", async () => {
  const { ring, parts, wanted, bytes } = await open();
  const sent = watchGets(ring);
  const chunk = await ring.run(parts["d"]!.reader.fetch(wanted));
  assert.deepEqual([chunk.tier, chunk.from], ["peer", "b"]);
  assert.deepEqual(chunk.bytes, bytes);
  assert.deepEqual(sent.map(({ to }) => to), ["b"]);
});

test("ChunkReader.fetch is one fetch for however many readers come meanwhile", async () => {
  const { ring, parts, wanted } = await open();
  const sent = watchGets(ring);
  const chunks = await ring.run(
    Promise.all(Array.from({ length: 30 }, () => parts["d"]!.reader.fetch(wanted))),
  );
  assert.equal(sent.length, 1);
  const [first, ...others] = chunks;
  assert.ok(others.every(({ bytes, collapsed }) => bytes === first!.bytes && collapsed === true));
  assert.equal(first!.collapsed, undefined);
});

test("ChunkReader.fetch has the node's own copy before anybody else's", async () => {
  const { ring, parts, wanted } = await open();
  const sent = watchGets(ring);
  assert.equal((await ring.run(parts["a"]!.reader.fetch(wanted))).tier, "disk");
  assert.equal((await ring.run(parts["a"]!.reader.fetch({ ...wanted, keep: true }))).tier, "disk");
  assert.equal((await ring.run(parts["a"]!.reader.fetch(wanted))).tier, "memory");
  assert.equal(sent.length, 0);
});

test("ChunkReader.fetch asks the second replica when the first is late, and takes whichever is first", async () => {
  const { ring, parts, wanted } = await open();
  ring.network.rule(({ request, from }) =>
    from === "b" && request.type === "chunk-get" ? { lost: true } : undefined
  );
  const sent = watchGets(ring);
  const begunMs = ring.clock.monotonicMs();
  const chunk = await ring.run(parts["d"]!.reader.fetch(wanted));
  assert.equal(chunk.from, "c");
  assert.ok(ring.clock.monotonicMs() - begunMs < 100, `${ring.clock.monotonicMs() - begunMs} ms`);
  assert.deepEqual(sent.map(({ to }) => to), ["b", "c"]);
});

test("ChunkReader.fetch asks twice within its budget only, and waits for nobody for ever", async () => {
  const { ring, parts, wanted } = await open(100);
  ring.network.rule(({ request, from }) =>
    from === "b" && request.type === "chunk-get" ? { lost: true } : undefined
  );
  const took: number[] = [];
  for (let n = 0; n < 15; n++) {
    const bytes = new Uint8Array(100).fill(n);
    const id = HASHING.sha256(bytes);
    for (const node of ["b", "c"]) await ring.run(parts[node]!.chunks.put(id, bytes));
    const begunMs = ring.clock.monotonicMs();
    assert.equal((await ring.run(parts["d"]!.reader.fetch({ ...wanted, id }))).from, "c");
    took.push(ring.clock.monotonicMs() - begunMs);
  }
  const helped = took.filter((ms) => ms < 100).length;
  assert.equal(helped, 10, took.join());
  assert.ok(took.slice(10).every((ms) => ms > 1_000 && ms < 1_100), took.join());
  assert.equal(ring.count("d", "atoll_chunk_hedges_total"), 15);
});

test("ChunkReader.fetch asks whoever may stand in for a replica last, however busy the replicas are", async () => {
  const { ring, parts } = await openParts({ ids: ["a", "b", "c", "d", "e"] });
  const name = ring.nameOn(["a", "b", "c"]);
  const sent = watchGets(ring);
  const bytes = Array.from({ length: 12 }, (_, n) => new Uint8Array(100_000).fill(n));
  for (const one of bytes) {
    for (const node of ["a", "b", "c"]) await ring.run(parts[node]!.chunks.put(HASHING.sha256(one), one));
  }
  await ring.run(
    Promise.all(
      bytes.map((one) =>
        parts["d"]!.reader.fetch({ name, id: HASHING.sha256(one), sizeBytes: one.length, keep: false })
      ),
    ),
  );
  assert.deepEqual(["a", "b", "c", "e"].map((id) => sent.filter(({ to }) => to === id).length), [4, 4, 4, 0]);
});

test("ChunkReader.fetch goes on at once when the nearest refuses or lacks it", async () => {
  const { ring, parts, wanted } = await open();
  await ring.site("b").disk.chunkFiles.delete(wanted.id);
  ring.network.refuse("c");
  const begunMs = ring.clock.monotonicMs();
  assert.equal((await ring.run(parts["d"]!.reader.fetch(wanted))).from, "a");
  assert.ok(ring.clock.monotonicMs() - begunMs < 100);
});

test("ChunkReader.fetch refuses other bytes from a peer, counts them, and has the right ones from the next", async () => {
  const { ring, parts, wanted, bytes } = await open();
  const wrong = new Uint8Array(bytes);
  wrong[1000]! ^= 1;
  ring.network.rule(({ from, reply }) =>
    from === "b" && reply?.type === "chunk-get" ? { reply: { type: "chunk-get", bytes: wrong } } : undefined
  );
  const chunk = await ring.run(parts["d"]!.reader.fetch(wanted));
  assert.equal(chunk.from, "c");
  assert.deepEqual(chunk.bytes, bytes);
  assert.equal(ring.count("d", "atoll_chunks_received_corrupt_total"), 1);
});

for (const sizeBytes of [100, SMALL_CHUNK_BYTES, SMALL_CHUNK_BYTES + 1, 1 << 20]) {
  test(`ChunkReader.fetch: an own chunk of ${sizeBytes} bytes gone bad is fetched and stored again`, async () => {
    const { ring, parts, wanted, bytes } = await open(sizeBytes);
    const { disk } = ring.site("a");
    if (sizeBytes > SMALL_CHUNK_BYTES) disk.chunkFiles.flip(wanted.id);
    else {
      await disk.catalog.deleteChunk(wanted.id);
      await disk.catalog.commit({ chunks: [{ id: wanted.id, bytes: bytes.map((byte) => byte ^ 1) }] });
    }
    const chunk = await ring.run(parts["a"]!.reader.fetch(wanted));
    assert.equal(chunk.tier, "peer");
    assert.deepEqual(chunk.bytes, bytes);
    assert.equal(ring.count("a", "atoll_chunks_corrupt_total"), 1);
    assert.equal(ring.count("a", "atoll_chunks_repaired_total"), 1);
    assert.equal((await ring.run(parts["a"]!.reader.fetch(wanted))).tier, "disk");
  });
}

test("ChunkReader.fetch leaves what it fetched again in the disk cache of a node that is no replica", async () => {
  const { ring, parts, wanted, bytes } = await open();
  // As for an answer: first a look whether it is in memory.
  assert.equal(parts["d"]!.reader.peek(wanted.id), undefined);
  await ring.run(parts["d"]!.reader.fetch(wanted));
  await ring.clock.settle();
  assert.equal(await ring.site("d").disk.chunkCache.get(wanted.id), undefined, "one reader is none too many");
  assert.equal((await ring.run(parts["d"]!.reader.fetch(wanted))).tier, "peer");
  await ring.clock.settle();
  assert.ok(
    Buffer.from(bytes).equals(await ring.site("d").disk.chunkCache.get(wanted.id) ?? Buffer.alloc(0)),
  );
  assert.equal(await parts["d"]!.chunks.has(wanted.id), false, "and not among its own");
  for (const id of ["a", "b", "c"]) ring.network.refuse(id);
  assert.equal((await ring.run(parts["d"]!.reader.fetch(wanted))).tier, "disk-cache");
});

test("ChunkReader.fetch gives a reader its bytes though this replica's disk is full", async () => {
  const { ring, parts, wanted, bytes } = await open();
  await ring.site("a").disk.chunkFiles.delete(wanted.id);
  ring.site("a").disk.isFull = true;
  assert.deepEqual((await ring.run(parts["a"]!.reader.fetch(wanted))).bytes, bytes);
});

test("ChunkReader.fetch is no-quorum when nobody has it, and is tried anew by the next reader", async () => {
  const { ring, parts, wanted } = await open();
  for (const id of ["a", "b", "c"]) await ring.site(id).disk.chunkFiles.delete(wanted.id);
  await assert.rejects(ring.run(parts["d"]!.reader.fetch(wanted)), { code: "no-quorum" });
  await ring.run(parts["c"]!.chunks.put(wanted.id, new Uint8Array(200_000).map((_, i) => (i * 31) & 0xff)));
  assert.equal((await ring.run(parts["d"]!.reader.fetch(wanted))).from, "c");
});

test("ChunkReader.fetch is not failed by another object's reader who looked where the chunk never was", async () => {
  const { ring, parts } = await openParts({ ids: ["a", "b", "c", "d", "e", "f", "g"], delayMs });
  const bytes = new Uint8Array(200_000).fill(7);
  const id = HASHING.sha256(bytes);
  await ring.run(parts["a"]!.chunks.put(id, bytes));
  const wanted: ChunkWanted = {
    name: ring.nameOn(["a", "b", "c"]),
    id,
    sizeBytes: bytes.length,
    keep: false,
  };
  // The same content as a part of another object, whose replicas have not got it (yet), nor who stands in for them.
  const names = Array.from({ length: 1_000 }, (_, n) => objectName("bucket", `other-${n}`));
  const name = names.find((one) => {
    const standIns = successorsOfPartition(ring.layout, partitionOf(one)).filter((node) => node !== "d");
    return ![...replicasOf(ring.layout, one), ...standIns.slice(0, 2)].includes("a");
  })!;
  const failing = parts["d"]!.reader.fetch({ ...wanted, name });
  failing.catch(() => {}); // met below
  const good = parts["d"]!.reader.fetch(wanted);
  assert.equal((await ring.run(good)).from, "a");
  await assert.rejects(ring.run(failing), { code: "no-quorum" });
});

test("ChunkReader.fetch finds a chunk that lies with who stands in for its replicas", async () => {
  const { ring, parts, wanted, bytes } = await open();
  for (const id of ["a", "b", "c"]) await ring.site(id).disk.chunkFiles.delete(wanted.id);
  await ring.run(parts["d"]!.chunks.put(wanted.id, bytes));
  const chunk = await ring.run(parts["a"]!.reader.fetch(wanted));
  assert.deepEqual([chunk.tier, chunk.from], ["peer", "d"]);
  assert.equal(await ring.site("a").disk.chunkFiles.has(wanted.id), true, "a replica keeps what it lacked");
});
