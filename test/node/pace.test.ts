import assert from "node:assert/strict";
import { test } from "node:test";
import { Pace } from "../../src/node/pace.ts";
import { FakeClock } from "../helpers/fake-clock.ts";

test("Pace lets through what was saved up at once, and the rest at its rate", async () => {
  const clock = new FakeClock();
  const pace = new Pace(clock, 1_000);
  await clock.run(pace.spend(1_000), "what a second saves");
  assert.equal(clock.monotonicMs(), 0);
  await clock.run(Promise.all([pace.spend(500), pace.spend(1_500)]), "the rest");
  assert.equal(clock.monotonicMs(), 2_000);
  await clock.advance(10_000);
  await clock.run(pace.spend(2_000), "more than can be saved up");
  assert.equal(clock.monotonicMs(), 13_000);
});
