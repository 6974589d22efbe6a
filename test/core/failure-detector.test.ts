import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  FailureDetector,
  SILENCE_MAX_MS,
  SILENCE_MIN_MS,
  UsualWait,
} from "../../src/core/failure-detector.ts";
import { createSeededRandom } from "../helpers/fake-random.ts";

/** Asks once a second; every answer takes as long as `waits` say. Returns when that is over. */
function live(detector: FailureDetector, waits: readonly number[], nowMs = 0): number {
  for (const waitMs of waits) {
    detector.asked(nowMs);
    detector.answered(nowMs + waitMs);
    nowMs += 1_000;
  }
  return nowMs;
}

/** Ms of silence after which it is suspected, looked at every 10 ms. */
function silenceOf(detector: FailureDetector, nowMs: number): number {
  detector.asked(nowMs);
  let waitedMs = 0;
  while (detector.verdict(nowMs + waitedMs) === "answers") waitedMs += 10;
  return waitedMs;
}

describe("FailureDetector", () => {
  const cases: [name: string, waits: number[], fromMs: number, toMs: number][] = [
    ["nobody knows yet", [], SILENCE_MIN_MS, 2_010],
    ["a peer next door", Array.from({ length: 100 }, () => 1), SILENCE_MIN_MS, SILENCE_MIN_MS],
    ["a peer beyond an ocean", Array.from({ length: 100 }, () => 250), 2_200, 2_400],
    [
      "a peer that was late now and then",
      Array.from({ length: 100 }, (_, n) => (n % 3 ? 20 : 800)),
      2_400,
      3_000,
    ],
    ["a peer that is always late", Array.from({ length: 100 }, () => 1_500), SILENCE_MAX_MS, SILENCE_MAX_MS],
  ];
  for (const [name, waits, fromMs, toMs] of cases) {
    test(`suspects ${name} after ${fromMs} to ${toMs} ms of silence`, () => {
      const detector = new FailureDetector(new UsualWait());
      const silenceMs = silenceOf(detector, live(detector, waits));
      assert.ok(silenceMs >= fromMs && silenceMs <= toMs, `${silenceMs} ms`);
    });
  }

  test("suspects nobody who was not asked, however long ago it was heard", () => {
    const detector = new FailureDetector(new UsualWait());
    detector.heard(0);
    assert.equal(detector.verdict(1e9), "answers");
    assert.equal(detector.phi(1e9), 0);
  });

  test("has phi grow with the wait, from the first question that is open", () => {
    const detector = new FailureDetector(new UsualWait());
    detector.asked(1_000);
    detector.asked(1_900);
    assert.ok(detector.phi(1_500) > detector.phi(1_200));
    assert.equal(detector.waitedMs(2_000), 1_000);
  });

  test("takes a wait of a peer it hardly knows as those of all others", () => {
    const usual = new UsualWait();
    for (let n = 0; n < 10; n++) live(new FailureDetector(usual), Array.from({ length: 50 }, () => 1_000));
    assert.equal(silenceOf(new FailureDetector(usual), 0), SILENCE_MAX_MS);
  });

  test("does not take the end of an outage for what waits are like", () => {
    const detector = new FailureDetector(new UsualWait());
    const nowMs = live(detector, Array.from({ length: 50 }, () => 5));
    detector.asked(nowMs);
    detector.answered(nowMs + 60_000);
    assert.equal(silenceOf(detector, nowMs + 61_000), SILENCE_MIN_MS);
  });

  test("blames nobody for the time that this node itself slept", () => {
    const detector = new FailureDetector(new UsualWait());
    detector.asked(0);
    detector.forgive(60_000);
    assert.equal(detector.verdict(61_000), "answers");
    assert.equal(detector.verdict(64_000), "silent");
  });

  test("goes by a refusal at once, and until it can be reached again", () => {
    const detector = new FailureDetector(new UsualWait());
    detector.refused();
    assert.equal(detector.verdict(0), "refused");
    detector.heard(1);
    assert.equal(detector.verdict(1), "refused", "that it can speak does not mean that it can be reached");
    detector.answered(2);
    assert.equal(detector.verdict(2), "answers");
  });

  test("says that who answers pings and no calls hangs, until it works", () => {
    const detector = new FailureDetector(new UsualWait());
    const verdicts = [1, 2, 3].map((nowMs) => {
      detector.timedOut();
      detector.asked(nowMs);
      detector.answered(nowMs);
      return detector.verdict(nowMs);
    });
    assert.deepEqual(verdicts, ["answers", "answers", "hanging"]);
    detector.answered(4);
    assert.equal(detector.verdict(4), "hanging");
    detector.worked(5);
    assert.equal(detector.verdict(5), "answers");
  });

  test("counts only the time-outs since the last call that was answered", () => {
    const detector = new FailureDetector(new UsualWait());
    for (let n = 0; n < 100; n++) {
      detector.timedOut();
      detector.timedOut();
      detector.worked(n);
    }
    assert.equal(detector.verdict(100), "answers");
  });

  test("bears a loss of 30 % of all messages: asked twice a second, once in hundreds of waits is it wrong", () => {
    const random = createSeededRandom(7);
    const detector = new FailureDetector(new UsualWait());
    let wrong = 0;
    for (let nowMs = 0; nowMs < 3_600_000; nowMs += 500) {
      if (detector.verdict(nowMs) === "silent") wrong++;
      detector.asked(nowMs);
      if (random.chance(0.7 * 0.7)) detector.answered(nowMs + 20);
    }
    assert.ok(wrong < 7_200 / 100, `${wrong} looks of 7,200`);
  });
});
