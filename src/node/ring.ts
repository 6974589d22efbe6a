/** The layout this node goes by, and what follows from it for a name. */
import { type Layout, replicasOfPartition, successorsOfPartition } from "../core/layout.ts";
import type { Name } from "../core/names.ts";
import { partitionOf, PARTITIONS } from "../core/partitions.ts";

export class Ring {
  readonly self: string;
  #layout: Layout | undefined;
  #replicas: string[][] = [];

  constructor(self: string, layout?: Layout) {
    this.self = self;
    if (layout) this.adopt(layout);
  }

  get layout(): Layout | undefined {
    return this.#layout;
  }

  /** The caller has made it durable. */
  adopt(layout: Layout): void {
    this.#layout = layout;
    this.#replicas = Array.from(
      { length: PARTITIONS },
      (_, partition) => replicasOfPartition(layout, partition),
    );
  }

  /** The replicas of a name, home first; none while there is no layout. */
  replicas(name: Name): readonly string[] {
    return this.#replicas[partitionOf(name)] ?? [];
  }

  replicasOfPartition(partition: number): readonly string[] {
    return this.#replicas[partition] ?? [];
  }

  /** Who stands in for a replica that is down, in this order; nobody in a ring of as many nodes as replicas. */
  successors(name: Name): readonly string[] {
    return this.#layout ? successorsOfPartition(this.#layout, partitionOf(name)) : [];
  }

  isReplica(name: Name): boolean {
    return this.replicas(name).includes(this.self);
  }

  /** Whether this node alone is a majority for the name. */
  isAlone(name: Name): boolean {
    const replicas = this.replicas(name);
    return replicas.length === 1 && replicas[0] === this.self;
  }

  get members(): readonly string[] {
    return this.#layout?.nodes.map((node) => node.id) ?? [];
  }
}
