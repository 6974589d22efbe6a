/** What a change of layout would do: the plan an operator looks at before saying yes. */
import { effectiveWeights } from "./layout-node.ts";
import type { Placement } from "./layout-table.ts";
import { feasibleShares } from "./layout-targets.ts";

export interface TableChange {
  /** In order of ID: how many partitions each node holds. */
  readonly nodes: readonly { readonly id: string; readonly before: number; readonly after: number }[];
  /** Copies at nodes that do not hold their partition yet: what is sent over the network, in partitions. */
  readonly replicasMoved: number;
  /** Partitions of which a copy moves, comes or goes, and who holds them, home first. */
  readonly touched: readonly {
    readonly partition: number;
    readonly before: readonly string[];
    readonly after: readonly string[];
  }[];
  readonly homesMoved: number;
  readonly before: TableState;
  readonly after: TableState;
}

export interface TableState {
  /** Partitions whose copies lie in distinct zones, or in every zone there is. */
  readonly spread: number;
  /** The load of the fullest node, relative to its share by weight as zones allow it: 1 is a perfect balance. */
  readonly fullest: number;
}

export function compareTables(before: Placement, after: Placement): TableChange {
  let [replicasMoved, homesMoved] = [0, 0];
  const touched: { partition: number; before: string[]; after: string[] }[] = [];
  for (const partition of after.table.keys()) {
    const was = holders(before, partition);
    const is = holders(after, partition);
    const added = is.filter((id) => !was.includes(id)).length;
    replicasMoved += added;
    if (added > 0 || was.some((id) => !is.includes(id))) touched.push({ partition, before: was, after: is });
    if (was[0] !== is[0]) homesMoved++;
  }
  const [heldBefore, heldAfter] = [countsById(before), countsById(after)];
  const ids = [...new Set([...heldBefore.keys(), ...heldAfter.keys()])].sort();
  return {
    nodes: ids.map((id) => ({ id, before: heldBefore.get(id) ?? 0, after: heldAfter.get(id) ?? 0 })),
    replicasMoved,
    touched,
    homesMoved,
    before: tableState(before),
    after: tableState(after),
  };
}

export function tableState({ nodes, table }: Placement): TableState {
  const weights = effectiveWeights(nodes);
  const zones = new Set(nodes.filter((_, index) => weights[index]! > 0).map((node) => node.zone)).size;
  const spread = table.filter((row) =>
    new Set(row.map((index) => nodes[index]!.zone)).size >= Math.min(row.length, zones)
  );
  const shares = feasibleShares(nodes, Math.max(0, ...table.map((row) => row.length)));
  const loads = countsOf({ nodes, table }).map((count, index) => count / shares[index]!);
  return { spread: spread.length, fullest: Math.max(0, ...loads.filter((_, index) => shares[index]! > 0)) };
}

function holders({ nodes, table }: Placement, partition: number): string[] {
  return (table[partition] ?? []).map((index) => nodes[index]!.id);
}

function countsById(placement: Placement): Map<string, number> {
  const counts = countsOf(placement);
  return new Map(placement.nodes.map((node, index) => [node.id, counts[index]!]));
}

function countsOf({ nodes, table }: Placement): number[] {
  const counts = nodes.map(() => 0);
  for (const row of table) for (const index of row) counts[index]!++;
  return counts;
}
