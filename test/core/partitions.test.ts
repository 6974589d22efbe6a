import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { partitionOf, PARTITIONS, slotOf, SLOTS_PER_PARTITION } from "../../src/core/partitions.ts";

/** The published algorithms, step by step in big integers: 32-bit FNV-1a, then MurmurHash3's fmix32, the upper 10 bits. */
function dumbPartition(name: string): number {
  const word = 0xffffffffn;
  let hash = 2166136261n;
  for (let i = 0; i < name.length; i++) {
    for (const byte of [name.charCodeAt(i) % 256, Math.floor(name.charCodeAt(i) / 256)]) {
      hash = ((hash ^ BigInt(byte)) * 16777619n) & word;
    }
  }
  hash = ((hash ^ (hash >> 16n)) * 0x85ebca6bn) & word;
  hash = ((hash ^ (hash >> 13n)) * 0xc2b2ae35n) & word;
  hash ^= hash >> 16n;
  return Number(hash >> 22n);
}

test("partitionOf never changes: data on disks lies where these values say", () => {
  const pinned: [string, number][] = [
    ["", 684],
    ["a", 583],
    ["bucket\0key", 374],
    ["bucket\0key/2", 684],
    ["photos\0🐚.jpg", 623],
    ["photos\0é", 760],
    [`logs\0${"x".repeat(1024)}`, 756],
    ["_locks\0leader", 373],
    ["abc\0..", 62],
    ["abc\0%2e", 871],
  ];
  for (const [name, partition] of pinned) assert.equal(partitionOf(name), partition, JSON.stringify(name));
});

test("partitionOf is FNV-1a finished by fmix32", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary" }),
      (name) => assert.equal(partitionOf(name), dumbPartition(name)),
    ),
    { numRuns: 1000 },
  );
});

const families: Record<string, (n: number) => string> = {
  "numbered keys": (n) => `bucket\0key-${n}`,
  "padded keys in folders": (n) =>
    `logs\0${String(n % 100).padStart(4, "0")}/${String(n).padStart(12, "0")}.json`,
  "many buckets": (n) => `bucket-${n}\0index.html`,
  "keys beyond Latin": (n) => `b01\0${String.fromCodePoint(0x4e00 + (n % 20_000))}${Math.floor(n / 20_000)}`,
};

for (const [family, nameOf] of Object.entries(families)) {
  test(`partitionOf spreads 100,000 ${family} evenly`, () => {
    const counts = Array.from({ length: PARTITIONS }, () => 0);
    for (let n = 0; n < 100_000; n++) counts[partitionOf(nameOf(n))]!++;
    const mean = 100_000 / PARTITIONS;
    const chiSquare = counts.reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0);
    // Of 1,023 degrees of freedom: mean 1,023, deviation 45. Six of them is no chance.
    assert.ok(chiSquare < 1023 + 6 * 45.2, `chi-square ${chiSquare}`);
  });
}

test("slotOf lies within the partition, and never changes either", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary" }),
      (name) => assert.equal(Math.floor(slotOf(name) / SLOTS_PER_PARTITION), partitionOf(name)),
    ),
  );
  assert.deepEqual(["", "a", "bucket\0key"].map(slotOf), [43838, 37353, 23959]);
});
