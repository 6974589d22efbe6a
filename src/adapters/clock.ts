/** The machine's clocks. */
import { clearTimeout, setTimeout } from "node:timers";
import type { Clock } from "../ports.ts";

/** What a timer can hold (2^31 - 1 ms); one set for longer would fire at once. */
const TIMER_MS_MAX = 0x7fff_ffff;

export function createClock(): Clock {
  return {
    wallMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    after(delayMs, run) {
      let timer: ReturnType<typeof setTimeout>;
      const arm = (leftMs: number) => {
        const stepMs = Math.min(leftMs, TIMER_MS_MAX);
        timer = setTimeout(() => (leftMs > stepMs ? arm(leftMs - stepMs) : run()), stepMs);
        timer.unref();
      };
      arm(delayMs);
      return () => clearTimeout(timer);
    },
  };
}
