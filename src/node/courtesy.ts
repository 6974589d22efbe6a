/**
 * Lets what is in the foreground go first. Work in the background that is cut into small pieces asks for a turn before
 * each of them: as long as this node's event loop is on time turns come at once, and when it is late they come seldom,
 * but they do come, so that repair ends however busy the node is.
 */
import type { Clock } from "../ports.ts";
import { pause } from "./waiting.ts";

/** Ms that are waited for to see how late the loop is. */
const PROBE_MS = 1;
/** Timers are not more exact than that. */
const ON_TIME_MS = 3;
/** Pieces between two looks: together they take about as long as somebody in the foreground may have to wait for them. */
const PIECES = 4;
/** The background gets about a fifth of a busy loop's time. */
const REST_FACTOR = 4;
/** Of a loop that is very late the background gets more than its part: repair must end. */
const REST_MAX_MS = 40;

export class Courtesy {
  readonly #clock: Clock;
  #left = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves when the next piece may be begun; whoever asks first goes first. */
  turn(): Promise<void> {
    this.#last = this.#last.then(() => this.#next());
    return this.#last;
  }

  async #next(): Promise<void> {
    if (this.#left === 0) {
      const lateMs = await this.#lateMs();
      if (lateMs > ON_TIME_MS) await pause(this.#clock, Math.min(REST_MAX_MS, REST_FACTOR * lateMs));
      this.#left = PIECES;
    }
    this.#left--;
  }

  async #lateMs(): Promise<number> {
    const begunMs = this.#clock.monotonicMs();
    await pause(this.#clock, PROBE_MS);
    return this.#clock.monotonicMs() - begunMs - PROBE_MS;
  }
}
