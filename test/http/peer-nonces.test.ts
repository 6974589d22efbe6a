import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NonceMemory } from "../../src/http/peer-nonces.ts";

const WINDOW = 8_192;
const STREAMS_MAX = 4_096;

function nonce(stream: number, counter: number): string {
  return stream.toString(16).padStart(16, "0") + counter.toString(16).padStart(16, "0");
}

test("NonceMemory takes each nonce at most once, in any order, and all of those within its window", () => {
  const counters = fc.array(fc.oneof(fc.nat(20), fc.nat(3 * WINDOW)), { maxLength: 300 });
  fc.assert(fc.property(counters, (all) => {
    const memory = new NonceMemory(1_000);
    const used = new Set<number>();
    let highest = -1;
    for (const counter of all) {
      const isTaken = memory.use(nonce(7, counter), 0, 0) === undefined;
      // The oracle remembers everything: only what is too old to be remembered may be refused besides.
      assert.equal(isTaken, !used.has(counter) && counter > highest - WINDOW, `${counter} after ${highest}`);
      used.add(counter);
      highest = Math.max(highest, counter);
    }
  }));
});

test("NonceMemory keeps streams apart", () => {
  const memory = new NonceMemory(1_000);
  assert.equal(memory.use(nonce(1, 5), 0, 0), undefined);
  assert.equal(memory.use(nonce(2, 5), 0, 0), undefined);
  assert.match(memory.use(nonce(1, 5), 0, 0) ?? "", /was used/);
});

test("NonceMemory refuses strangers when it is full, until streams are past; it forgets none before", () => {
  const memory = new NonceMemory(1_000);
  for (let stream = 0; stream < STREAMS_MAX; stream++) memory.use(nonce(stream, 0), 500, 500);
  assert.match(memory.use(nonce(STREAMS_MAX, 0), 1_500, 1_500) ?? "", /one more/);
  assert.match(memory.use(nonce(3, 0), 1_500, 1_500) ?? "", /was used/);
  assert.equal(memory.use(nonce(3, 1), 1_500, 1_500), undefined);
  assert.equal(memory.use(nonce(STREAMS_MAX, 0), 1_501, 1_501), undefined);
  // Stream 3 has signed something later, and is remembered.
  assert.equal(memory.streams, 2);
  assert.match(memory.use(nonce(3, 1), 1_501, 1_501) ?? "", /was used/);
});

test("NonceMemory refuses counters that no sender reaches", () => {
  assert.match(new NonceMemory(1_000).use("f".repeat(32), 0, 0) ?? "", /greater/);
});
