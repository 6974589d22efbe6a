/** Order among operations on a disk: few at a time, and one after another where they touch the same file. */
import { AtollError } from "../errors.ts";

/** Operations that may wait for a place; one more is `overloaded`. */
const WAITING_MAX = 4096;

/** Lets at most `places` operations run; the others wait in order of arrival. */
export class DiskGate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(places: number) {
    this.#free = places;
  }

  async run<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else if (this.#waiting.length < WAITING_MAX) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {throw new AtollError(
        "overloaded",
        `wanted at most ${WAITING_MAX} waiting file operations, got one more`,
      );}
    try {
      return await operation();
    } finally {
      // The place is handed over, never free in between: nobody overtakes.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}

/** Runs operations of one key one after another; those of different keys know nothing of each other. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  async run<T>(key: string, operation: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    const turn = before ? before.then(operation, operation) : operation();
    this.#last.set(key, turn);
    try {
      return await turn;
    } finally {
      if (this.#last.get(key) === turn) this.#last.delete(key);
    }
  }
}
