/**
 * How many requests may be under way, by how late the event loop is. As in CoDel (RFC 8289) a queue that drains now and
 * then is no trouble, only one that stands: what counts is the least lateness within an interval. While it stays above
 * the target the limit goes down by a part of what is under way, else it comes back.
 */

const INTERVAL_MS = 100;
/** One that stood still for once, to collect garbage, is not late. */
const SAMPLES_MIN = 3;
const DOWN_FACTOR = 0.7;
/** Until it was late for the first time it goes up quickly, as TCP begins. */
const BEGIN = 256;
const BEGIN_UP_FACTOR = 2;
const UP_FACTOR = 1.1;
/** Whatever happens, so many may be under way: less would not use the disk and the network. */
const LIMIT_MIN = 64;

export class LoadShedder {
  readonly #targetMs: number;
  readonly #max: number;
  #limit: number;
  #wasLate = false;
  #leastMs = Infinity;
  #samples = 0;
  #intervalEndsMs = -Infinity;

  /** `targetMs`: Infinity never sheds. `max`: requests under way at the best of times. */
  constructor(targetMs: number, max: number) {
    this.#targetMs = targetMs;
    this.#max = max;
    this.#limit = Math.min(BEGIN, max);
  }

  /** Requests that may be under way now. */
  get limit(): number {
    return this.#limit;
  }

  /** How late a timer was. To be called several times in each interval. */
  observe(latenessMs: number, active: number, nowMs: number): void {
    this.#leastMs = Math.min(this.#leastMs, latenessMs);
    this.#samples++;
    if (nowMs < this.#intervalEndsMs || this.#samples < SAMPLES_MIN) return;
    this.#judge(active);
    this.#intervalEndsMs = nowMs + INTERVAL_MS;
    this.#leastMs = Infinity;
    this.#samples = 0;
  }

  #judge(active: number): void {
    const floor = Math.min(LIMIT_MIN, this.#max);
    if (this.#leastMs > this.#targetMs) {
      this.#wasLate = true;
      this.#limit = Math.max(floor, Math.floor(Math.min(this.#limit, active) * DOWN_FACTOR));
    } else if (2 * active >= this.#limit) {
      // Only a limit that is used says anything of what the node can do.
      const factor = this.#wasLate ? UP_FACTOR : BEGIN_UP_FACTOR;
      this.#limit = Math.min(this.#max, Math.ceil(this.#limit * factor));
    }
  }
}
