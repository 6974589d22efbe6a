/** The layout this node goes by, and what follows from it for a name. */
import { type Layout, replicasOfPartition, setsOfPartition, successorsOfPartition } from "../core/layout.ts";
import type { Name } from "../core/names.ts";
import { partitionOf, PARTITIONS } from "../core/partitions.ts";
import { AtollError } from "../errors.ts";

/** Who decides on a register, by one layout. A question is put and answered by one and the same. */
export interface Quorum {
  /** Of the layout. */
  readonly number: number;
  /** A majority of each is needed: one set, or while replicas move the old one and the new one. */
  readonly sets: readonly (readonly string[])[];
  /** The members of all sets, home first. */
  readonly replicas: readonly string[];
}

const NOBODY: Quorum = { number: 0, sets: [], replicas: [] };
const ALL = Array.from({ length: PARTITIONS }, (_, partition) => partition);

export class Ring {
  readonly self: string;
  #layout: Layout | undefined;
  /** By partition, as far as they were asked for. */
  #quorums: (Quorum | undefined)[] = [];
  /** As far as they were asked for. */
  #moving: readonly number[] | undefined;
  /** By peer, as far as they were asked for. */
  readonly #shared = new Map<string, readonly number[]>();

  constructor(self: string, layout?: Layout) {
    this.self = self;
    if (layout) this.adopt(layout);
  }

  get layout(): Layout | undefined {
    return this.#layout;
  }

  /** Of the layout; 0 before there is one. */
  get number(): number {
    return this.#layout?.number ?? 0;
  }

  /** The caller has made it durable. */
  adopt(layout: Layout): void {
    this.#layout = layout;
    this.#quorums = [];
    this.#moving = undefined;
    this.#shared.clear();
  }

  quorum(name: Name): Quorum {
    return this.quorumOfPartition(partitionOf(name));
  }

  quorumOfPartition(partition: number): Quorum {
    const layout = this.#layout;
    if (!layout) return NOBODY;
    return this.#quorums[partition] ??= quorumBy(layout, partition);
  }

  /** All that vote on a name, home first; none while there is no layout. */
  replicas(name: Name): readonly string[] {
    return this.quorum(name).replicas;
  }

  replicasOfPartition(partition: number): readonly string[] {
    return this.quorumOfPartition(partition).replicas;
  }

  /** Partitions that both this node and the peer are replicas of, in order. */
  partitionsSharedWith(peer: string): readonly number[] {
    let shared = this.#shared.get(peer);
    if (!shared) {
      shared = ALL.filter((partition) => {
        const { replicas } = this.quorumOfPartition(partition);
        return replicas.includes(peer) && replicas.includes(this.self);
      });
      this.#shared.set(peer, shared);
    }
    return shared;
  }

  /** Who stands in for a replica that is down, in this order; nobody in a ring of as many nodes as replicas. */
  successors(name: Name): readonly string[] {
    if (!this.#layout) return [];
    const replicas = this.replicas(name);
    return successorsOfPartition(this.#layout, partitionOf(name)).filter((id) => !replicas.includes(id));
  }

  isReplica(name: Name): boolean {
    return this.replicas(name).includes(this.self);
  }

  /** Whether a partition's replicas are about to become others. */
  isMoving(partition: number): boolean {
    return this.quorumOfPartition(partition).sets.length > 1;
  }

  movingPartitions(): readonly number[] {
    return this.#moving ??= this.#layout?.from ? ALL.filter((partition) => this.isMoving(partition)) : [];
  }

  /** Whether this node alone is a majority for the name. */
  isAlone(name: Name): boolean {
    const replicas = this.replicas(name);
    return replicas.length === 1 && replicas[0] === this.self;
  }

  get members(): readonly string[] {
    return this.#layout?.nodes.map((node) => node.id) ?? [];
  }

  /** Throws `wrong-layout` unless this node goes by the very layout that a question was put by. */
  mustGoBy(number: number): void {
    if (number === this.number) return;
    throw new AtollError("wrong-layout", `wanted layout ${this.number}, got one that goes by ${number}`);
  }
}

function quorumBy(layout: Layout, partition: number): Quorum {
  const sets = setsOfPartition(layout, partition);
  if (sets.length === 1) return { number: layout.number, sets, replicas: sets[0]! };
  // The new home first, and after the new replicas those that are left.
  const replicas = [...new Set([...replicasOfPartition(layout, partition), ...sets.flat()])];
  return { number: layout.number, sets, replicas };
}
