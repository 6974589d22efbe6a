import assert from "node:assert/strict";
import { mkdir, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { cacheCharge, openDiskCache } from "../../src/adapters/disk-cache.ts";
import { chunkCacheConformance } from "../conformance/chunk-cache.ts";
import { numberedChunk } from "../conformance/chunk-files.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const fileOf = (directory: string, id: string) => join(directory, id.slice(0, 2), id);

chunkCacheConformance("DiskCache", async (maxBytes) => {
  const directory = temporaryDirectory();
  return {
    cache: await openDiskCache({ directory: directory.path, maxBytes }),
    damage: (id) => writeFile(fileOf(directory.path, id), "no chunk"),
    close: async () => directory[Symbol.dispose](),
  };
});

async function filesIn(directory: string): Promise<string[]> {
  return (await readdir(directory, { recursive: true })).map((path) => path.slice(-64)).filter((name) =>
    name.length === 64
  );
}

test("DiskCache finds its copies again, and drops the oldest beyond a smaller bound", async () => {
  using directory = temporaryDirectory();
  const chunks = [1, 2, 3].map(numberedChunk);
  const first = await openDiskCache({ directory: directory.path, maxBytes: 1 << 20 });
  for (const { id, bytes } of chunks) await first.put(id, bytes);
  for (const [index, { id }] of chunks.entries()) {
    await utimes(fileOf(directory.path, id), 1000 + index, 1000 + index);
  }

  const again = await openDiskCache({ directory: directory.path, maxBytes: 1 << 20 });
  assert.equal(again.usedBytes, first.usedBytes);
  for (const { id, bytes } of chunks) assert.deepEqual(new Uint8Array((await again.get(id))!), bytes);

  const room = cacheCharge(chunks[1]!.bytes.length) + cacheCharge(chunks[2]!.bytes.length);
  const smaller = await openDiskCache({ directory: directory.path, maxBytes: room });
  assert.equal(smaller.usedBytes, room);
  assert.equal(await smaller.get(chunks[0]!.id), undefined);
  assert.deepEqual((await filesIn(directory.path)).sort(), [chunks[1]!.id, chunks[2]!.id].sort());
});

test("DiskCache leaves no more files than it counts", async () => {
  using directory = temporaryDirectory();
  const cache = await openDiskCache({ directory: directory.path, maxBytes: 60_000 });
  const chunks = Array.from({ length: 60 }, (_, index) => numberedChunk(index % 25));
  await Promise.all(chunks.map(({ id, bytes }) => cache.put(id, bytes)));
  const kept = await filesIn(directory.path);
  const again = await openDiskCache({ directory: directory.path, maxBytes: 1 << 30 });
  assert.equal(again.usedBytes, cache.usedBytes);
  assert.ok(kept.length > 0);
});

test("DiskCache misses when its disk fails, and never rejects", async () => {
  using directory = temporaryDirectory();
  const cache = await openDiskCache({ directory: directory.path, maxBytes: 1 << 20 });
  const [kept, lost] = [numberedChunk(1), numberedChunk(2)];
  await cache.put(kept.id, kept.bytes);
  await rm(directory.path, { recursive: true });
  await cache.put(lost.id, lost.bytes);
  assert.equal(await cache.get(kept.id), undefined);
  assert.equal(await cache.get(lost.id), undefined);
  assert.equal(cache.usedBytes, 0);
});

test("DiskCache passes over what is not its own", async () => {
  using directory = temporaryDirectory();
  await mkdir(join(directory.path, "ab"));
  await writeFile(join(directory.path, "ab", "notes.txt"), "mine");
  await writeFile(join(directory.path, "README"), "mine");
  const cache = await openDiskCache({ directory: directory.path, maxBytes: 1 << 20 });
  assert.equal(cache.usedBytes, 0);
});
