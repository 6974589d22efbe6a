import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { ChunkMemory } from "../../src/node/chunk-memory.ts";

const idOf = (name: string): string => createHash("sha256").update(name).digest("hex");
const bytesOf = (size: number): Uint8Array => new Uint8Array(size);

/** As a reader does. */
function read(memory: ChunkMemory, name: string, size: number): boolean {
  const id = idOf(name);
  if (memory.get(id)) return true;
  memory.missed(id);
  memory.keep(id, bytesOf(size));
  return false;
}

test("ChunkMemory stays within its bytes, whatever is read in whatever order", () => {
  const reads = fc.array(fc.record({ n: fc.nat(40), size: fc.nat(70_000) }), { maxLength: 300 });
  fc.assert(
    fc.property(reads, fc.integer({ min: 1, max: 300_000 }), (all, maxBytes) => {
      const memory = new ChunkMemory(maxBytes);
      for (const { n, size } of all) {
        read(memory, `${n} ${size}`, size);
        assert.ok(memory.usedBytes <= maxBytes, `${memory.usedBytes} of ${maxBytes}`);
      }
    }),
    { numRuns: 50 },
  );
});

test("ChunkMemory has what was just kept, and uses all of its room", () => {
  const memory = new ChunkMemory(8 << 20);
  for (let n = 0; n < 200; n++) {
    read(memory, `new ${n}`, 100_000);
    assert.ok(memory.get(idOf(`new ${n}`)), "the newest is there");
  }
  assert.ok(memory.usedBytes > 7 << 20);
});

test("ChunkMemory keeps what is popular through a scan, and through one large chunk", () => {
  const memory = new ChunkMemory(8 << 20);
  const popular = Array.from({ length: 40 }, (_, n) => `popular ${n}`);
  for (let times = 0; times < 4; times++) for (const name of popular) read(memory, name, 100_000);
  for (let n = 0; n < 2_000; n++) read(memory, `scanned once ${n}`, 100_000);
  read(memory, "large", 1 << 20);
  const left = popular.filter((name) => memory.get(idOf(name)) !== undefined).length;
  assert.equal(left, popular.length);
});

test("ChunkMemory lets what was popular once make room for what is popular now", () => {
  const memory = new ChunkMemory(4 << 20);
  for (let times = 0; times < 15; times++) for (let n = 0; n < 40; n++) read(memory, `old ${n}`, 100_000);
  for (let times = 0; times < 400; times++) for (let n = 0; n < 20; n++) read(memory, `new ${n}`, 100_000);
  const hits = Array.from({ length: 20 }, (_, n) => read(memory, `new ${n}`, 100_000)).filter(Boolean).length;
  assert.equal(hits, 20);
});

test("ChunkMemory.frequency says how often lately", () => {
  const memory = new ChunkMemory(1 << 20);
  assert.equal(memory.frequency(idOf("a")), 0);
  memory.get(idOf("a"));
  memory.get(idOf("a"));
  assert.equal(memory.frequency(idOf("a")), 0, "to look is not to ask");
  memory.missed(idOf("a"));
  assert.equal(memory.frequency(idOf("a")), 1);
  memory.keep(idOf("a"), bytesOf(10));
  memory.get(idOf("a"));
  assert.equal(memory.frequency(idOf("a")), 2);
});
