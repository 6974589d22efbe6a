/** Scrub: rot and losses are found within a cycle, at a set share of the time, and mended from the other replicas. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CHUNK_BYTES } from "../../../src/core/manifest.ts";
import type { PeerReply } from "../../../src/ports.ts";
import { contentAt } from "../../helpers/memory-ring-body.ts";
import { HASHING, MemoryRing } from "../../helpers/memory-ring.ts";
import {
  bytesOfKind,
  FILE_BYTES,
  holdersOf,
  manifestOf,
  putObject,
  rowOf,
} from "../../helpers/stored-objects.ts";

const IDS = ["a", "b", "c"];
const NAME = "bucket\0key";
const CYCLE_MS = 1_000_000;
const ERROR: PeerReply = { type: "error", code: "internal", message: "a bad day" };

function open(share = 1, ids: readonly string[] = IDS): Promise<MemoryRing> {
  return MemoryRing.open({
    ids,
    memoryCacheBytes: 0,
    repair: { scrubCycleMs: CYCLE_MS, scrubShare: share, compareIntervalMs: 24 * 3_600_000 },
  });
}

/** Nobody is given a chunk. */
function withholdChunks(ring: MemoryRing, only: (chunk: string) => boolean = () => true): () => void {
  return ring.network.rule(({ request, reply }) =>
    !reply && request.type === "chunk-get" && only(request.id) ? { reply: ERROR } : undefined
  );
}

test("Scrub finds rotten and missing chunks within a cycle, in files and in the catalog, and fetches them anew", async () => {
  const ring = await open();
  const { disk } = ring.site("a");
  const [rotten, missing, small] = [
    await putObject(ring, "a", "bucket\0rotten", bytesOfKind(1)),
    await putObject(ring, "a", "bucket\0missing", bytesOfKind(2)),
    await putObject(ring, "a", "bucket\0small", bytesOfKind(3, 10_000)),
  ].map(({ chunks }) => chunks[0]!);
  disk.chunkFiles.flip(rotten!);
  await disk.chunkFiles.delete(missing!);
  disk.rottenChunks.add(small!);
  await ring.clock.advance(CYCLE_MS);
  for (const chunk of [rotten, missing, small]) assert.deepEqual(await holdersOf(ring, ["a"], chunk!), ["a"]);
  assert.equal(ring.count("a", "atoll_scrub_mended_total"), 3);
  assert.equal(ring.count("a", "atoll_chunks_corrupt_total"), 2);
  assert.equal(ring.count("b", "atoll_scrub_mended_total"), 0);
  ring.close();
});

test("Scrub reads every chunk once in each cycle, also those that it read in the last", async () => {
  const ring = await open();
  const [chunk] = (await putObject(ring, "a", NAME)).chunks;
  await putObject(ring, "a", "bucket\0same bytes");
  for (let cycle = 1; cycle <= 3; cycle++) {
    // Cycles begin in the first minutes.
    await ring.clock.advance(CYCLE_MS / 2);
    assert.equal(ring.count("a", "atoll_scrub_bytes_total"), cycle * FILE_BYTES, `in cycle ${cycle}`);
    assert.deepEqual(await holdersOf(ring, ["a"], chunk!), ["a"], `in cycle ${cycle}`);
    ring.site("a").disk.chunkFiles.flip(chunk!);
    await ring.clock.advance(CYCLE_MS / 2);
  }
  ring.close();
});

test("Scrub takes no more than its share of the time", async () => {
  const ring = await open(0.05);
  const { disk } = ring.site("a");
  const files = 40;
  for (let n = 0; n < files; n++) await putObject(ring, "a", `bucket\0${n}`, bytesOfKind(n));
  // Each read takes so long, of which nothing but the scrub makes any.
  const readMs = 25;
  const get = disk.chunkFiles.get.bind(disk.chunkFiles);
  let busyMs = 0;
  disk.chunkFiles.get = async (id) => {
    busyMs += readMs;
    await new Promise<void>((resolve) => ring.clock.after(readMs, resolve));
    return await get(id);
  };
  const checked = () => ring.count("a", "atoll_scrub_bytes_total");
  await ring.clock.until("it begins", () => checked() > 0, 120_000);
  const begunMs = ring.clock.monotonicMs();
  busyMs = 0;
  await ring.clock.until("it ends", () => checked() === files * FILE_BYTES, CYCLE_MS);
  const share = busyMs / (ring.clock.monotonicMs() - begunMs);
  assert.ok(share > 0.04 && share <= 0.052, `${share} of the time`);
  ring.close();
});

