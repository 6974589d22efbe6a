import assert from "node:assert/strict";
import { test } from "node:test";
import { compareTables, tableState } from "../../src/core/layout-comparison.ts";
import type { LayoutNode } from "../../src/core/layout-node.ts";
import { computeTable, type Placement } from "../../src/core/layout-table.ts";
import { PARTITIONS } from "../../src/core/partitions.ts";
import { movesOf } from "../helpers/table-oracle.ts";

const node = (id: string, zone = id, weight = 1): LayoutNode => ({ id, region: "r", zone, weight });
const fill = (row: readonly number[]): number[][] => Array.from({ length: PARTITIONS }, () => [...row]);

test("compareTables finds nothing where nothing changes, in whatever order the nodes stand", () => {
  const before: Placement = { nodes: [node("a"), node("b"), node("c")], table: fill([0, 1]) };
  const after: Placement = { nodes: [node("c"), node("b"), node("a")], table: fill([2, 1]) };
  const { nodes, replicasMoved, touched, homesMoved } = compareTables(before, after);
  assert.deepEqual({ replicasMoved, touched, homesMoved }, {
    replicasMoved: 0,
    touched: [],
    homesMoved: 0,
  });
  assert.deepEqual(nodes.map(({ id, before, after }) => [id, before, after]), [
    ["a", PARTITIONS, PARTITIONS],
    ["b", PARTITIONS, PARTITIONS],
    ["c", 0, 0],
  ]);
});

test("compareTables counts copies that move, homes that change, and copies that are dropped", () => {
  const before: Placement = { nodes: [node("a"), node("b"), node("c")], table: fill([0, 1]) };
  const table = fill([0, 1]).with(3, [1, 0]).with(4, [0, 2]).with(5, [2, 0]).with(6, [0]);
  const change = compareTables(before, { nodes: [node("a"), node("b"), node("d")], table });
  assert.equal(change.replicasMoved, 2);
  assert.deepEqual(change.touched, [
    { partition: 4, before: ["a", "b"], after: ["a", "d"] },
    { partition: 5, before: ["a", "b"], after: ["d", "a"] },
    { partition: 6, before: ["a", "b"], after: ["a"] },
  ]);
  assert.equal(change.homesMoved, 2);
  assert.deepEqual(change.nodes, [
    { id: "a", before: PARTITIONS, after: PARTITIONS },
    { id: "b", before: PARTITIONS, after: PARTITIONS - 3 },
    { id: "c", before: 0, after: 0 },
    { id: "d", before: 0, after: 2 },
  ]);
});

test("tableState tells how many partitions span the zones there are, and how full the fullest node is", () => {
  const nodes = [node("a", "x"), node("b", "x"), node("c", "y"), node("d", "z", 0)];
  assert.deepEqual(tableState({ nodes, table: fill([0, 2]).with(0, [0, 1]).with(1, [1, 2]) }), {
    spread: PARTITIONS - 1,
    fullest: (PARTITIONS - 1) / (PARTITIONS / 2),
  });
});

test("compareTables agrees with the plan of a node more", () => {
  const nodes = ["a", "b", "c", "d"].map((id) => node(id));
  const before = { nodes, table: computeTable(nodes, 3) };
  const grown = [...nodes, node("e")];
  const after = { nodes: grown, table: computeTable(grown, 3, before) };
  const change = compareTables(before, after);
  assert.equal(change.replicasMoved, movesOf(before, after));
  assert.equal(change.nodes.at(-1)!.after, change.replicasMoved);
  assert.deepEqual([change.before.spread, change.after.spread], [PARTITIONS, PARTITIONS]);
  assert.ok(change.after.fullest < 1.01);
});
