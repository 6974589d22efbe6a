/**
 * When to stop waiting for one node alone. Where the way to it is full, or this node has too much to do, its answers are
 * late as well, and to ask a second node for the same would only add to it: so who goes on answering others' questions is not
 * late, nor is anybody while this node's own timers are.
 */
import type { Clock } from "../ports.ts";

/** Whatever comes of it, an answer that is not whole by then is slow, and help is wanted if there is any. */
const SLOW_MS = 1_000;
/** A timer that is later than that says that this node is busy: what it waits for may have come. */
const BUSY_MS = 10;
/** Timers know nothing shorter. */
const TIMER_MS = 1;

export interface Awaited {
  /** With nothing heard of it for that long it is late. */
  readonly lateMs: number;
  /** With nothing of this answer for that long nobody waits for it alone, whatever it answers others. */
  readonly patienceMs: number;
  /** Monotonic ms at which anything of it came last. */
  readonly heardMs: () => number;
  /** At which a piece of this answer did. */
  readonly progressMs: () => number;
  /** Gets help, if there is any to be had. */
  readonly onLate: () => boolean;
  readonly onPatienceOver: () => void;
}

/** From now on; ends with the help, or when the function that it gives is called. */
export function watchAnswer(clock: Clock, awaited: Awaited): () => void {
  const { lateMs, patienceMs, heardMs, progressMs, onLate, onPatienceOver } = awaited;
  const askedMs = clock.monotonicMs();
  let cancel: () => void = () => {};
  const wait = (atLeastMs: number): void => {
    // Of a moment that is too short for the clock to go on it would look again without end.
    const delayMs = Math.max(TIMER_MS, atLeastMs);
    const dueMs = clock.monotonicMs() + delayMs;
    cancel = clock.after(delayMs, () => look(dueMs));
  };
  const look = (dueMs: number): void => {
    const nowMs = clock.monotonicMs();
    const since = (ms: number): number => nowMs - Math.max(askedMs, ms);
    const leftMs = patienceMs - since(progressMs());
    if (leftMs <= 0) return onPatienceOver();
    if (nowMs - dueMs > BUSY_MS) return wait(Math.min(lateMs, leftMs));
    const soonMs = Math.min(lateMs - since(heardMs()), SLOW_MS - since(askedMs));
    if (soonMs > 0) wait(Math.min(soonMs, leftMs));
    else if (!onLate()) wait(leftMs);
  };
  wait(lateMs);
  return () => cancel();
}
