/**
 * So many requests are being worked at, as many more wait in line for a moment, and whoever stands there for too long is
 * turned away. A burst so costs its requests a moment instead of an error; what stands is an overload, and is told so while
 * those that were let in go on undisturbed.
 */
import type { Clock } from "../ports.ts";

/** Longer, and whoever asks is better told to come back. */
const WAIT_MS = 300;
/** So many for each that may be worked at: of a longer line most would wait in vain. */
const WAITING_FACTOR = 2;
/** Who waited in vain would better have been turned away at once: the line was too long, by about so much. */
const SHRINKING = 0.8;
const LONGEST_MIN = 8;
/** For each that got its turn. */
const GROWTH = 0.02;
/**
 * What takes longer mostly waits itself, for a slow client or for something to happen. It must not keep a place: a crowd of
 * slow connections would shut everybody else out.
 */
const WORK_MS = 2_000;

/** A place among those that are worked at. */
export interface Place {
  readonly sinceMs: number;
  isHeld: boolean;
}

interface Waiting {
  readonly sinceMs: number;
  readonly called: (place: Place | undefined) => void;
}

export class WaitingLine {
  readonly #clock: Clock;
  readonly #limit: () => number;
  #line: Waiting[] = [];
  /** In the order in which they were begun; those that were left are dropped when they come to the front. */
  #places: Place[] = [];
  #isWatched = false;
  /** A line as long as this is worked off in time, as far as is known. */
  #longest = Infinity;
  #running = 0;

  /** `limit`: how many may be worked at now. */
  constructor(deps: { clock: Clock; limit: () => number }) {
    this.#clock = deps.clock;
    this.#limit = deps.limit;
  }

  get running(): number {
    return this.#running;
  }

  /** Places, for tests of what is kept. */
  get remembered(): number {
    return this.#places.length;
  }

  /** Whoever comes now is turned away at once. */
  get isFull(): boolean {
    const limit = this.#limit();
    if (this.#running < limit || this.#line.length < this.#most(limit)) return false;
    this.#release();
    return this.#running >= limit;
  }

  /** A place, to be left; undefined: turned away. */
  enter(): Place | undefined | Promise<Place | undefined> {
    const limit = this.#limit();
    if (this.#running >= limit) this.#release();
    if (this.#running < limit) return this.#begin();
    if (this.#line.length >= this.#most(limit)) return undefined;
    return new Promise((called) => {
      this.#line.push({ sinceMs: this.#clock.monotonicMs(), called });
      this.#watch();
    });
  }

  leave(place: Place): void {
    if (!place.isHeld) return;
    place.isHeld = false;
    this.#running--;
    this.#drop();
    this.#call();
  }

  #most(limit: number): number {
    return Math.min(this.#longest, WAITING_FACTOR * limit);
  }

  #begin(): Place {
    const place = { sinceMs: this.#clock.monotonicMs(), isHeld: true };
    this.#running++;
    this.#places.push(place);
    return place;
  }

  #call(): void {
    let begun = 0;
    while (begun < this.#line.length && this.#running < this.#limit()) {
      this.#line[begun++]!.called(this.#begin());
    }
    if (begun === 0) return;
    this.#line.splice(0, begun);
    this.#longest += begun * GROWTH;
  }

  /** Takes their place from those that have been at it for too long to be work. */
  #release(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const place of this.#places) {
      if (place.sinceMs + WORK_MS > nowMs) break;
      if (place.isHeld) this.#running--;
      place.isHeld = false;
    }
    this.#drop();
  }

  /** Those in front that were left; the rest when they are most, as one that takes long may stand before them. */
  #drop(): void {
    let left = 0;
    while (left < this.#places.length && !this.#places[left]!.isHeld) left++;
    if (left > 0) this.#places.splice(0, left);
    if (this.#places.length > 2 * this.#running + 64) {
      this.#places = this.#places.filter(({ isHeld }) => isHeld);
    }
  }

  #watch(): void {
    if (this.#isWatched || this.#line.length === 0) return;
    this.#isWatched = true;
    const dueMs = this.#line[0]!.sinceMs + WAIT_MS - this.#clock.monotonicMs();
    this.#clock.after(Math.max(1, dueMs), () => {
      this.#isWatched = false;
      this.#release();
      this.#call();
      const nowMs = this.#clock.monotonicMs();
      let late = 0;
      while (late < this.#line.length && this.#line[late]!.sinceMs + WAIT_MS <= nowMs) late++;
      if (late > 0) {
        const length = Math.min(this.#longest, this.#line.length);
        this.#longest = Math.max(LONGEST_MIN, Math.floor(length * SHRINKING));
      }
      for (const { called } of this.#line.splice(0, late)) called(undefined);
      this.#watch();
    });
  }
}
