/**
 * What a node may still believe of its own registers when it goes from one layout to a later one, maybe past others that
 * it never heard of. While it was no replica of a partition the others went on without it: they may even have collected
 * tombstones, which they never do without asking every replica. What it still holds from before would bring objects back.
 */
import { type Layout, partitionsOf, setsOfPartition } from "./layout.ts";

/** From leaving a partition to having it back there are three layouts at least: settled without, moving, settled with. */
const LAYOUTS_TO_RETURN = 3;

export interface Continuity {
  /** Partitions it is new to: whatever lies here of them is void, and nobody counts on its having voted. */
  readonly fresh: number[];
  /** Partitions it may have left and got back unawares, or held all the time. */
  readonly doubtful: number[];
}

export function continuityOf(before: Layout, after: Layout, id: string): Continuity {
  const held = new Set(partitionsOf(before, id));
  const hasSkipped = after.number > before.number + 1;
  const since = after.nodes.find((node) => node.id === id)?.since ?? 0;
  const mayHaveReturned = since >= before.number + LAYOUTS_TO_RETURN;
  const [fresh, doubtful]: [number[], number[]] = [[], []];
  for (const partition of partitionsOf(after, id)) {
    const isNew = !setsOfPartition(after, partition)[0]!.includes(id);
    if (!held.has(partition) || (isNew && hasSkipped)) fresh.push(partition);
    else if (!isNew && mayHaveReturned) doubtful.push(partition);
  }
  return { fresh, doubtful };
}
