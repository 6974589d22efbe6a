import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FrequencySketch } from "../../src/core/frequency-sketch.ts";

const thing = fc.record({
  a: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  b: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
});

test("FrequencySketch never says less than the truth, up to 15", () => {
  fc.assert(
    fc.property(fc.array(thing, { maxLength: 200 }), fc.integer({ min: 1, max: 64 }), (things, width) => {
      const sketch = new FrequencySketch(width);
      const truth = new Map<string, number>();
      for (const { a, b } of things) {
        sketch.add(a, b);
        truth.set(`${a} ${b}`, (truth.get(`${a} ${b}`) ?? 0) + 1);
      }
      for (const { a, b } of things) {
        assert.ok(sketch.count(a, b) >= Math.min(15, truth.get(`${a} ${b}`)!));
        assert.ok(sketch.count(a, b) <= 15);
      }
    }),
  );
});

test("FrequencySketch tells the popular from the rest among as many things as it is wide", () => {
  const width = 1_024;
  const sketch = new FrequencySketch(width);
  const hash = (n: number) => Math.imul(n + 1, 0x9e3779b1) >>> 0;
  for (let n = 0; n < width; n++) sketch.add(hash(n), hash(n + 7_919));
  for (let times = 0; times < 8; times++) for (let n = 0; n < 16; n++) sketch.add(hash(n), hash(n + 7_919));
  const rare = Array.from({ length: width - 16 }, (_, n) => sketch.count(hash(n + 16), hash(n + 16 + 7_919)));
  const high = rare.filter((count) => count >= 9).length;
  assert.ok(high < width / 50, `wanted few of the rare to look popular, got ${high}`);
});

test("FrequencySketch.halve forgets half of it all", () => {
  const sketch = new FrequencySketch(16);
  for (let times = 0; times < 9; times++) sketch.add(1, 2);
  assert.equal(sketch.added, 9);
  sketch.halve();
  assert.deepEqual([sketch.count(1, 2), sketch.added], [4, 0]);
});
