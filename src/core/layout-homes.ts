/**
 * Which of its holders is a partition's home. The order costs no data, but requests go to the home first, so homes are
 * balanced as well: each node is the home of its part of what it holds, rounded either way.
 *
 * Such homes always exist (give each holder of a partition an equal part of being its home, and round that flow). They are
 * reached from the present ones by handing homes on from holder to holder, along the shortest chain.
 */

/** The rows with the home first and the rest in order; a home stays one unless the balance needs another. */
export function homesFirst(
  rows: readonly (readonly number[])[],
  before: readonly (readonly number[])[],
  loads: readonly number[],
  copies: number,
): number[][] {
  const homes = new Homes(rows, before, loads, copies);
  homes.balance();
  return rows.map((row, partition) => {
    const home = homes.of(partition);
    return row.length === 0 ? [] : [home, ...row.filter((node) => node !== home)];
  });
}

class Homes {
  readonly #rows: readonly (readonly number[])[];
  readonly #before: readonly (readonly number[])[];
  readonly #least: readonly number[];
  readonly #most: readonly number[];
  readonly #homeOf: number[];
  /** Per node the partitions it is the home of. */
  readonly #homes: readonly Set<number>[];

  constructor(
    rows: readonly (readonly number[])[],
    before: readonly (readonly number[])[],
    loads: readonly number[],
    copies: number,
  ) {
    this.#rows = rows;
    this.#before = before;
    this.#least = loads.map((load) => Math.floor(load / copies));
    this.#most = loads.map((load) => Math.ceil(load / copies));
    this.#homeOf = rows.map((row) => row[0]!);
    this.#homes = loads.map(() => new Set<number>());
    const undecided: number[] = [];
    for (const [partition, row] of rows.entries()) {
      if (before[partition]!.includes(row[0]!)) this.#homes[row[0]!]!.add(partition);
      else undecided.push(partition);
    }
    for (const partition of undecided) {
      const part = (node: number): number => (this.#homes[node]!.size + 1) / loads[node]!;
      const home = rows[partition]!.reduce((best, node) => part(node) < part(best) ? node : best);
      this.#homeOf[partition] = home;
      this.#homes[home]!.add(partition);
    }
  }

  of(partition: number): number {
    return this.#homeOf[partition]!;
  }

  balance(): void {
    const nodes = [...this.#homes.keys()];
    const count = (node: number): number => this.#homes[node]!.size;
    for (const node of nodes) {
      while (count(node) > this.#most[node]!) {
        this.#handOn([node], (other) => count(other) < this.#most[other]!);
      }
    }
    for (const node of nodes) {
      while (count(node) < this.#least[node]!) {
        this.#handOn(nodes.filter((other) => count(other) > this.#least[other]!), (other) => other === node);
      }
    }
  }

  /** One home less at one of `from`, one more at a node that wants it; if it can be, only to holders of long standing. */
  #handOn(from: readonly number[], wants: (node: number) => boolean): void {
    const heldBefore = (partition: number, node: number): boolean => this.#before[partition]!.includes(node);
    if (this.#handOnTo(from, wants, heldBefore) || this.#handOnTo(from, wants, () => true)) return;
    throw new Error("the homes of a table cannot be balanced");
  }

  #handOnTo(
    from: readonly number[],
    wants: (node: number) => boolean,
    mayBeHome: (partition: number, node: number) => boolean,
  ): boolean {
    const reachedBy = new Map<number, number>(); // node -> the partition it would become the home of
    const reached = new Set(from);
    for (const node of reached) { // grows meanwhile
      for (const partition of this.#homes[node]!) {
        for (const other of this.#rows[partition]!) {
          if (reached.has(other) || !mayBeHome(partition, other)) continue;
          reached.add(other);
          reachedBy.set(other, partition);
          if (!wants(other)) continue;
          this.#take(other, reachedBy);
          return true;
        }
      }
    }
    return false;
  }

  #take(end: number, reachedBy: ReadonlyMap<number, number>): void {
    let node = end;
    for (let partition = reachedBy.get(node); partition !== undefined; partition = reachedBy.get(node)) {
      const from = this.#homeOf[partition]!;
      this.#homes[from]!.delete(partition);
      this.#homes[node]!.add(partition);
      this.#homeOf[partition] = node;
      node = from;
    }
  }
}
