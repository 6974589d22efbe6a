import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TokenBuckets } from "../../src/core/token-bucket.ts";

test("a quota may be used at once, and comes back evenly", () => {
  const buckets = new TokenBuckets({ quota: 3, windowMs: 3_000 });
  const at = (nowMs: number) => buckets.take("a", nowMs);
  assert.deepEqual([at(0), at(0), at(0)].map(({ granted, remaining }) => [granted, remaining]), [
    [true, 2],
    [true, 1],
    [true, 0],
  ]);
  assert.deepEqual(at(0), { granted: false, remaining: 0, waitMs: 1_000 });
  assert.deepEqual(at(400), { granted: false, remaining: 0, waitMs: 600 });
  assert.equal(at(1_000).granted, true);
  assert.equal(at(1_001).granted, false);
  assert.equal(at(60_000).remaining, 2, "no more than the quota is saved up");
});

test("one who asks too much takes nothing from another", () => {
  const buckets = new TokenBuckets({ quota: 1, windowMs: 1_000 });
  for (let i = 0; i < 100; i++) buckets.take("greedy", i);
  assert.equal(buckets.take("modest", 100).granted, true);
});

test("of more than there is room for, whoever was not heard of for the longest time is forgotten", () => {
  const buckets = new TokenBuckets({ quota: 1, windowMs: 1_000 }, 2);
  buckets.take("a", 0);
  buckets.take("b", 0);
  buckets.take("a", 1);
  buckets.take("c", 2);
  assert.equal(buckets.size, 2);
  assert.equal(buckets.take("a", 3).granted, false, "a is remembered");
  assert.equal(buckets.take("b", 4).granted, true, "b begins anew");
});

test("in no window is more granted than the quota and what the window brought", () => {
  const rate = { quota: 5, windowMs: 1_000 };
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 60 }), (gaps) => {
    const buckets = new TokenBuckets(rate);
    let nowMs = 0;
    let granted = 0;
    for (const gap of gaps) {
      nowMs += gap;
      const taken = buckets.take("a", nowMs);
      if (taken.granted) granted++;
      else assert.ok(taken.waitMs > 0 && taken.waitMs <= rate.windowMs / rate.quota, JSON.stringify(taken));
    }
    const most = rate.quota + nowMs * rate.quota / rate.windowMs;
    assert.ok(granted <= most, `wanted at most ${most} in ${nowMs} ms, got ${granted}`);
  }));
});
