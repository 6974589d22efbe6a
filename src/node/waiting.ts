/** Waiting with an end to it. */
import type { Clock } from "../ports.ts";

/** A promise and the functions that settle it. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

export function defer<T>(): Deferred<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  // Whoever made it may have stopped waiting; its failure then concerns nobody.
  promise.catch(() => {});
  return { promise, resolve, reject };
}

export function pause(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const cancel = clock.after(delayMs, done);
    function done(): void {
      cancel();
      signal?.removeEventListener("abort", done);
      resolve();
    }
    if (signal?.aborted) done();
    else signal?.addEventListener("abort", done);
  });
}

/** Which came first: the promise's value, or the time. The promise goes on. */
export async function within<T>(
  clock: Clock,
  delayMs: number,
  promise: Promise<T>,
): Promise<{ value: T } | undefined> {
  let cancel!: () => void;
  const late = new Promise<undefined>((resolve) => (cancel = clock.after(delayMs, () => resolve(undefined))));
  try {
    return await Promise.race([promise.then((value) => ({ value })), late]);
  } finally {
    cancel();
  }
}

/** At most so many at once; the others wait in order. */
export class Permits {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async take(): Promise<void> {
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  give(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free++;
  }
}
