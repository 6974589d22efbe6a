/**
 * Time that passes only when a test says so. Everything that became due runs in order, and after each timer whatever it
 * set going goes as far as it can without time: so a run depends on nothing but what the test does.
 */
import { setImmediate } from "node:timers";
import type { Clock } from "../../src/ports.ts";

/** An ordinary day, so that dates in headers look like dates. */
const EPOCH_MS = Date.UTC(2026, 0, 15);
/** Timers that one wait may run: beyond it something goes round in circles. */
const TIMERS_MAX = 1_000_000;
const TIMERS_AT_ONCE = 64;

interface Timer {
  readonly dueMs: number;
  readonly order: number;
  readonly run: () => void;
  cancelled: boolean;
}

export class FakeClock implements Clock {
  #nowMs = 0;
  #order = 0;
  /** A binary heap in order of time, then of asking; those that were cancelled go when their turn comes. */
  readonly #timers: Timer[] = [];

  wallMs(): number {
    return EPOCH_MS + this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, run, cancelled: false };
    this.#push(timer);
    return () => {
      timer.cancelled = true;
    };
  }

  /** Timers that will run. */
  get pending(): number {
    return this.#timers.filter(({ cancelled }) => !cancelled).length;
  }

  /** Lets go on whatever needs no time. */
  async settle(): Promise<void> {
    // A turn of the event loop begins when no promise has anything to do any more.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }

  /** Lets so many ms pass. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await this.settle();
    await this.#runTimers(endMs, () => false);
    this.#nowMs = endMs;
  }

  /** Lets time pass until the promise is settled, and says what it came to; fails after `limitMs`. */
  async run<T>(promise: Promise<T>, label: string, limitMs = 60_000): Promise<T> {
    let pending = true;
    const ended = (): void => {
      pending = false;
    };
    promise.then(ended, ended);
    await this.until(label, () => !pending, limitMs);
    return await promise;
  }

  /** Lets time pass until it is so; fails after `limitMs`. */
  async until(label: string, condition: () => boolean, limitMs = 60_000): Promise<void> {
    const endMs = this.#nowMs + limitMs;
    await this.settle();
    if (await this.#runTimers(endMs, condition)) return;
    throw new Error(`waited ${limitMs} ms of fake time in vain: ${label}`);
  }

  /** The clock as one node sees it: its wall shows another time, and its timers end with its life. */
  seenBy(
    isAlive: () => boolean,
    /** How far its wall clock is off, now. */
    skewMs: () => number = () => 0,
    /** Until when the process is paused; not later than now: it is not. */
    heldUntilMs: () => number = () => 0,
  ): Clock {
    const after = (delayMs: number, run: () => void): () => void => {
      let cancel: () => void;
      const due = (): void => {
        if (!isAlive()) return;
        const heldMs = heldUntilMs() - this.#nowMs;
        if (heldMs > 0) cancel = this.after(heldMs, due);
        else run();
      };
      cancel = this.after(delayMs, due);
      return () => cancel();
    };
    return { wallMs: () => this.wallMs() + skewMs(), monotonicMs: () => this.monotonicMs(), after };
  }

  /**
   * Runs what becomes due up to `endMs`, each timer in a callback of its own: both runtimes let promises do all they can
   * between two callbacks, and many that were asked for together cost one turn of the event loop. Resolves with whether
   * `condition` came to be so.
   */
  #runTimers(endMs: number, condition: () => boolean): Promise<boolean> {
    return new Promise((resolve, reject) => {
      let [ran, ended] = [0, false];
      const end = (settle: () => void): void => {
        ended = true;
        settle();
      };
      const step = (): void => {
        try {
          if (ended) return;
          if (condition()) return end(() => resolve(true));
          if (!this.#runNext(endMs)) return end(() => resolve(false));
          if (++ran > TIMERS_MAX) throw new Error(`wanted rest by ${endMs} ms, timers never ended`);
        } catch (error) {
          end(() => reject(error));
        }
      };
      const turn = (): void => {
        for (let i = 1; i < TIMERS_AT_ONCE; i++) setImmediate(step);
        setImmediate(() => {
          step();
          if (!ended) turn();
        });
      };
      turn();
    });
  }

  #runNext(endMs: number): boolean {
    let timer: Timer | undefined;
    while ((timer = this.#timers[0]) && timer.dueMs <= endMs) {
      this.#pop();
      if (timer.cancelled) continue;
      this.#nowMs = Math.max(this.#nowMs, timer.dueMs);
      timer.run();
      return true;
    }
    return false;
  }

  #push(timer: Timer): void {
    const heap = this.#timers;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (isBefore(heap[parent]!, timer)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = timer;
  }

  /** Takes the first away. */
  #pop(): void {
    const heap = this.#timers;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (isBefore(last, heap[child]!)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);
}
