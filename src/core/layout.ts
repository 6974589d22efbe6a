/**
 * Layouts: numbered documents that say who owns what.
 *
 * The table of owners is computed once, by whoever proposes the layout, and is part of the document, so nodes never
 * disagree about it. The order of preference: replicas in distinct zones, then load by weight, then the least change.
 */
import { copiesOf, type LayoutNode, NODES_MAX } from "./layout-node.ts";
import { computeTable } from "./layout-table.ts";
import { chooseVoters } from "./layout-voters.ts";
import type { Name } from "./names.ts";
import { partitionOf, PARTITIONS } from "./partitions.ts";

export type { LayoutNode } from "./layout-node.ts";

/** 2: a layout may be moving. One of format 1 is the same without. */
export const LAYOUT_FORMAT = 2;

export interface Layout {
  readonly format: 1 | typeof LAYOUT_FORMAT;
  /** Random, chosen by the founders: nodes of different rings refuse each other. */
  readonly ringId: string;
  readonly number: number;
  /** Copies wanted of each partition; a ring of fewer nodes keeps as many as it has nodes. */
  readonly replicas: number;
  /** In order of id. */
  readonly nodes: readonly LayoutNode[];
  /** Who decides on the next layout. */
  readonly voters: readonly string[];
  /** Per partition the indexes into `nodes` of its replicas; the first is the home. */
  readonly table: Table;
  /**
   * While replicas move: the table of the last settled layout, by the same indexes. Until every new set has what the old
   * one had, a register needs a majority of both.
   */
  readonly from?: Table | undefined;
  /**
   * Along with `table` and `from`: the number of the layout since which each of them is a replica of that partition without
   * a break. None: since the ring was founded.
   */
  readonly since?: Table | undefined;
  readonly fromSince?: Table | undefined;
  /** Nodes that are no longer named once it has settled. */
  readonly leaving?: readonly string[] | undefined;
}

export type Table = readonly (readonly number[])[];

/** The first layout of a ring; deterministic in its arguments. */
export function foundingLayout(ringId: string, replicas: number, members: readonly LayoutNode[]): Layout {
  const nodes = [...members].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  return {
    format: LAYOUT_FORMAT,
    ringId,
    number: 1,
    replicas,
    nodes,
    voters: chooseVoters(nodes),
    table: computeTable(nodes, replicas),
  };
}

/** The ids of a name's replicas, home first. */
export function replicasOf(layout: Layout, name: Name): string[] {
  return replicasOfPartition(layout, partitionOf(name));
}

export function replicasOfPartition(layout: Layout, partition: number): string[] {
  return layout.table[partition]!.map((index) => layout.nodes[index]!.id);
}

/**
 * The sets a majority of each of which decides on a partition's registers: one, or while its replicas move the old one and
 * the new one, in this order.
 */
export function setsOfPartition(layout: Layout, partition: number): string[][] {
  const set = replicasOfPartition(layout, partition);
  const old = layout.from?.[partition]?.map((index) => layout.nodes[index]!.id);
  return old && !sameMembers(old, set) ? [old, set] : [set];
}

/** Since which layout the node is a replica of the partition, in either table; undefined where it is none. */
export function replicaSince(layout: Layout, partition: number, id: string): number | undefined {
  const { nodes, table, from, since, fromSince } = layout;
  const place = (rows: Table | undefined): number =>
    rows ? rows[partition]!.findIndex((index) => nodes[index]!.id === id) : -1;
  const at = place(table);
  if (at !== -1) return since?.[partition]?.[at] ?? 0;
  const before = place(from);
  return before === -1 ? undefined : fromSince?.[partition]?.[before] ?? 0;
}

export function sameMembers<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((one) => b.includes(one));
}

/** Whether they say the same, in whatever order their fields came: a layout that was away comes back in another. */
export function sameLayout(a: Layout, b: Layout): boolean {
  const isAlike = (key: "table" | "from" | "since" | "fromSince"): boolean => sameTable(a[key], b[key]);
  return isAlike("table") && isAlike("from") && isAlike("since") && isAlike("fromSince") &&
    textBesideTables(a) === textBesideTables(b);
}

function sameTable(a: Table | undefined, b: Table | undefined): boolean {
  if (!a || !b) return a === b;
  return a.length === b.length &&
    a.every((row, at) =>
      row.length === b[at]!.length && row.every((index, place) => index === b[at]![place])
    );
}

function textBesideTables(layout: Layout): string {
  const { table: _, from: _from, since: _since, fromSince: _fromSince, ...rest } = layout;
  return JSON.stringify(rest, keysInOrder);
}

/** The partitions a node is a replica of, in either table. */
export function partitionsOf(layout: Layout, id: string): number[] {
  return [...layout.table.keys()].filter((partition) =>
    setsOfPartition(layout, partition).some((set) => set.includes(id))
  );
}

/** The other nodes in ring order from the partition on: who holds its chunks for a replica that is down. */
export function successorsOfPartition(layout: Layout, partition: number): string[] {
  const { nodes } = layout;
  const replicas = layout.table[partition]!;
  return nodes.map((_, step) => (partition + step) % nodes.length)
    .filter((index) => !replicas.includes(index))
    .map((index) => nodes[index]!.id);
}

/** Why a document cannot be a layout, or undefined. */
export function layoutProblem(layout: Layout): string | undefined {
  if (layout.format !== 1 && layout.format !== LAYOUT_FORMAT) {
    return `wanted format 1 or ${LAYOUT_FORMAT}, got ${String(layout.format)}`;
  }
  if (layout.nodes.length > NODES_MAX) return `wanted at most ${NODES_MAX} nodes, got ${layout.nodes.length}`;
  const ids = new Set(layout.nodes.map((node) => node.id));
  if (ids.size !== layout.nodes.length) return "a node stands in it twice";
  const stranger = layout.voters.find((id) => !ids.has(id));
  if (stranger !== undefined) return `voter ${stranger} is not a node of it`;
  const unknown = layout.leaving?.find((id) => !ids.has(id));
  if (unknown !== undefined) return `${unknown} leaves it and is not a node of it`;
  const copies = copiesOf(layout.nodes, layout.replicas);
  return tableProblem(layout, layout.table, copies) ?? (layout.from && tableProblem(layout, layout.from));
}

/** `copies`: as many as the layout wants; a table that is moved away from may have any number of them. */
function tableProblem({ nodes }: Layout, table: Table, copies?: number): string | undefined {
  if (table.length !== PARTITIONS) return `wanted ${PARTITIONS} partitions, got ${table.length}`;
  for (const [partition, row] of table.entries()) {
    if (row.length !== (copies ?? row.length) || row.length < 1 || hasTwins(row)) {
      return `partition ${partition} has ${row.length} replicas`;
    }
    if (row.some((index) => nodes[index] === undefined)) return `partition ${partition} names no node`;
  }
  return undefined;
}

/** Rows are short, and there are many of them: cheaper than a set of each. */
function hasTwins(row: readonly number[]): boolean {
  return row.some((index, at) => row.indexOf(index) !== at);
}

function keysInOrder(_: string, value: unknown): unknown {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
