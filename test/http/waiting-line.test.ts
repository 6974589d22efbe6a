import assert from "node:assert/strict";
import { test } from "node:test";
import { type Place, WaitingLine } from "../../src/http/waiting-line.ts";
import type { Clock } from "../../src/ports.ts";

/** Timers that fire when they are told to. */
function handClock(): Clock & { pass(ms: number): void } {
  let nowMs = 0;
  let timers: { atMs: number; run: () => void }[] = [];
  return {
    wallMs: () => nowMs,
    monotonicMs: () => nowMs,
    after(delayMs, run) {
      const timer = { atMs: nowMs + delayMs, run };
      timers.push(timer);
      return () => void (timers = timers.filter((one) => one !== timer));
    },
    pass(ms) {
      nowMs += ms;
      const due = timers.filter(({ atMs }) => atMs <= nowMs);
      timers = timers.filter(({ atMs }) => atMs > nowMs);
      for (const { run } of due) run();
    },
  };
}

/** A place at once. */
function begun(place: ReturnType<WaitingLine["enter"]>): Place {
  assert.ok(place && !(place instanceof Promise), "wanted a place at once");
  return place;
}

test("who comes first begins first, when somebody leaves", async () => {
  const line = new WaitingLine({ clock: handClock(), limit: () => 1 });
  const first = begun(line.enter());
  const waiting = [line.enter(), line.enter()];
  assert.equal(line.isFull, true);
  assert.equal(line.enter(), undefined, "the line has an end");
  line.leave(first);
  line.leave(first);
  assert.equal(line.running, 1, "left once");
  const second = await waiting[0];
  line.leave(second!);
  const third = await waiting[1];
  line.leave(third!);
  assert.equal(line.running, 0);
});

test("who has waited too long is turned away, others wait on", async () => {
  const clock = handClock();
  const line = new WaitingLine({ clock, limit: () => 1 });
  const held = begun(line.enter());
  const first = line.enter();
  clock.pass(250);
  const second = line.enter();
  clock.pass(60);
  assert.equal(await first, undefined);
  line.leave(held);
  assert.ok(await second);
  const third = line.enter();
  clock.pass(400);
  assert.equal(await third, undefined, "the watch goes on with those that come later");
});

test("a limit that grew lets in several at once", async () => {
  let limit = 1;
  const line = new WaitingLine({ clock: handClock(), limit: () => limit });
  const held = begun(line.enter());
  const waiting = [line.enter(), line.enter()].map((place) => Promise.resolve(place));
  limit = 2;
  line.leave(held);
  assert.equal((await Promise.all(waiting)).filter((place) => place).length, 2);
  assert.equal(line.running, 2);
});

test("what takes so long that it must be waiting itself keeps nobody out", async () => {
  const clock = handClock();
  const line = new WaitingLine({ clock, limit: () => 2 });
  const slow = [begun(line.enter()), begun(line.enter())];
  clock.pass(1_000);
  const waits = line.enter();
  assert.ok(waits instanceof Promise);
  clock.pass(1_100);
  const next = await waits;
  assert.ok(next);
  assert.equal(line.running, 1);
  for (const place of slow) line.leave(place);
  assert.equal(line.running, 1, "who lost its place leaves none");
  line.leave(next);
  assert.equal(line.running, 0);
});

test("what is remembered of places does not grow behind one that is held", () => {
  const line = new WaitingLine({ clock: handClock(), limit: () => 1_000 });
  begun(line.enter());
  for (let i = 0; i < 10_000; i++) line.leave(begun(line.enter()));
  assert.ok(line.remembered < 100, `wanted few, got ${line.remembered}`);
});

test("a line in which some waited in vain is shorter from then on, and grows again while it is worked off", async () => {
  const clock = handClock();
  const line = new WaitingLine({ clock, limit: () => 50 });
  const held = Array.from({ length: 50 }, () => begun(line.enter()));
  const waiting = Array.from({ length: 100 }, () => Promise.resolve(line.enter()));
  assert.equal(line.isFull, true);
  clock.pass(400);
  assert.ok((await Promise.all(waiting)).every((place) => place === undefined));
  for (let i = 0; i < 79; i++) void line.enter();
  assert.equal(line.isFull, false);
  void line.enter();
  assert.equal(line.isFull, true, "four fifths of what it was");
  for (const place of held) line.leave(place);
  assert.equal(line.isFull, false, "who got a turn made room");
  for (let i = 0; i < 50; i++) void line.enter();
  assert.equal(line.isFull, false, "and one more than before may wait");
});
