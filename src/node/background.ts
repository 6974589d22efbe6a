/** Work that goes on in the background: one run at a time, when it is due or was woken. */
import type { Clock } from "../ports.ts";

/** One run; resolves with the ms until the next, or `undefined` for "when woken". Must not reject. */
export type Run = () => Promise<number | undefined>;

export class Background {
  readonly #clock: Clock;
  readonly #run: Run;
  #timer: { readonly dueMs: number; readonly cancel: () => void } | undefined;
  #busy = false;
  /** Woken during a run, which may have looked before there was anything to see. */
  #wokenMs: number | undefined;
  #stopped = false;

  constructor(clock: Clock, run: Run) {
    this.#clock = clock;
    this.#run = run;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Runs in so many ms, or earlier if that was planned already; after a run that is under way. */
  wake(delayMs = 0): void {
    if (this.#busy) this.#wokenMs = Math.min(delayMs, this.#wokenMs ?? Infinity);
    else this.#schedule(delayMs);
  }

  /** For good. A run that is under way sees `stopped`. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    const dueMs = this.#clock.monotonicMs() + delayMs;
    if (this.#timer && this.#timer.dueMs <= dueMs) return;
    this.#timer?.cancel();
    const cancel = this.#clock.after(delayMs, () => {
      this.#timer = undefined;
      void this.#work();
    });
    this.#timer = { dueMs, cancel };
  }

  async #work(): Promise<void> {
    this.#busy = true;
    this.#wokenMs = undefined;
    const nextMs = await this.#run();
    this.#busy = false;
    if (nextMs !== undefined) this.#schedule(nextMs);
    if (this.#wokenMs !== undefined) this.#schedule(this.#wokenMs);
  }
}

/**
 * Does it with every item, so many at once. Once one failed, or the signal is aborted, none is begun any more; rejects when all
 * that were have ended, if one failed.
 */
export async function forEach<T>(
  items: Iterable<T> | AsyncIterable<T>,
  atOnce: number,
  work: (item: T) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const queue = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  const faults: unknown[] = [];
  const isOver = (): boolean => faults.length > 0 || signal?.aborted === true;
  const worker = async (): Promise<void> => {
    while (!isOver()) {
      try {
        const step = queue.next();
        const next = step instanceof Promise ? await step : step;
        if (next.done === true) return;
        await work(next.value);
      } catch (error) {
        faults.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  if (faults.length > 0) throw faults[0];
}

/** In order, so many in each but the last. */
export function slices<T>(items: readonly T[], size: number): T[][] {
  const count = Math.ceil(items.length / size);
  return Array.from({ length: count }, (_, i) => items.slice(i * size, (i + 1) * size));
}
