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
  #source = NOBODY;
  #unreached: number[];
  #layer: number[] = [];
  #nextLayer: number[] = [];
  /** A node below its target, once one is reached. */
  #end: number | undefined;

  constructor(draft: Draft, before: readonly (readonly number[])[], kind: Kind) {
    this.#draft = draft;
    this.#before = before;
    this.#kind = kind;
    this.#reachedBy = draft.targets.map(() => undefined);
    this.#unreached = [...draft.targets.keys()].filter((node) => draft.rule.zoneOf[node] !== -1);
  }

  from(source: number, partition: number | undefined): Step[] | undefined {
    this.#source = source;
    if (source === NOBODY) {
      this.#passOn(partition!, NOBODY, this.#unreached, this.#layer);
    } else {
      this.#unreached = this.#unreached.filter((node) => node !== source);
      this.#layer = [source];
    }
    while (this.#end === undefined && this.#layer.length > 0) {
      this.#close();
      if (this.#kind === "cheapest") this.#goOn();
      [this.#layer, this.#nextLayer] = [this.#nextLayer, []];
    }
    return this.#end === undefined ? undefined : this.#chainTo(this.#end);
  }

  /** Adds to the layer what its nodes, and those added, reach at no further cost. */
  #close(): void {
    for (const node of this.#layer) { // grows meanwhile
      for (const partition of this.#draft.held[node]!) {
        if (this.#end !== undefined) return;
        const was = this.#before[partition]!;
        this.#draft.considered += was.length;
        const isFree = this.#kind === "shortest" || !was.includes(node);
        const candidates = isFree ? this.#unreached : was.filter((other) => other !== this.#source);
        this.#passOn(partition, node, candidates, this.#layer);
      }
    }
  }

  #goOn(): void {
    for (const node of this.#layer) {
      for (const partition of this.#draft.held[node]!) {
        if (this.#end !== undefined) return;
        this.#passOn(partition, node, this.#unreached, this.#nextLayer);
      }
    }
  }

  #passOn(partition: number, from: number, candidates: readonly number[], reached: number[]): void {
    this.#draft.considered += candidates.length;
    const passed: number[] = [];
    for (const to of candidates) {
      if (this.#reachedBy[to] !== undefined) continue;
      if (!this.#draft.mayHold(partition, to, from)) {
        passed.push(to);
        continue;
      }
      this.#reachedBy[to] = { partition, from, to };
      reached.push(to);
      if (this.#draft.lack(to) > 0) this.#end ??= to;
    }
    if (candidates === this.#unreached) this.#unreached = passed;
  }

  #chainTo(end: number): Step[] {
    const chain: Step[] = [];
    for (let step = this.#reachedBy[end]; step; step = this.#reachedBy[step.from]) chain.push(step);
    return chain.reverse();
  }
}
