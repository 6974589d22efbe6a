import assert from "node:assert/strict";
import { test } from "node:test";
import { defer, pause, Permits, within } from "../../src/node/waiting.ts";
import { FakeClock } from "../helpers/fake-clock.ts";

test("pause ends after its time, not before", async () => {
  const clock = new FakeClock();
  let ended = false;
  const paused = pause(clock, 100).then(() => (ended = true));
  await clock.advance(99);
  assert.equal(ended, false);
  await clock.advance(1);
  assert.equal(ended, true);
  await paused;
});

test("pause ends at once when its signal is aborted, before or meanwhile", async () => {
  const clock = new FakeClock();
  await pause(clock, 1e9, AbortSignal.abort());
  const controller = new AbortController();
  const paused = pause(clock, 1e9, controller.signal);
  controller.abort();
  await paused;
  assert.equal(clock.monotonicMs(), 0);
});

test("within gives the value that comes in time, and undefined for one that is late", async () => {
  const clock = new FakeClock();
  const value = defer<string>();
  const early = within(clock, 100, value.promise);
  const late = within(clock, 50, value.promise);
  await clock.advance(60);
  value.resolve("there");
  assert.deepEqual(await early, { value: "there" });
  assert.equal(await late, undefined);
});

test("within passes a failure on, and a failure after its time concerns nobody", async () => {
  const clock = new FakeClock();
  await assert.rejects(within(clock, 100, Promise.reject(new Error("that one"))), /that one/);
  const failing = defer<void>();
  const late = within(clock, 10, failing.promise);
  await clock.advance(10);
  assert.equal(await late, undefined);
  failing.reject(new Error("too late to matter"));
  await clock.settle(); // an unhandled rejection would fail the test here
});

test("Permits lets as many go on at once as there are, the others in order", async () => {
  const clock = new FakeClock();
  const permits = new Permits(2);
  const taken: number[] = [];
  for (let n = 0; n < 5; n++) void permits.take().then(() => taken.push(n));
  await clock.settle();
  assert.deepEqual(taken, [0, 1]);
  permits.give();
  await clock.settle();
  assert.deepEqual(taken, [0, 1, 2]);
  permits.give();
  permits.give();
  await clock.settle();
  assert.deepEqual(taken, [0, 1, 2, 3, 4]);
});

test("Permits given back while nobody waits are there for the next", async () => {
  const clock = new FakeClock();
  const permits = new Permits(1);
  await permits.take();
  permits.give();
  await permits.take();
  let third = false;
  void permits.take().then(() => (third = true));
  await clock.settle();
  assert.equal(third, false);
});
