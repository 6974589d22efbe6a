/**
 * News on its way: each rumour travels with so many messages and then rests (Das et al. 2002, "SWIM", section 4.1). Those
 * that travelled least go first, so that what is new is not held up by what everybody has heard. One that comes back from
others has travelled as well (Demers et al. 1987: feedback), so that a thousand rumours at once are soon no news any more.
 */

/** Times a rumour is passed on by one node, per doubling of the ring: 3, as in SWIM's evaluation. */
const SPREAD = 3;

export function spreadMax(members: number): number {
  return SPREAD * Math.ceil(Math.log2(members + 2));
}

export class Rumours<R extends { readonly id: string }> {
  /** By how often they were passed on; of each member at most one rumour, the newest. */
  readonly #bySpread: Map<string, R>[] = [];
  readonly #spread = new Map<string, number>();

  get size(): number {
    return this.#spread.size;
  }

  /** In place of whatever was told of that member before. */
  put(rumour: R): void {
    this.drop(rumour.id);
    this.#place(rumour, 0);
  }

  drop(id: string): void {
    const spread = this.#spread.get(id);
    if (spread === undefined) return;
    this.#bySpread[spread]?.delete(id);
    this.#spread.delete(id);
  }

  /** Somebody else told it, too. */
  echo(id: string, members: number): void {
    const spread = this.#spread.get(id);
    if (spread === undefined) return;
    const rumour = this.#bySpread[spread]!.get(id)!;
    this.drop(id);
    if (spread + 1 < spreadMax(members)) this.#place(rumour, spread + 1);
  }

  /** For one message, to a node of a ring of so many members. */
  take(count: number, members: number): R[] {
    const limit = spreadMax(members);
    const taken: { rumour: R; spread: number }[] = [];
    for (const [spread, rumours] of this.#bySpread.entries()) {
      for (const rumour of rumours.values()) {
        if (taken.length === count) break;
        taken.push({ rumour, spread });
      }
    }
    for (const { rumour, spread } of taken) {
      this.drop(rumour.id);
      if (spread + 1 < limit) this.#place(rumour, spread + 1);
    }
    return taken.map(({ rumour }) => rumour);
  }

  #place(rumour: R, spread: number): void {
    while (this.#bySpread.length <= spread) this.#bySpread.push(new Map());
    this.#bySpread[spread]!.set(rumour.id, rumour);
    this.#spread.set(rumour.id, spread);
  }
}
