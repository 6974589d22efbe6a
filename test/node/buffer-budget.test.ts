/** Memory for bodies on their way: so much and no more, in order, each byte given back once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isAtollError } from "../../src/errors.ts";
import { BufferBudget, type Lease } from "../../src/node/buffer-budget.ts";
import { Metrics } from "../../src/node/metrics.ts";
import { FakeClock } from "../helpers/fake-clock.ts";

const MIB = 1 << 20;

function open(maxBytes: number) {
  const clock = new FakeClock();
  const metrics = new Metrics();
  return { clock, metrics, budget: new BufferBudget({ maxBytes, clock, metrics }) };
}

test("there is so much and no more; who waits gets it in order, as soon as it is there", async () => {
  const { clock, metrics, budget } = open(3 * MIB);
  const held = [budget.take(MIB), budget.take(MIB), budget.take(MIB)] as Lease[];
  assert.equal(budget.take(MIB), undefined);
  const got: string[] = [];
  void Promise.resolve(budget.takeSoon(2 * MIB)).then(() => got.push("large"));
  void Promise.resolve(budget.takeSoon(MIB)).then(() => got.push("small"));
  assert.match(metrics.text(), /^atoll_buffer_waiting 2$/m);
  held[0]!.release();
  await clock.settle();
  assert.deepEqual(got, [], "whoever comes later does not go before, though it would fit");
  assert.equal(budget.take(MIB), undefined, "nor does who has only just come");
  held[0]!.release();
  held[1]!.release();
  await clock.settle();
  assert.deepEqual(got, ["large"], "given back once, however often it is said");
  held[2]!.release();
  await clock.settle();
  assert.deepEqual(got, ["large", "small"]);
  assert.equal(budget.usedBytes, 3 * MIB);
  assert.match(metrics.text(), /^atoll_buffer_bytes 3145728$/m);
});

test("who waits in vain is told so after a while, unless it has begun; it takes nothing later", async () => {
  const { clock, metrics, budget } = open(MIB);
  const held = budget.take(MIB)!;
  const refused = Promise.resolve(budget.takeSoon(MIB)).then(() => "granted", (error: unknown) => error);
  let hasGot = false;
  const begun = Promise.resolve(budget.takeSoon(MIB, true)).then((lease) => {
    hasGot = true;
    return lease;
  });
  await clock.advance(6_000);
  assert.ok(isAtollError(await refused, "overloaded"));
  assert.match(metrics.text(), /^atoll_limited_total\{limit="buffers"\} 1$/m);
  assert.equal(hasGot, false);
  held.release();
  (await begun).release();
  assert.equal(budget.usedBytes, 0);
});

test("a buffer that several have in hand is there once, until the last of them is done", () => {
  const { budget } = open(10 * MIB);
  const buffer = new Uint8Array(MIB);
  const leases = Array.from({ length: 5 }, () => budget.take(MIB)!);
  assert.equal(budget.usedBytes, 5 * MIB);
  for (const lease of leases) lease.isFor(buffer);
  assert.equal(budget.usedBytes, MIB);
  for (const lease of leases) {
    assert.equal(budget.usedBytes, MIB);
    lease.release();
  }
  assert.equal(budget.usedBytes, 0);
});

test("what is small is not counted, and what is larger than all there is has its turn alone", () => {
  const { budget } = open(MIB);
  assert.ok(budget.take(64 << 10));
  assert.equal(budget.usedBytes, 0);
  const large = budget.take(2 * MIB)!;
  assert.ok(large);
  assert.equal(budget.take(100_000), undefined);
  large.release();
  assert.equal(budget.usedBytes, 0);
});
