/** How many of something each of many has at the moment, and how many it may have. */
export class ActiveCounts {
  readonly max: number;
  /** Whoever has none has no entry. */
  readonly #counts = new Map<string, number>();

  /** `max`: Infinity counts nothing. */
  constructor(max: number) {
    this.max = max;
  }

  isFull(who: string): boolean {
    return this.max !== Infinity && (this.#counts.get(who) ?? 0) >= this.max;
  }

  begin(who: string): void {
    if (this.max !== Infinity) this.#counts.set(who, (this.#counts.get(who) ?? 0) + 1);
  }

  /** Once for each that was begun. */
  end(who: string): void {
    const count = this.#counts.get(who) ?? 0;
    if (count > 1) this.#counts.set(who, count - 1);
    else this.#counts.delete(who);
  }
}
