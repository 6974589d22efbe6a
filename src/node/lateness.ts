/**
 * When to stop waiting for one node alone. Where the way to it is full, or this node has too much to do, its answers are
 * late as well, and to ask a second node for the same would only add to it: so who goes on answering others' questions is not
 * late, nor is anybody while this node's own timers are.
 */
import type { Clock } from "../ports.ts";

/** A timer that is later than that says that this node is busy: what it waits for may have come. */
const BUSY_MS = 10;

export interface Awaited {
  /** With no answer of its own for that long, to anything, it is late. */
  readonly lateMs: number;
  /** After that long nobody waits for it alone, whatever it answers others. */
  readonly patienceMs: number;
  /** Monotonic ms at which it last answered anything. */
  readonly heardMs: () => number;
  /** Gets help, if there is any to be had. */
  readonly onLate: () => boolean;
  readonly onPatienceOver: () => void;
}

/** From now on; ends with the help, or when the function that it gives is called. */
export function watchAnswer(clock: Clock, awaited: Awaited): () => void {
  const { lateMs, patienceMs, heardMs, onLate, onPatienceOver } = awaited;
  const askedMs = clock.monotonicMs();
  let cancel: () => void = () => {};
  const wait = (delayMs: number): void => {
    const dueMs = clock.monotonicMs() + delayMs;
    cancel = clock.after(delayMs, () => look(dueMs));
  };
  const look = (dueMs: number): void => {
    const nowMs = clock.monotonicMs();
    const leftMs = askedMs + patienceMs - nowMs;
    if (leftMs <= 0) return onPatienceOver();
    if (nowMs - dueMs > BUSY_MS) return wait(Math.min(lateMs, leftMs));
    const silentMs = nowMs - Math.max(askedMs, heardMs());
    if (silentMs < lateMs) wait(Math.min(lateMs - silentMs, leftMs));
    else if (!onLate()) wait(leftMs);
  };
  wait(lateMs);
  return () => cancel();
}
