/**
 * How much each of many may ask for: a token bucket each, in a table of bounded size. A bucket holds `quota` tokens and is
 * filled evenly, all of it within `windowMs`.
 */

/** `quota` requests in `windowMs`, all at once if need be. */
export interface Rate {
  readonly quota: number;
  readonly windowMs: number;
}

export interface Taken {
  readonly granted: boolean;
  /** Whole tokens left. */
  readonly remaining: number;
  /** Until there is a token again; 0 where there is one. */
  readonly waitMs: number;
}

interface Bucket {
  tokens: number;
  atMs: number;
}

/** About 100 bytes each. */
const BUCKETS_MAX = 65_536;

export class TokenBuckets {
  readonly rate: Rate;
  readonly #max: number;
  /** In the order of their last use: whoever was not heard of for the longest time is forgotten first. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(rate: Rate, bucketsMax = BUCKETS_MAX) {
    this.rate = rate;
    this.#max = bucketsMax;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** `nowMs`: of a clock that does not go back. */
  take(who: string, nowMs: number): Taken {
    const { quota, windowMs } = this.rate;
    const bucket = this.#buckets.get(who) ?? { tokens: quota, atMs: nowMs };
    bucket.tokens = Math.min(quota, bucket.tokens + Math.max(0, nowMs - bucket.atMs) * quota / windowMs);
    bucket.atMs = nowMs;
    // What is refused costs nothing: else whoever asks too often would never be let in again.
    const granted = bucket.tokens >= 1;
    if (granted) bucket.tokens--;
    this.#buckets.delete(who);
    if (this.#buckets.size >= this.#max) this.#forgetOne();
    this.#buckets.set(who, bucket);
    const missing = 1 - bucket.tokens;
    return {
      granted,
      remaining: Math.floor(bucket.tokens),
      waitMs: missing <= 0 ? 0 : missing * windowMs / quota,
    };
  }

  #forgetOne(): void {
    for (const who of this.#buckets.keys()) {
      this.#buckets.delete(who);
      return;
    }
  }
}
