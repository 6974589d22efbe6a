/** What every Clock must do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "../../src/ports.ts";

/** `settle` lets time pass until the promise settles, or fails under the label after a while. */
export interface OpenClock {
  readonly clock: Clock;
  readonly settle: <T>(promise: Promise<T>, label: string) => Promise<T>;
}

export function clockConformance(name: string, open: () => OpenClock): void {
  test(`${name} calls once after the delay, sooner delays first`, async () => {
    const { clock, settle } = open();
    const startMs = clock.monotonicMs();
    const calls: number[] = [];
    await settle(
      new Promise<void>((resolve) => {
        clock.after(60, () => {
          calls.push(60);
          resolve();
        });
        clock.after(30, () => calls.push(30));
        clock.after(0, () => calls.push(0));
      }),
      "the last timer",
    );
    assert.deepEqual(calls, [0, 30, 60]);
    // A timer may round its delay down to whole milliseconds.
    assert.ok(clock.monotonicMs() - startMs >= 59, `${clock.monotonicMs() - startMs} ms passed`);
  });

  test(`${name} does not call what was cancelled, and cancels twice or late without harm`, async () => {
    const { clock, settle } = open();
    let calls = 0;
    const cancel = clock.after(10, () => calls++);
    cancel();
    cancel();
    let cancelLate: () => void = () => undefined;
    await settle(new Promise<void>((resolve) => cancelLate = clock.after(40, resolve)), "the later timer");
    cancelLate();
    assert.equal(calls, 0);
  });

  test(`${name} does not fire at once when the delay is longer than a timer can hold`, async () => {
    const { clock, settle } = open();
    let calls = 0;
    const cancel = clock.after(2 ** 31 + 5, () => calls++);
    await settle(new Promise<void>((resolve) => clock.after(20, resolve)), "the short timer");
    cancel();
    assert.equal(calls, 0);
  });

  test(`${name} goes forward`, () => {
    const { clock } = open();
    let lastMs = clock.monotonicMs();
    for (let step = 0; step < 1000; step++) {
      const nowMs = clock.monotonicMs();
      assert.ok(nowMs >= lastMs, `${nowMs} after ${lastMs}`);
      lastMs = nowMs;
    }
    assert.ok(Number.isFinite(clock.wallMs()));
  });
}
