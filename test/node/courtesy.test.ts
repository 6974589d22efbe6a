import assert from "node:assert/strict";
import { test } from "node:test";
import { Courtesy } from "../../src/node/courtesy.ts";
import type { Clock } from "../../src/ports.ts";
import { FakeClock } from "../helpers/fake-clock.ts";

/** Ms until so many turns were given; `lateMs`: how much later than planned every timer fires. */
async function msOf(turns: number, lateMs: number): Promise<number> {
  const clock = new FakeClock();
  const late: Clock = {
    wallMs: () => clock.wallMs(),
    monotonicMs: () => clock.monotonicMs(),
    after: (delayMs, run) => clock.after(delayMs + lateMs, run),
  };
  const courtesy = new Courtesy(late);
  await clock.run(Promise.all(Array.from({ length: turns }, () => courtesy.turn())), "the turns", 600_000);
  return clock.monotonicMs();
}

test("Courtesy hardly delays anything while the loop is on time", async () => {
  assert.ok(await msOf(1_000, 0) <= 250);
});

test("Courtesy leaves a late loop four fifths of its time, and still gives turns", async () => {
  const lateMs = 8;
  const tookMs = await msOf(100, lateMs);
  assert.ok(tookMs > 25 * 4 * lateMs, `${tookMs} ms for 100 turns`);
  assert.ok(await msOf(100, 500) < 25 * 1_200, "however late it is");
});

test("Courtesy gives turns in the order in which they were asked for", async () => {
  const clock = new FakeClock();
  const courtesy = new Courtesy(clock);
  const order: number[] = [];
  const turns = Array.from({ length: 20 }, (_, n) => courtesy.turn().then(() => order.push(n)));
  await clock.run(Promise.all(turns), "the turns");
  assert.deepEqual(order, [...order].sort((a, b) => a - b));
});
