/**
 * `npm run bench:layout`: how well tables of owners are balanced, how little they move and how long they take, as the worst
 * of many cases each. The same cases every time; ends with 1 if a bound does not hold.
 */
import { tableState } from "../../src/core/layout-comparison.ts";
import type { LayoutNode } from "../../src/core/layout-node.ts";
import { computeTable, type Placement } from "../../src/core/layout-table.ts";
import { feasibleShares } from "../../src/core/layout-targets.ts";
import { PARTITIONS } from "../../src/core/partitions.ts";
import { createSeededRandom } from "../helpers/fake-random.ts";
import { leastMoves, movesOf } from "../helpers/table-oracle.ts";
import { table } from "./report.ts";

const random = createSeededRandom(1);
const COPIES = 3;

type Zoning = "a zone each" | "3 zones" | "one zone" | "random zones";
type Weighting = "equal" | "1 to 4";

let ids = 0;
function node(zoning: Zoning, weighting: Weighting, zones: number): LayoutNode {
  const number = ids++;
  const zone = {
    "a zone each": number,
    "3 zones": number % 3,
    "one zone": 0,
    "random zones": random.below(zones),
  }[zoning];
  const weight = weighting === "equal" ? 1 : 1 + random.below(4);
  return { id: `n${number}`, region: "r", zone: `z${zone}`, weight };
}

function ring(count: number, zoning: Zoning, weighting: Weighting): LayoutNode[] {
  ids = 0;
  const zones = 1 + random.below(count);
  return Array.from({ length: count }, () => node(zoning, weighting, zones));
}

function place(nodes: readonly LayoutNode[], replicas: number, previous?: Placement): Placement {
  return { nodes, table: computeTable(nodes, replicas, previous) };
}

function loadsOf({ nodes, table }: Placement): number[] {
  const loads = nodes.map(() => 0);
  for (const row of table) for (const index of row) loads[index]!++;
  return loads;
}

interface Row {
  readonly what: string;
  readonly cases: readonly number[];
  readonly bound: number;
  readonly least?: boolean;
  readonly digits?: number;
}

const counts = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

function balanceRows(): Row[] {
  const ranges = [[3, 10], [11, 30], [31, 100]] as const;
  const equal = ranges.map(([from, to]) => ({
    what: `fullest / mean, ${from} to ${to} equal nodes, a zone each or one zone`,
    cases: counts(from, to).flatMap((count) =>
      (["a zone each", "one zone"] as const).map((zoning) =>
        Math.max(...loadsOf(place(ring(count, zoning, "equal"), COPIES))) / (COPIES * PARTITIONS / count)
      )
    ),
    bound: 1.05,
  }));
  const zoned = ranges.map(([from, to]) => ({
    what: `fullest / its share, ${from} to ${to} equal nodes, random zones`,
    cases: counts(from, to).flatMap((count) =>
      [1, 2, 3].map(() => tableState(place(ring(count, "random zones", "equal"), COPIES)).fullest)
    ),
    bound: 1.05,
  }));
  const weighted = ranges.map(([from, to]) => ({
    what: `off its share, ${from} to ${to} nodes of weights 1 to 4, any zones`,
    cases: counts(from, to).flatMap((count) =>
      (["a zone each", "one zone", "random zones"] as const).map((zoning) => {
        const placement = place(ring(count, zoning, "1 to 4"), COPIES);
        const shares = feasibleShares(placement.nodes, COPIES);
        return Math.max(...loadsOf(placement).map((load, i) => Math.abs(load - shares[i]!) / shares[i]!));
      })
    ),
    bound: 0.05,
    digits: 3,
  }));
  const spread = {
    what: "partitions in distinct zones, or in all, of 1,024: 3 to 100 nodes, random zones and weights",
    cases: counts(3, 100).map((count) =>
      tableState(place(ring(count, "random zones", "1 to 4"), COPIES)).spread
    ),
    bound: PARTITIONS,
    least: true,
    digits: 0,
  };
  return [...equal, ...zoned, ...weighted, spread];
}

/** Against the plainest bound: a new node's share, what a lost node held. */
function oneNodeRows(): Row[] {
  const zonings = ["a zone each", "one zone", "3 zones"] as const;
  return zonings.flatMap((zoning) => {
    const [added, removed]: [number[], number[]] = [[], []];
    // In three zones, a fourth node for one of them at least: of fewer each zone is one node, and none can take its place.
    for (const count of counts(zoning === "3 zones" ? 6 : 4, 100)) {
      const before = place(ring(count, zoning, "equal"), COPIES);
      const nodes = [...before.nodes, node(zoning, "equal", 0)];
      added.push(movesOf(before, place(nodes, COPIES, before)) / feasibleShares(nodes, COPIES).at(-1)!);
      const lost = random.below(count);
      const after = place(before.nodes.toSpliced(lost, 1), COPIES, before);
      removed.push(movesOf(before, after) / loadsOf(before)[lost]!);
    }
    return [
      { what: `moves / share of the node added, equal nodes, ${zoning}`, cases: added, bound: 1.1 },
      { what: `moves / load of the node removed, equal nodes, ${zoning}`, cases: removed, bound: 1.1 },
    ];
  });
}