test("Scrub on demand reads all at once, reports what it found, and is joined by those who ask meanwhile", async () => {
  const ring = await open(0.001);
  const manifest = await putObject(ring, "a", NAME, contentAt(0, 3 * CHUNK_BYTES));
  await putObject(ring, "a", "bucket\0other");
  ring.site("a").disk.chunkFiles.flip(manifest.chunks[1]!);
  const { scrub } = ring.node("a").repair;
  const [first, second] = [scrub.now(), scrub.now()];
  assert.equal(first, second);
  assert.equal(scrub.status.onDemand, true);
  const report = await ring.run(first, "the scrub", 5_000);
  assert.deepEqual(report, {
    objects: 2,
    chunks: 4,
    bytes: 3 * CHUNK_BYTES + FILE_BYTES,
    mended: 1,
    failed: 0,
  });
  assert.deepEqual(scrub.status, { onDemand: false, report });
  assert.deepEqual(await holdersOf(ring, ["a"], manifest.chunks[1]!), ["a"]);
  const again = await ring.run(scrub.now(), "the second", 5_000);
  assert.deepEqual([again.chunks, again.mended], [4, 0]);
  ring.close();
});

test("Scrub looks at an object's other chunks although one cannot be had, and has that fetched as soon as it can be", async () => {
  const ring = await open();
  const { chunks } = await putObject(ring, "a", NAME, contentAt(0, 4 * CHUNK_BYTES));
  const { disk } = ring.site("a");
  for (const chunk of [chunks[0]!, chunks[3]!]) disk.chunkFiles.flip(chunk);
  const give = withholdChunks(ring, (chunk) => chunk === chunks[0]);
  const report = await ring.run(ring.node("a").repair.scrub.now(), "the scrub", 60_000);
  assert.deepEqual([report.chunks, report.mended, report.failed], [3, 1, 1]);
  assert.deepEqual(await holdersOf(ring, ["a"], chunks[3]!), ["a"]);
  assert.deepEqual(await disk.catalog.incomplete(9), [{ name: NAME, version: 1 }]);
  // Long before the next cycle, and whatever happens meanwhile.
  ring.crash("a");
  await ring.start("a");
  await ring.clock.advance(10_000);
  assert.deepEqual(await holdersOf(ring, ["a"], chunks[0]!), []);
  give();
  await ring.clock.advance(70_000);
  assert.deepEqual(await holdersOf(ring, ["a"], chunks[0]!), ["a"]);
  assert.deepEqual(await disk.catalog.incomplete(9), []);
  ring.close();
});

test("Scrub goes on after a restart from where it was, and not before the cycle is over once it ended", async () => {
  const ring = await open(1, ["a"]);
  const ids = Array.from({ length: 200 }, (_, n) => HASHING.sha256(bytesOfKind(n)));
  const { disk } = ring.site("a");
  for (let n = 0; n < ids.length; n++) await disk.chunkFiles.put(ids[n]!, bytesOfKind(n));
  await disk.catalog.commit({
    registers: ids.map((id, n) =>
      rowOf(`bucket\0${String(n).padStart(3, "0")}`, 1, {
        content: { kind: "object", manifest: manifestOf(id) },
      })
    ),
  });
  const get = disk.chunkFiles.get.bind(disk.chunkFiles);
  const read: string[] = [];
  disk.chunkFiles.get = async (id) => {
    read.push(id);
    await new Promise<void>((resolve) => ring.clock.after(1_000, resolve));
    return await get(id);
  };
  await ring.clock.until("half is read", () => read.length === 100, 300_000);
  ring.crash("a");
  await ring.start("a");
  await ring.clock.until("all is read", () => read.includes(ids[199]!), 300_000);
  assert.deepEqual([...new Set(read)], ids);
  assert.ok(read.length < 200 + 64 + 1, `${read.length} reads`);
  await ring.clock.advance(70_000);
  ring.crash("a");
  read.length = 0;
  await ring.start("a");
  await ring.clock.advance(CYCLE_MS / 2);
  assert.equal(read.length, 0);
  await ring.clock.advance(CYCLE_MS / 2);
  assert.ok(read.length > 0);
  ring.close();
});

test("Scrub passes over a row that is damaged, and reports it", async () => {
  const ring = await open(1, ["a"]);
  for (let n = 10; n < 90; n++) await putObject(ring, "a", `bucket\0${n}`, bytesOfKind(n, 100));
  const { damagedRows } = ring.site("a").disk;
  for (const n of [10, 40, 41, 89]) damagedRows.add(`bucket\0${n}`);
  const report = await ring.run(ring.node("a").repair.scrub.now(), "the scrub");
  assert.equal(report.objects, 76);
  assert.equal(ring.count("a", "atoll_registers_damaged"), 4);
  ring.close();
});

test("Scrub leaves alone what was deleted: no tombstone is asked for chunks", async () => {
  const ring = await open();
  await putObject(ring, "a", NAME);
  await ring.run(ring.node("a").objects.delete(NAME, {}));
  const report = await ring.run(ring.node("a").repair.scrub.now(), "the scrub");
  assert.deepEqual(report, { objects: 0, chunks: 0, bytes: 0, mended: 0, failed: 0 });
  ring.close();
});
