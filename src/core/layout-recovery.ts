/**
 * A layout for those who are left when a majority of the voters is gone for good: nobody can decide on it, an operator
 * does. What the survivors hold is kept: each old set shrinks to its survivors, and the new replicas take over from them.
 */
import { type Layout, LAYOUT_FORMAT, type LayoutNode, replicaSince, type Table } from "./layout.ts";
import { computeTable } from "./layout-table.ts";
import { chooseVoters } from "./layout-voters.ts";

/** Ahead of whatever the lost voters may have decided last. */
const NUMBERS_SKIPPED = 1_000;

/** `lost`: partitions none of whose replicas is left. */
export function recoveredLayout(
  layout: Layout,
  survivors: readonly LayoutNode[],
): { next: Layout; lost: number } {
  const nodes = layout.nodes.filter((node) => survivors.includes(node));
  const indexes = new Map(nodes.map((node, index) => [node.id, index]));
  const table = computeTable(nodes, layout.replicas, layout);
  let lost = 0;
  const from = layout.table.map((row, partition) => {
    // While replicas moved, who was to take over may know what is gone with the old set.
    const old = [...new Set([...layout.from?.[partition] ?? [], ...row])];
    const left = old.flatMap((index) => indexes.get(layout.nodes[index]!.id) ?? []);
    if (left.length > 0) return left;
    lost++;
    return table[partition]!;
  });
  const number = layout.number + NUMBERS_SKIPPED;
  const sinceOf = (rows: Table): Table =>
    rows.map((row, partition) =>
      row.map((index) => replicaSince(layout, partition, nodes[index]!.id) ?? number)
    );
  const next: Layout = {
    format: LAYOUT_FORMAT,
    ringId: layout.ringId,
    number,
    replicas: layout.replicas,
    nodes,
    voters: chooseVoters(nodes),
    table,
    from,
    since: sinceOf(table),
    fromSince: sinceOf(from),
  };
  return { next, lost };
}