/** Against the cheapest table of the same counts, which takes long to find: what zones force is in it. */
function anyChangeRows(): Row[] {
  const fresh = (): LayoutNode => ({ ...node("random zones", "1 to 4", 5), id: `fresh${ids++}` });
  const changes: Record<string, (nodes: readonly LayoutNode[]) => LayoutNode[]> = {
    "a node added": (nodes) => [...nodes, fresh()],
    "a node removed": (nodes) => nodes.toSpliced(random.below(nodes.length), 1),
    "a node replaced": (nodes) => nodes.with(random.below(nodes.length), fresh()),
    "three nodes added": (nodes) => [...nodes, fresh(), fresh(), fresh()],
    "a weight changed": (nodes) => {
      const at = random.below(nodes.length);
      return nodes.with(at, { ...nodes[at]!, weight: random.below(5) });
    },
    "a zone changed": (nodes) => {
      const at = random.below(nodes.length);
      return nodes.with(at, { ...nodes[at]!, zone: fresh().zone });
    },
  };
  const changed = Object.entries(changes).map(([name, change]) => ({
    what: `moves / least, 4 to 16 nodes, random zones and weights: ${name}`,
    cases: counts(4, 16).flatMap((count) =>
      [1, 2].map(() => {
        const before = place(ring(count, "random zones", "1 to 4"), COPIES);
        return excess(before, place(change(before.nodes), COPIES, before));
      })
    ),
    bound: 1.1,
  }));
  const replicas: number[] = [];
  for (const count of counts(4, 16)) {
    let before = place(ring(count, "random zones", "1 to 4"), 1);
    for (const wanted of [3, 5, 3]) {
      const after = place(before.nodes, wanted, before);
      replicas.push(excess(before, after));
      before = after;
    }
  }
  return [...changed, {
    what: "moves / least, the same, from 1 to 3 to 5 to 3 replicas",
    cases: replicas,
    bound: 1.1,
  }];
}

function excess(before: Placement, after: Placement): number {
  const moves = movesOf(before, after);
  return moves === 0 ? 1 : moves / leastMoves(before, after);
}

function timeRows(): Row[] {
  const times = new Map<string, number[]>();
  const timed = (
    what: string,
    nodes: readonly LayoutNode[],
    replicas: number,
    previous?: Placement,
  ): Placement => {
    const startedMs = performance.now();
    const placement = place(nodes, replicas, previous);
    times.set(what, [...(times.get(what) ?? []), (performance.now() - startedMs) / 1_000]);
    return placement;
  };
  for (const zoning of ["one zone", "3 zones", "random zones", "a zone each"] as const) {
    for (const weighting of ["equal", "1 to 4"] as const) {
      const nodes = ring(1_000, zoning, weighting);
      const first = timed("the first table", nodes, COPIES);
      const more = timed("a node added", [...nodes, node(zoning, weighting, 500)], COPIES, first);
      const less = timed("100 nodes removed", more.nodes.slice(100), COPIES, more);
      const again = ring(1_000, zoning, "1 to 4").slice(100, 1_000);
      const weights = less.nodes.map((one, i) => ({ ...one, weight: again[i % 900]!.weight }));
      const heavy = timed("all weights changed", weights, COPIES, less);
      const five = timed("from 3 to 5 replicas", heavy.nodes, 5, heavy);
      timed("from 5 to 3 replicas", five.nodes, 3, five);
    }
  }
  return [...times].map(([what, cases]) => ({ what: `seconds, 1,000 nodes: ${what}`, cases, bound: 1 }));
}

function line({ what, cases, bound, least = false, digits = 3 }: Row): string[] {
  const worst = least ? Math.min(...cases) : Math.max(...cases);
  const mean = cases.reduce((sum, value) => sum + value, 0) / cases.length;
  const holds = least ? worst >= bound : worst <= bound;
  if (!holds) process.exitCode = 1;
  return [
    what,
    String(cases.length),
    mean.toFixed(digits),
    worst.toFixed(digits),
    `${least ? "≥" : "≤"} ${bound}`,
    holds ? "holds" : "BROKEN",
  ];
}

const rows = [...balanceRows(), ...oneNodeRows(), ...anyChangeRows(), ...timeRows()];
console.log(`tables of ${PARTITIONS} partitions, ${COPIES} copies of each\n`);
console.log(table([["", "cases", "mean", "worst", "bound", ""], ...rows.map(line)]));
