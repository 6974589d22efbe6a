import assert from "node:assert/strict";
import { test } from "node:test";
import { until, within } from "./deadline.ts";

test("until asks again until the condition holds", async () => {
  let asked = 0;
  await until("the third time", 5_000, () => ++asked === 3);
  assert.equal(asked, 3);
});

test("until fails after its deadline with the label and the last lines", async () => {
  await assert.rejects(until("never comes", 1, () => false, ["a line"]), /until never comes\na line/);
});

test("within passes a result and a fault through, and leaves no timer", async () => {
  assert.equal(await within(Promise.resolve(1), 60_000, "at once"), 1);
  await assert.rejects(within(Promise.reject(new Error("broken")), 60_000, "at once"), /broken/);
});

test("within fails after its deadline with the label", async () => {
  await assert.rejects(
    within(Promise.withResolvers<void>().promise, 1, "an answer comes"),
    /until an answer comes/,
  );
});
