/**
 * Whom to ask next: everybody once before anybody twice, in an order that is shuffled for each round (SWIM, section 4.3),
 * so that no member waits longer than two rounds and no two nodes ask in step.
 */
export class ProbeOrder {
  readonly #fraction: () => number;
  #order: string[] = [];
  #next = 0;
  #helper = 0;

  /** `fraction`: uniform in [0, 1). */
  constructor(fraction: () => number) {
    this.#fraction = fraction;
  }

  /** The next in turn who suits, at most `count`. `members`: all there are now, looked at when a round begins. */
  take(count: number, members: () => string[], suits: (id: string) => boolean): string[] {
    const taken: string[] = [];
    let begun = 0;
    while (taken.length < count) {
      if (this.#next >= this.#order.length) {
        if (begun++ > 0) break;
        this.#order = this.#shuffled(members());
        this.#next = 0;
        continue;
      }
      const id = this.#order[this.#next++]!;
      if (suits(id) && !taken.includes(id)) taken.push(id);
    }
    return taken;
  }

  /** Others who suit, as they come; looks at no more than a few for each. */
  helpers(count: number, members: () => string[], suits: (id: string) => boolean): string[] {
    const from = this.#order.length > 0 ? this.#order : members();
    const taken: string[] = [];
    for (let looked = 0; looked < Math.min(from.length, 8 * count) && taken.length < count; looked++) {
      const id = from[this.#helper++ % from.length]!;
      if (suits(id)) taken.push(id);
    }
    return taken;
  }

  #shuffled(ids: string[]): string[] {
    for (let at = ids.length - 1; at > 0; at--) {
      const other = Math.floor(this.#fraction() * (at + 1));
      [ids[at], ids[other]] = [ids[other]!, ids[at]!];
    }
    return ids;
  }
}
