/**
 * How often each of very many things was asked for lately, about, in a few bytes each: the count-min sketch of TinyLFU
 * (Einziger, Friedman, Manes: TinyLFU, a highly efficient cache admission policy, 2017). Counts are small, never too low
 * while they are, and all are halved from time to time, so that what was popular once makes room.
 */

const ROWS = 4;
const COUNT_MAX = 15;

export class FrequencySketch {
  readonly #counts: Uint8Array;
  readonly #mask: number;
  #added = 0;

  /** `width`: of a row; rounded up to a power of two. More things than that are told apart less and less. */
  constructor(width: number) {
    const size = 2 ** Math.ceil(Math.log2(Math.max(16, width)));
    this.#mask = size - 1;
    this.#counts = new Uint8Array(ROWS * size);
  }

  /** Counted since all were halved last. */
  get added(): number {
    return this.#added;
  }

  /** `a` and `b`: hashes of 32 bits that have nothing to do with each other. */
  add(a: number, b: number): void {
    this.#added++;
    const least = this.count(a, b);
    if (least === COUNT_MAX) return;
    // Only those that say the least: what they share with others makes them too high as it is.
    for (let row = 0; row < ROWS; row++) {
      const at = this.#at(row, a, b);
      if (this.#counts[at] === least) this.#counts[at] = least + 1;
    }
  }

  /** 0 to 15. */
  count(a: number, b: number): number {
    let least = COUNT_MAX;
    for (let row = 0; row < ROWS; row++) least = Math.min(least, this.#counts[this.#at(row, a, b)]!);
    return least;
  }

  halve(): void {
    this.#added = 0;
    for (let at = 0; at < this.#counts.length; at++) this.#counts[at]! >>= 1;
  }

  #at(row: number, a: number, b: number): number {
    return row * (this.#mask + 1) + ((a + Math.imul(row, b | 1)) & this.#mask);
  }
}
