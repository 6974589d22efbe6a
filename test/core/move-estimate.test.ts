import assert from "node:assert/strict";
import { test } from "node:test";
import { doneRatio, MoveEstimate } from "../../src/core/move-estimate.ts";

const progress = (
  partitionsLeft: number,
  bytes: number,
  bytesLeft: number | undefined,
  objectsLeft: number,
) => ({
  done: objectsLeft === 0 && partitionsLeft === 0,
  partitions: 100,
  partitionsLeft,
  bytes,
  bytesLeft,
  objectsLeft,
});

test("what was not looked at yet is taken to be like the rest, and the end is where the slower of the two leads", () => {
  const estimate = new MoveEstimate();
  assert.equal(estimate.of(2, [progress(100, 0, 0, 0)], 1_000).etaSeconds, null, "nothing was done");
  const move = estimate.of(2, [progress(50, 1_000, 3_000, 4)], 11_000);
  assert.deepEqual(move, {
    partitionsTotal: 100,
    partitionsLeft: 50,
    bytesDone: 1_000,
    bytesLeft: 7_000,
    etaSeconds: 70,
    objectsLeft: 4,
  });
  assert.equal(doneRatio(move), 1 / 8);
});

test("a move is not over while chunks lack, whether it is known how many or not", () => {
  const estimate = new MoveEstimate();
  estimate.of(2, [progress(100, 0, 0, 0)], 0);
  const known = estimate.of(2, [progress(0, 3_000, 1_000, 1)], 30_000);
  assert.deepEqual([known.bytesLeft, known.etaSeconds, doneRatio(known)], [1_000, 10, 0.75]);
  const unknown = estimate.of(2, [progress(0, 4_000, undefined, 1)], 30_000);
  assert.deepEqual([unknown.bytesLeft, unknown.etaSeconds, doneRatio(unknown)], [0, null, 0.5]);
  const over = estimate.of(2, [progress(0, 4_000, 0, 0)], 30_000);
  assert.deepEqual([over.etaSeconds, doneRatio(over)], [0, 1]);
});

test("each layout is timed from when it was first seen, and who has nothing has done nothing", () => {
  const estimate = new MoveEstimate();
  estimate.of(2, [progress(100, 0, 0, 0)], 0);
  assert.equal(estimate.of(3, [progress(40, 6_000, 0, 0)], 60_000).etaSeconds, null);
  assert.equal(estimate.of(3, [progress(20, 8_000, 0, 0)], 70_000).etaSeconds, 10);
  assert.equal(doneRatio(estimate.of(4, [], 80_000)), 0);
  estimate.of(5, [progress(50, 1_000, 500, 1), progress(50, 1_000, 500, 1)], 90_000);
  assert.equal(estimate.of(5, [progress(50, 1_000, 500, 1)], 95_000).etaSeconds, null, "one is silent now");
});
