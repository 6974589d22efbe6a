import assert from "node:assert/strict";
import { test } from "node:test";
import { LoadShedder } from "../../src/core/load-shedder.ts";

/** As often as a real one is told. */
function run(
  shedder: LoadShedder,
  fromMs: number,
  forMs: number,
  lateness: (atMs: number) => number,
  active = 1_000,
): number {
  for (let atMs = fromMs; atMs < fromMs + forMs; atMs += 20) shedder.observe(lateness(atMs), active, atMs);
  return fromMs + forMs;
}

test("lateness that stands lets fewer in, down to a floor; when it is gone they come back", () => {
  const shedder = new LoadShedder(100, 1_000);
  let nowMs = run(shedder, 0, 1_000, () => 5);
  assert.equal(shedder.limit, 1_000);
  nowMs = run(shedder, nowMs, 300, () => 150);
  assert.ok(shedder.limit < 1_000 && shedder.limit >= 300, `${shedder.limit}`);
  nowMs = run(shedder, nowMs, 10_000, () => 150, 20);
  assert.equal(shedder.limit, 64);
  nowMs = run(shedder, nowMs, 20_000, () => 5);
  assert.equal(shedder.limit, 1_000);
});

test("it begins with few and goes up quickly while nothing is late, but only where it is used", () => {
  const shedder = new LoadShedder(100, 1_000);
  assert.equal(shedder.limit, 256);
  const nowMs = run(shedder, 0, 2_000, () => 1, 100);
  assert.equal(shedder.limit, 256);
  run(shedder, nowMs, 500, () => 1, 256);
  assert.ok(shedder.limit >= 512, `${shedder.limit}`);
});

test("lateness now and then is no overload, nor is a loop that stood still once", () => {
  const shedder = new LoadShedder(100, 1_000);
  let nowMs = run(shedder, 0, 1_000, () => 0);
  nowMs = run(shedder, nowMs, 5_000, (atMs) => (atMs % 60 === 0 ? 0 : 400));
  assert.equal(shedder.limit, 1_000, "a queue that drains in between");
  shedder.observe(3_000, 1_000, nowMs + 3_000);
  run(shedder, nowMs + 3_020, 1_000, () => 1);
  assert.equal(shedder.limit, 1_000, "one long pause");
});
