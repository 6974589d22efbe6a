/** What every ChunkCache must do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ChunkId } from "../../src/core/manifest.ts";
import type { ChunkCache } from "../../src/ports.ts";
import { numberedChunk, sizedChunk } from "./chunk-files.ts";

export interface OpenChunkCache {
  readonly cache: ChunkCache;
  /** Changes a byte of what lies under `id`. */
  readonly damage: (id: ChunkId) => Promise<void>;
  close(): Promise<void>;
}

export function chunkCacheConformance(
  name: string,
  open: (maxBytes: number) => Promise<OpenChunkCache>,
): void {
  const check = (criterion: string, maxBytes: number, body: (opened: OpenChunkCache) => Promise<void>) =>
    void test(`${name} ${criterion}`, async () => {
      const opened = await open(maxBytes);
      try {
        await body(opened);
      } finally {
        await opened.close();
      }
    });

  check("gives back what was put, and counts it once", 1 << 21, async ({ cache }) => {
    const { id, bytes } = sizedChunk(1 << 20);
    assert.equal(cache.usedBytes, 0);
    assert.equal(await cache.get(id), undefined);
    assert.equal(cache.has(id), false);
    await cache.put(id, bytes);
    assert.equal(cache.has(id), true);
    const { usedBytes } = cache;
    assert.ok(usedBytes >= 1 << 20, `${usedBytes} bytes used`);
    await Promise.all([cache.put(id, bytes), cache.put(id, bytes)]);
    assert.equal(cache.usedBytes, usedBytes);
    assert.deepEqual(new Uint8Array((await cache.get(id))!), bytes);
  });

  check("has room for as much as it takes without giving something up", 3 * 8192, async ({ cache }) => {
    assert.deepEqual([cache.hasRoomFor(20_000), cache.hasRoomFor(30_000)], [true, false]);
    for (const fill of [1, 2, 3]) {
      assert.equal(cache.hasRoomFor(5_000), true, `${cache.usedBytes} bytes used`);
      await cache.put(String(fill).repeat(64), new Uint8Array(5_000).fill(fill));
    }
    assert.equal(cache.hasRoomFor(5_000), false);
  });

  check("drops the least recently used first", 3 * 8192, async ({ cache }) => {
    const [a, b, c, d] = [1, 2, 3, 4].map((fill) => ({
      id: String(fill).repeat(64),
      bytes: new Uint8Array(5000).fill(fill),
    }));
    for (const { id, bytes } of [a!, b!, c!]) await cache.put(id, bytes);
    assert.ok(await cache.get(a!.id), "a is there and now the most recently used");
    await cache.put(d!.id, d!.bytes);
    const kept = await Promise.all([a, b, c, d].map(async (one) => (await cache.get(one!.id)) !== undefined));
    assert.deepEqual(kept, [true, false, true, true]);
  });

  check("ignores what is larger than all of it", 1 << 20, async ({ cache }) => {
    const small = numberedChunk(1);
    const large = sizedChunk((1 << 20) + 1);
    await cache.put(small.id, small.bytes);
    await cache.put(large.id, large.bytes);
    assert.equal(await cache.get(large.id), undefined);
    assert.ok(await cache.get(small.id), "what was there stays");
  });

  check("drops a copy that fails, and takes it anew", 1 << 20, async ({ cache, damage }) => {
    const { id, bytes } = sizedChunk(10_000);
    await cache.put(id, bytes);
    await damage(id);
    assert.equal(await cache.get(id), undefined);
    assert.equal(cache.usedBytes, 0);
    await cache.put(id, bytes);
    assert.deepEqual(new Uint8Array((await cache.get(id))!), bytes);
  });

  check("with no room keeps nothing", 0, async ({ cache }) => {
    const { id, bytes } = numberedChunk(1);
    await cache.put(id, bytes);
    assert.equal(await cache.get(id), undefined);
    assert.equal(cache.usedBytes, 0);
  });

  const maxBytes = 100_000;
  check("stays within its bound and never gives wrong bytes", maxBytes, async ({ cache }) => {
    const step = fc.record({ put: fc.boolean(), number: fc.nat(30) });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(step, { maxLength: 8 }), { maxLength: 20 }), async (rounds) => {
        for (const round of rounds) {
          await Promise.all(round.map(async ({ put, number }) => {
            const { id, bytes } = numberedChunk(number);
            if (put) return await cache.put(id, bytes);
            const got = await cache.get(id);
            if (got) assert.deepEqual(new Uint8Array(got), bytes);
          }));
          assert.ok(cache.usedBytes <= maxBytes, `${cache.usedBytes} of ${maxBytes} bytes used`);
        }
        const { id, bytes } = numberedChunk(0);
        await cache.put(id, bytes);
        assert.deepEqual(new Uint8Array((await cache.get(id))!), bytes, "what was put last is there");
      }),
      { numRuns: 20 },
    );
  });
}
