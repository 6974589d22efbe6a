import assert from "node:assert/strict";
import { test } from "node:test";
import { LoadShedder } from "../../src/core/load-shedder.ts";

const TICK_MS = 20;

/** A node that is late, and does so many a second of those that are let in; as often as a real one is told. */
function run(
  shedder: LoadShedder,
  fromMs: number,
  forMs: number,
  of: {
    lateness: (atMs: number) => number;
    asking?: number;
    /** By how many are under way. */
    donePerSecond?: (active: number) => number;
    turnedAwayPerSecond?: (atMs: number) => number;
  },
): number {
  const { lateness, asking = 1_000, donePerSecond = () => 2_000, turnedAwayPerSecond = () => 0 } = of;
  let [done, turnedAway] = [0, 0];
  for (let atMs = fromMs; atMs < fromMs + forMs; atMs += TICK_MS) {
    const active = Math.min(asking, shedder.limit);
    for (done += donePerSecond(active) * TICK_MS / 1_000; done >= 1; done--) shedder.done();
    for (turnedAway += turnedAwayPerSecond(atMs) * TICK_MS / 1_000; turnedAway >= 1; turnedAway--) {
      shedder.turnAway();
    }
    shedder.observe(lateness(atMs), active, atMs);
  }
  return fromMs + forMs;
}

test("where requests queue so long that nobody likes to wait, fewer are let in, down to a floor; then they come back", () => {
  const shedder = new LoadShedder(100, 1_000);
  let nowMs = run(shedder, 0, 2_000, { lateness: () => 5, donePerSecond: () => 500 });
  assert.equal(shedder.limit, 1_000, "what takes long while nothing is late waits for something else");
  nowMs = run(shedder, nowMs, 8_000, { lateness: () => 150, donePerSecond: () => 500 });
  assert.ok(
    shedder.limit >= 200 && shedder.limit <= 400,
    `wanted 0.4 to 0.8 s of 500/s, got ${shedder.limit}`,
  );
  nowMs = run(shedder, nowMs, 30_000, { lateness: () => 150, donePerSecond: () => 50 });
  assert.equal(shedder.limit, 64);
  nowMs = run(shedder, nowMs, 20_000, { lateness: () => 5 });
  assert.equal(shedder.limit, 1_000);
});

test("whoever is late and quick all the same lets in as many as before", () => {
  const shedder = new LoadShedder(100, 1_000);
  run(shedder, 0, 20_000, { lateness: () => 150, donePerSecond: () => 3_000 });
  assert.equal(shedder.limit, 1_000);
});

test("where fewer only do less, it was no queue: as many again are let in", () => {
  const shedder = new LoadShedder(100, 1_000);
  let least = Infinity;
  let nowMs = 0;
  for (let i = 0; i < 100; i++) {
    // Each takes 1.5 s however many there are.
    nowMs = run(shedder, nowMs, 100, { lateness: () => 150, donePerSecond: (active) => active / 1.5 });
    least = Math.min(least, shedder.limit);
  }
  assert.equal(least, 700, "one step was tried");
  assert.equal(shedder.limit, 1_000);
});

test("lateness now and then is no overload, nor is a loop that stood still once", () => {
  const shedder = new LoadShedder(100, 1_000);
  const donePerSecond = () => 500;
  let nowMs = run(shedder, 0, 1_000, { lateness: () => 0, donePerSecond });
  nowMs = run(shedder, nowMs, 5_000, { lateness: (atMs) => (atMs % 60 === 0 ? 0 : 400), donePerSecond });
  assert.equal(shedder.limit, 1_000, "a queue that drains in between");
  shedder.observe(3_000, 1_000, nowMs + 3_000);
  run(shedder, nowMs + 3_020, 1_000, { lateness: () => 1, donePerSecond });
  assert.equal(shedder.limit, 1_000, "one long pause");
});

test("those who are turned away are told to stay away for longer while they are a flood, and for a second after it", () => {
  const shedder = new LoadShedder(100, 1_000);
  let nowMs = run(shedder, 0, 5_000, { lateness: () => 5, turnedAwayPerSecond: () => 300 });
  assert.equal(shedder.isFlood, false);
  assert.equal(shedder.turnAway(), 1);
  nowMs = run(shedder, nowMs, 20_000, { lateness: () => 5, turnedAwayPerSecond: () => 5_000 });
  assert.equal(shedder.isFlood, true);
  assert.equal(shedder.turnAway(), 8, "and no longer than that");
  nowMs = run(shedder, nowMs, 3_000, { lateness: () => 5, turnedAwayPerSecond: () => 500 });
  assert.equal(shedder.isFlood, true, "they come seldom as they were told to, not because they are few");
  run(shedder, nowMs, 10_000, { lateness: () => 5, turnedAwayPerSecond: () => 100 });
  assert.equal(shedder.isFlood, false);
  assert.equal(shedder.turnAway(), 1);
});

test("times between two whole seconds are told as one or the other, right on the average", () => {
  const shedder = new LoadShedder(100, 1_000);
  run(shedder, 0, 2_100, { lateness: () => 5, turnedAwayPerSecond: () => 1_250 });
  const told = Array.from({ length: 100 }, () => shedder.turnAway());
  assert.ok(told.every((seconds) => Number.isInteger(seconds) && seconds >= 1), `${told}`);
  assert.ok(new Set(told).size === 2, `wanted two lengths, got ${[...new Set(told)]}`);
});
