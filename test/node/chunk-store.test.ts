/** ChunkStore: what it says of a chunk may be relied on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ChunkStore } from "../../src/node/chunk-store.ts";
import { Metrics } from "../../src/node/metrics.ts";
import { createMemoryCatalog } from "../helpers/memory-catalog.ts";
import { createMemoryChunkFiles } from "../helpers/memory-chunk-files.ts";
import { openParts } from "../helpers/memory-ring-parts.ts";
import { HASHING } from "../helpers/memory-ring.ts";
import { bytesOfKind, manifestOf, rowOf } from "../helpers/stored-objects.ts";

const BYTES = bytesOfKind(1);
const ID = HASHING.sha256(BYTES);

test("ChunkStore no longer knows a chunk that it found missing or corrupt", async () => {
  const files = createMemoryChunkFiles();
  const catalog = createMemoryCatalog();
  const store = new ChunkStore({ catalog, files, hashing: HASHING, metrics: new Metrics() });
  for (const lose of [() => files.delete(ID), async () => files.flip(ID)]) {
    await store.put(ID, BYTES);
    assert.equal(store.isKnown(ID), true);
    await lose();
    assert.equal(await store.get(ID, BYTES.length), undefined);
    assert.equal(store.isKnown(ID), false);
    assert.equal(await store.has(ID), false);
  }
});

test("ChunkStore.collect takes nothing that somebody was told it keeps", async () => {
  const files = createMemoryChunkFiles();
  const store = new ChunkStore({
    catalog: createMemoryCatalog(),
    files,
    hashing: HASHING,
    metrics: new Metrics(),
  });
  const stored = new Set<string>();
  store.onStored = (id) => void stored.add(id);
  await files.put(ID, BYTES);
  assert.equal(await store.keeps(ID), true);
  assert.equal(await store.collect({ id: ID, sizeBytes: BYTES.length }, () => stored.has(ID)), false);
  stored.clear();
  assert.equal(await store.collect({ id: ID, sizeBytes: BYTES.length }, () => stored.has(ID)), true);
  assert.equal(await store.keeps(ID), false);
});

test("Completion relies on no chunk that the garbage collector may still take", async () => {
  const { ring, parts } = await openParts({ ids: ["a"] });
  const { catalog, chunkFiles } = ring.site("a").disk;
  await chunkFiles.put(ID, BYTES);
  const content = { kind: "object", manifest: manifestOf(ID) } as const;
  await catalog.commit({
    registers: [rowOf("bucket\0key", 1, { content })],
    incomplete: [{ name: "bucket\0key", version: 1 }],
  });
  const kept: string[] = [];
  const { chunks, completion } = parts["a"]!;
  chunks.onStored = (id) => kept.push(id);
  completion.start();
  await ring.clock.advance(1_000);
  assert.deepEqual(await catalog.incomplete(9), []);
  assert.deepEqual(kept, [ID]);
});
