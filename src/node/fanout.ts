/**
 * Asking replicas: those believed alive at once, the suspect ones only when the others cannot make a majority. So a dead
 * replica costs nothing while it is not needed, and is still tried before anything is called impossible.
 */
import { majorityOf } from "../core/quorum.ts";
import type { Membership } from "./membership.ts";

export class Fanout {
  readonly #reserve: string[];
  readonly #needed: number;
  readonly #ask: (id: string) => void;
  #hopeful = 0;
  #silent = 0;

  /**
   * `replicas`: in the order in which to ask. While they move a majority of each of the `sets` is needed, and nobody is
   * left out. `ask` starts one question and returns at once.
   */
  constructor(
    replicas: readonly string[],
    sets: readonly (readonly string[])[],
    ask: (id: string) => void,
  ) {
    this.#reserve = [...replicas];
    this.#needed = sets.length > 1 ? replicas.length : majorityOf(replicas.length);
    this.#ask = ask;
  }

  /** Asks the first `count` in reserve, if there are so many. */
  next(count: number): void {
    for (const id of this.#reserve.splice(0, count)) {
      this.#hopeful++;
      this.#silent++;
      this.#ask(id);
    }
  }

  /**
   * Asks everybody alive; the suspects too when those cannot make a majority, all at once, since each may take its whole
   * time to say nothing.
   */
  widely(aliveCount: number): void {
    this.next(aliveCount >= this.#needed ? aliveCount : this.#reserve.length);
  }

  /** Asks as few as can do: the nearest majority of those alive, or everybody. */
  narrowly(aliveCount: number): void {
    this.next(aliveCount >= this.#needed ? this.#needed : this.#reserve.length);
  }

  /** One that was asked will not help: whoever is needed for a majority is asked now. */
  failed(): void {
    this.#hopeful--;
    if (this.#hopeful < this.#needed) this.next(this.#needed - this.#hopeful);
  }

  /**
   * One answered, and that decided nothing. Everybody who was asked having answered, the others are asked: an answer that
   * seemed to help may have been void.
   */
  undecided(): void {
    if (--this.#silent === 0) this.next(this.#reserve.length);
  }
}

/** Self first, then who is alive by round trip, then the suspects. */
export function byDistance(
  replicas: readonly string[],
  self: string,
  membership: Membership,
): { order: string[]; aliveCount: number } {
  const alive = replicas.filter((id) => id === self || membership.isAlive(id));
  const distance = (id: string): number => (id === self ? -1 : membership.rttMs(id));
  alive.sort((a, b) => distance(a) - distance(b));
  return { order: [...alive, ...replicas.filter((id) => !alive.includes(id))], aliveCount: alive.length };
}
