/** The set that garbage collection trusts: it may keep a stranger, it must never lose a member. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { IdFilter } from "../../src/core/id-filter.ts";

const idOf = (text: string): string => createHash("sha256").update(text).digest("hex");

test("IdFilter has every id that was added, however many more than expected", () => {
  for (const expected of [0, 1_000, 50_000]) {
    const filter = new IdFilter(expected, 7);
    const ids = Array.from({ length: 5_000 }, (_, i) => idOf(`member ${i}`));
    for (const id of ids) filter.add(id);
    assert.ok(ids.every((id) => filter.has(id)), `expected ${expected}`);
  }
});

test("IdFilter takes few strangers for members, and others with another seed", () => {
  const filters = [1, 2].map((seed) => new IdFilter(5_000, seed));
  for (let i = 0; i < 5_000; i++) for (const filter of filters) filter.add(idOf(`member ${i}`));
  const strangers = Array.from({ length: 20_000 }, (_, i) => idOf(`stranger ${i}`));
  const [first, second] = filters.map((filter) => new Set(strangers.filter((id) => filter.has(id))));
  for (const taken of [first!, second!]) assert.ok(taken.size < 600, `${taken.size} of 20,000`);
  const both = [...first!].filter((id) => second!.has(id));
  assert.ok(both.length < first!.size / 4, `${both.length} of ${first!.size} are taken with either seed`);
});
