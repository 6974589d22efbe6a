/**
 * What a node may still believe of its own registers when it goes from one layout to a later one, maybe past others that
 * it never heard of. While it was no replica of a partition the others went on without it: they may even have collected
 * tombstones, which they never do without asking every replica. What it still holds from before would bring objects back.
 */
import { type Layout, partitionsOf, replicaSince } from "./layout.ts";

/** Partitions it is new to by `after`: whatever lies here of them is void, and nobody counts on its having voted. */
export function freshPartitions(before: Layout, after: Layout, id: string): number[] {
  const held = new Set(partitionsOf(before, id));
  return partitionsOf(after, id).filter((partition) =>
    !held.has(partition) || replicaSince(after, partition, id)! > before.number
  );
}
