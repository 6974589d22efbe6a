/**
 * Who of many origins may have how many answers on their way: no more than are free. One alone has half of all, each that
 * comes after it finds room, and the last place is taken only when very many are slow at once (Choudhury, Hahne: Dynamic
 * queue length thresholds, 1998).
 */
import { AtollError } from "../errors.ts";

export class OriginShares {
  readonly #all: number;
  readonly #taken = new Map<string, number>();
  #free: number;

  constructor(all: number) {
    this.#all = all;
    this.#free = all;
  }

  /** What gives it back, to be called once. Throws `overloaded`. */
  take(origin: string): () => void {
    const taken = this.#taken.get(origin) ?? 0;
    if (taken >= this.#free) {
      throw new AtollError(
        "overloaded",
        `${taken} answers of ${origin} are on their way, the most there may be while ${this.#free} of ${this.#all} are free`,
      );
    }
    this.#taken.set(origin, taken + 1);
    this.#free--;
    return () => {
      this.#free++;
      const left = this.#taken.get(origin)! - 1;
      if (left === 0) this.#taken.delete(origin);
      else this.#taken.set(origin, left);
    };
  }
}
