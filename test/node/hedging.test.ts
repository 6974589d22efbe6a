import assert from "node:assert/strict";
import { test } from "node:test";
import { Hedging } from "../../src/node/hedging.ts";

test("Hedging goes by round trips until a node has answered some times, then by nineteen of twenty of its answers", () => {
  const hedging = new Hedging(() => true);
  assert.equal(hedging.lateMs("a", 20), 60);
  for (let n = 0; n < 7; n++) hedging.answered("a", 100);
  assert.equal(hedging.lateMs("a", 20), 60, "too few to say");
  for (let n = 0; n < 51; n++) hedging.answered("a", 100);
  for (let n = 0; n < 3; n++) hedging.answered("a", 400);
  assert.equal(hedging.lateMs("a", 20), 125, "3 of 61 are late");
  hedging.answered("a", 400);
  assert.equal(hedging.lateMs("a", 20), 500, "4 of 62 are how it is");
  assert.equal(hedging.lateMs("b", 20), 60, "each has its own");
  for (let n = 0; n < 64; n++) hedging.answered("a", 30);
  assert.equal(hedging.lateMs("a", 20), 37.5, "only the latest count");
});

test("Hedging waits neither for no time nor for ever", () => {
  const hedging = new Hedging(() => true);
  for (let n = 0; n < 20; n++) {
    hedging.answered("fast", 0.1);
    hedging.answered("slow", 5_000);
  }
  assert.equal(hedging.lateMs("fast", 0.1), 15);
  assert.equal(hedging.lateMs("slow", 1), 1_000);
  assert.equal(hedging.patienceMs("fast", 0.1), 1_000);
  assert.equal(hedging.patienceMs("slow", 1), 10_000, "who is always that slow is not given up for it");
});

test("Hedging asks at most one in twenty more, and a few in a row", () => {
  const hedging = new Hedging(() => true);
  let row = 0;
  while (hedging.mayHelp()) row++;
  assert.equal(row, 10);
  let helped = 0;
  for (let n = 0; n < 10_000; n++) {
    hedging.asking();
    if (hedging.mayHelp()) helped++;
  }
  assert.ok(helped > 450 && helped <= 500, `got ${helped} of 10,000`);
  for (let n = 0; n < 10_000; n++) hedging.asking();
  let saved = 0;
  while (hedging.mayHelp()) saved++;
  assert.equal(saved, 10, "what was not used is not saved for a bad day without end");
});

test("Hedging forgets nodes that are gone", () => {
  const gone = new Set<string>();
  const hedging = new Hedging((id) => !gone.has(id));
  for (let n = 0; n < 1_000; n++) {
    for (let sample = 0; sample < 8; sample++) hedging.answered(`node-${n}`, 400);
    if (n > 0) gone.add(`node-${n}`);
  }
  assert.ok(hedging.size <= 2, `got ${hedging.size} of 1,000 that came and went`);
  assert.equal(hedging.lateMs("node-0", 20), 500, "who is still there is remembered");
});
