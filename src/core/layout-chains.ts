/**
 * Moves in a chain: where no node below its target may take a copy, because its zone has one already or it has one
 * itself, some third node can take it and pass on another.
 *
 * This is an augmenting path of the flow from partitions over zones to nodes, with the nodes' targets as capacities. As
 * long as the targets can be met there is one. The search prefers the chain that moves the least data: a copy that is
 * not there yet, or goes where it was before, moves for nothing.
 */
import { type Draft, NOBODY } from "./layout-draft.ts";

type Kind = "free" | "cheapest" | "shortest";

interface Step {
  readonly partition: number;
  readonly from: number;
  readonly to: number;
}

/**
 * Relieves `source`, a node above its target, of one copy; or, for nobody, gives `partition` one that is missing. Every
 * other node but one below its target, which gets a copy more, holds as much afterwards as before.
 */
export function moveByChain(
  draft: Draft,
  before: readonly (readonly number[])[],
  source: number,
  partition?: number,
): void {
  // The cheapest chain may, rarely, want to use one partition twice; the shortest never does, since it could skip what
  // lies between.
  const moved = (["cheapest", "shortest"] as const).some((kind) => {
    const chain = new Search(draft, before, kind).from(source, partition);
    return chain !== undefined && apply(draft, chain);
  });
  if (!moved) throw new Error("the targets of a table cannot be met");
}

/** The same by a chain that moves no data, if there is one. */
export function moveFreely(draft: Draft, before: readonly (readonly number[])[], source: number): boolean {
  const chain = new Search(draft, before, "free").from(source, undefined);
  return chain !== undefined && apply(draft, chain);
}

function apply(draft: Draft, chain: readonly Step[]): boolean {
  for (const [done, { partition, from, to }] of chain.entries()) {
    const possible = (from === NOBODY || draft.held[from]!.has(partition)) &&
      draft.mayHold(partition, to, from);
    if (possible) {
      draft.move(partition, from, to);
      continue;
    }
    for (const undone of chain.slice(0, done).reverse()) {
      if (undone.from === NOBODY) draft.remove(undone.partition, undone.to);
      else draft.move(undone.partition, undone.to, undone.from);
    }
    return false;
  }
  return true;
}

/** Breadth first: by the number of moves, or in layers of equal cost, each closed under the moves that cost nothing. */
class Search {
  readonly #draft: Draft;
  readonly #before: readonly (readonly number[])[];
  readonly #kind: Kind;
  readonly #reachedBy: (Step | undefined)[];
  #unreached: number[];
  #layer: number[] = [];
  #nextLayer: number[] = [];

  constructor(draft: Draft, before: readonly (readonly number[])[], kind: Kind) {
    this.#draft = draft;
    this.#before = before;
    this.#kind = kind;
    this.#reachedBy = draft.targets.map(() => undefined);
    this.#unreached = [...draft.targets.keys()].filter((node) => draft.rule.zoneOf[node] !== -1);
  }

  from(source: number, partition: number | undefined): Step[] | undefined {
    if (source === NOBODY) {
      this.#passOn(partition!, NOBODY, this.#unreached, this.#layer);
    } else {
      this.#unreached = this.#unreached.filter((node) => node !== source);
      this.#layer = [source];
    }
    while (this.#layer.length > 0) {
      for (const node of this.#layer) { // grows meanwhile
        if (node !== source && this.#draft.lack(node) > 0) return this.#chainTo(node);
        for (const held of this.#draft.held[node]!) this.#passOnFreely(held, node);
      }
      if (this.#kind === "cheapest") {
        for (const node of this.#layer) {
          for (const held of this.#draft.held[node]!) {
            this.#passOn(held, node, this.#unreached, this.#nextLayer);
          }
        }
      }
      [this.#layer, this.#nextLayer] = [this.#nextLayer, []];
    }
    return undefined;
  }

  #passOnFreely(partition: number, node: number): void {
    const was = this.#before[partition]!;
    const isNew = !was.includes(node);
    const free = isNew || this.#kind === "shortest"
      ? this.#unreached
      : was.filter((other) => this.#unreached.includes(other));
    this.#passOn(partition, node, free, this.#layer);
  }

  #passOn(partition: number, from: number, candidates: readonly number[], reached: number[]): void {
    const fresh = candidates.filter((to) => this.#draft.mayHold(partition, to, from));
    if (fresh.length === 0) return;
    for (const to of fresh) this.#reachedBy[to] = { partition, from, to };
    reached.push(...fresh);
    this.#unreached = this.#unreached.filter((node) => this.#reachedBy[node] === undefined);
  }

  #chainTo(end: number): Step[] {
    const chain: Step[] = [];
    for (let step = this.#reachedBy[end]; step; step = this.#reachedBy[step.from]) chain.push(step);
    return chain.reverse();
  }
}
