/**
 * What must hold of a table, said without knowing how tables are computed: whether a partition's copies lie as evenly in
 * zones as they can, and the least that any table with the same number of partitions per node would have had to move.
 */
import type { LayoutNode } from "../../src/core/layout-node.ts";
import type { Placement } from "../../src/core/layout-table.ts";

/** Even: no zone has two copies more than another that has a node to spare. */
export function isEven(nodes: readonly LayoutNode[], row: readonly number[]): boolean {
  const holding = holdingNodes(nodes);
  const zoneOf = (index: number): string => nodes[index]!.zone;
  const count = (zone: string): number => row.filter((index) => zoneOf(index) === zone).length;
  const spare = new Set(holding.filter((index) => !row.includes(index)).map(zoneOf));
  const most = Math.max(0, ...row.map((index) => count(zoneOf(index))));
  return [...spare].every((zone) => count(zone) >= most - 1);
}

/** The nodes, by index, that are not being drained, or all of them. */
export function holdingNodes(nodes: readonly LayoutNode[]): number[] {
  const holding = [...nodes.keys()].filter((index) => nodes[index]!.weight > 0);
  return holding.length > 0 ? holding : [...nodes.keys()];
}

/** Copies at nodes that did not hold the partition before. */
export function movesOf(before: Placement, after: Placement): number {
  return after.table.reduce((moves, row, partition) => {
    const was = before.table[partition]!.map((index) => before.nodes[index]!.id);
    return moves + row.filter((index) => !was.includes(after.nodes[index]!.id)).length;
  }, 0);
}

/**
 * The least moves from `before` to any table over the nodes of `after` in which every node holds as many partitions as
 * in `after` and all rows are even. Such a table is a minimum-cost flow, and a flow is one if no cycle of exchanges has
 * a negative cost (Klein 1967): so as long as there is such a cycle, its exchanges are made. Slow.
 */
export function leastMoves(before: Placement, after: Placement): number {
  const rows = after.table.map((row) => [...row]);
  const { nodes } = after;
  const ids = before.table.map((row) => new Set(row.map((index) => before.nodes[index]!.id)));
  const costOf = (partition: number, index: number): number => ids[partition]!.has(nodes[index]!.id) ? 0 : 1;
  for (;;) {
    const cycle = negativeCycle(nodes, cheapestExchanges(nodes, rows, costOf));
    if (!cycle) return movesOf(before, { nodes, table: rows });
    for (const { partition, from, to } of cycle) {
      const row = rows[partition]!;
      row.splice(row.indexOf(from), 1, to);
    }
    if (!cycle.every(({ partition }) => isEven(nodes, rows[partition]!))) {
      throw new Error("the exchanges of a cycle hinder each other");
    }
  }
}

interface Exchange {
  readonly partition: number;
  readonly from: number;
  readonly to: number;
  readonly cost: number;
}

/** Per pair of nodes the cheapest partition that the one could hand to the other. */
function cheapestExchanges(
  nodes: readonly LayoutNode[],
  rows: readonly (readonly number[])[],
  costOf: (partition: number, index: number) => number,
): Exchange[] {
  const best = new Map<number, Exchange>();
  const holding = holdingNodes(nodes);
  for (const [partition, row] of rows.entries()) {
    for (const from of row) {
      for (const to of holding) {
        if (row.includes(to)) continue;
        const cost = costOf(partition, to) - costOf(partition, from);
        const pair = from * nodes.length + to;
        if (cost >= (best.get(pair)?.cost ?? Infinity)) continue;
        if (isEven(nodes, row.map((index) => index === from ? to : index))) {
          best.set(pair, { partition, from, to, cost });
        }
      }
    }
  }
  return [...best.values()];
}

/** Bellman and Ford. */
function negativeCycle(
  nodes: readonly LayoutNode[],
  exchanges: readonly Exchange[],
): Exchange[] | undefined {
  const distances = nodes.map(() => 0);
  const reachedBy: (Exchange | undefined)[] = nodes.map(() => undefined);
  let last: number | undefined;
  for (let round = 0; round < nodes.length; round++) {
    last = undefined;
    for (const exchange of exchanges) {
      const distance = distances[exchange.from]! + exchange.cost;
      if (distance >= distances[exchange.to]!) continue;
      distances[exchange.to] = distance;
      reachedBy[exchange.to] = exchange;
      last = exchange.to;
    }
    if (last === undefined) return undefined;
  }
  // As many steps back as there are nodes end in the cycle.
  let start = last!;
  for (const _ of nodes) start = reachedBy[start]!.from;
  const cycle: Exchange[] = [];
  for (let node = start; cycle.length === 0 || node !== start; node = cycle.at(-1)!.from) {
    cycle.push(reachedBy[node]!);
  }
  return cycle;
}
