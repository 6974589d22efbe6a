import assert from "node:assert/strict";
import { test } from "node:test";
import { watchAnswer } from "../../src/node/lateness.ts";
import { FakeClock } from "../helpers/fake-clock.ts";

const [LATE_MS, PATIENCE_MS] = [50, 1_000];

/** `lateBy`: how late this node's own timers are. */
function open({ hasHelp = true, lateBy = () => 0 }: { hasHelp?: boolean; lateBy?: () => number } = {}) {
  const clock = new FakeClock();
  const busy = {
    wallMs: () => clock.wallMs(),
    monotonicMs: () => clock.monotonicMs(),
    after: (delayMs: number, run: () => void) => clock.after(delayMs + lateBy(), run),
  };
  const events: string[] = [];
  let [heardMs, progressMs] = [-Infinity, -Infinity];
  const stop = watchAnswer(busy, {
    lateMs: LATE_MS,
    patienceMs: PATIENCE_MS,
    heardMs: () => heardMs,
    progressMs: () => progressMs,
    onLate: () => {
      events.push(`late at ${clock.monotonicMs()}`);
      return hasHelp;
    },
    onPatienceOver: () => events.push(`patience over at ${clock.monotonicMs()}`),
  });
  const heard = () => heardMs = clock.monotonicMs();
  const progressed = () => progressMs = heard();
  return { clock, events, stop, heard, progressed };
}

test("who says nothing is late, and where there is no help is waited for until patience is over", async () => {
  const helped = open();
  await helped.clock.advance(2_000);
  assert.deepEqual(helped.events, ["late at 50"]);
  const alone = open({ hasHelp: false });
  await alone.clock.advance(2_000);
  assert.deepEqual(alone.events, ["late at 50", "patience over at 1000"]);
});

test("who goes on answering others is not late, but not waited for without end either", async () => {
  const { clock, events, heard } = open();
  for (let n = 0; n < 8; n++) {
    await clock.advance(40);
    heard();
  }
  assert.deepEqual(events, []);
  await clock.advance(60);
  assert.deepEqual(events, ["late at 370"], "50 ms after its last answer, at 320");
  const endless = open({ hasHelp: false });
  for (let n = 0; n < 30; n++) {
    await endless.clock.advance(40);
    endless.heard();
  }
  assert.deepEqual(endless.events, ["patience over at 1000"]);
});

test("an answer that comes piece by piece is slow after a second, and nobody loses patience with it before it stops", async () => {
  const { clock, events, progressed } = open({ hasHelp: false });
  for (let n = 0; n < 50; n++) {
    await clock.advance(40);
    progressed();
  }
  assert.deepEqual(events, ["late at 1000", "late at 1960"], "if there is help, it is welcome");
  await clock.advance(2_000);
  assert.equal(events.at(-1), "patience over at 3000");
});

test("nobody is late while this node is itself, and nothing is heard of once it was stopped", async () => {
  let lateMs = 30;
  const { clock, events } = open({ lateBy: () => lateMs });
  await clock.advance(200);
  assert.deepEqual(events, []);
  lateMs = 0;
  await clock.advance(200);
  assert.deepEqual(events, ["late at 290"]);
  const stopped = open();
  stopped.stop();
  await stopped.clock.advance(2_000);
  assert.deepEqual(stopped.events, []);
  assert.equal(stopped.clock.pending, 0);
});

test("a moment too short for the clock to go on is not looked at again without end", async () => {
  const clock = new FakeClock();
  await clock.advance(1_000.1);
  const stop = watchAnswer(clock, {
    lateMs: Number.MIN_VALUE,
    patienceMs: PATIENCE_MS,
    heardMs: () => clock.monotonicMs(),
    progressMs: () => clock.monotonicMs(),
    onLate: () => false,
    onPatienceOver: () => {},
  });
  await clock.advance(10);
  stop();
});
