import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { tableState } from "../../src/core/layout-comparison.ts";
import type { LayoutNode } from "../../src/core/layout-node.ts";
import { computeTable, type Placement } from "../../src/core/layout-table.ts";
import { feasibleShares } from "../../src/core/layout-targets.ts";
import { PARTITIONS } from "../../src/core/partitions.ts";
import { holdingNodes, isEven, leastMoves, movesOf } from "../helpers/table-oracle.ts";

/** `count` nodes in `zones` zones, of equal weight. */
function ring(count: number, zones: number): LayoutNode[] {
  return Array.from({ length: count }, (_, i) => {
    const zone = `zone${i % zones}`;
    return { id: `node${String(i).padStart(2, "0")}`, region: zone, zone, weight: 1 };
  });
}

function place(nodes: readonly LayoutNode[], replicas: number, previous?: Placement): Placement {
  return { nodes, table: computeTable(nodes, replicas, previous) };
}

function loads({ nodes, table }: Placement, ranks = Infinity): number[] {
  const counts = nodes.map(() => 0);
  for (const row of table) for (const index of row.slice(0, ranks)) counts[index]!++;
  return counts;
}

/** All that is promised of a table, whatever came before it. */
function assertSound(placement: Placement, replicas: number): void {
  const { nodes, table } = placement;
  const holding = holdingNodes(nodes);
  const copies = Math.min(replicas, holding.length);
  assert.equal(table.length, PARTITIONS);
  for (const [partition, row] of table.entries()) {
    assert.equal(row.length, copies, `partition ${partition}`);
    assert.equal(new Set(row).size, copies, `partition ${partition} has a node twice`);
    assert.ok(
      row.every((index) => holding.includes(index)),
      `partition ${partition}: a drained node holds it`,
    );
    assert.ok(isEven(nodes, row), `partition ${partition}: uneven over zones`);
  }
  const shares = feasibleShares(nodes, replicas);
  const homes = loads(placement, 1);
  for (const [index, load] of loads(placement).entries()) {
    assert.ok(Math.abs(load - shares[index]!) < 1, `node ${index}: wanted ${shares[index]}, got ${load}`);
    assert.ok(Math.abs(homes[index]! - load / copies) < 1, `node ${index}: ${homes[index]} homes of ${load}`);
  }
}

test("computeTable loads 3 to 100 equal nodes alike: three copies within 5% of the mean, homes within one", () => {
  for (let count = 3; count <= 100; count += count < 20 ? 1 : 8) {
    for (const zones of [1, count]) {
      const placement = place(ring(count, zones), 3);
      const most = Math.max(...loads(placement));
      assert.ok(most <= 1.05 * 3 * PARTITIONS / count, `${count} nodes, ${zones} zones: ${most} on one`);
      assertSound(placement, 3);
    }
  }
});

test("computeTable gives nodes their weight's share", () => {
  const nodes = ring(8, 8).map((node, i) => ({ ...node, weight: i < 4 ? 1 : 2 }));
  for (const [index, load] of loads(place(nodes, 3)).entries()) {
    const share = 3 * PARTITIONS * nodes[index]!.weight / 12;
    assert.ok(Math.abs(load - share) <= 0.05 * share, `node ${index}: wanted ${share}, got ${load}`);
  }
});

test("computeTable spreads what a lost node held over all others, and no pattern runs round the ring", () => {
  for (const [count, zones] of [[6, 6], [9, 3], [12, 12], [20, 4]] as const) {
    const { nodes, table } = place(ring(count, zones), 3);
    for (const lost of nodes.keys()) {
      const shared = nodes.map((_, other) =>
        table.filter((row) => row.includes(lost) && row.includes(other)).length
      );
      // Never with nodes of its own zone where all three copies have zones of their own.
      const partners = [...nodes.keys()].filter((other) => nodes[other]!.zone !== nodes[lost]!.zone);
      const mean = partners.reduce((sum, other) => sum + shared[other]!, 0) / partners.length;
      for (const other of partners) {
        assert.ok(
          shared[other]! < 1.6 * mean + 5,
          `${count}: ${lost} and ${other} share ${shared[other]} of ${mean}`,
        );
      }
    }
    const alike = table.filter((row, i) =>
      row.every((index) => table[(i + 1) % PARTITIONS]!.includes(index))
    );
    assert.ok(
      alike.length < PARTITIONS / 8,
      `${count} nodes: ${alike.length} neighbours have the same holders`,
    );
  }
});

const weights = fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 9 }), fc.constantFrom(0, 0.3, 100));
const zoneNames = fc.nat(4).map((n) => `z${n}`);
const nodeLists = fc.array(fc.record({ zone: zoneNames, weight: weights }), { minLength: 1, maxLength: 9 });

type Change =
  | {
    readonly kind: "add" | "replace" | "reweigh" | "rezone";
    readonly at: number;
    readonly zone: string;
    readonly weight: number;
  }
  | { readonly kind: "remove"; readonly at: number }
  | { readonly kind: "replicas"; readonly replicas: number };

const changes: fc.Arbitrary<Change> = fc.oneof(
  fc.record({
    kind: fc.constantFrom("add", "replace", "reweigh", "rezone"),
    at: fc.nat(8),
    zone: zoneNames,
    weight: weights,
  }),
  fc.record({ kind: fc.constant("remove"), at: fc.nat(8) }),
  fc.record({ kind: fc.constant("replicas"), replicas: fc.constantFrom(1, 2, 3, 5) }),
);

function changed(nodes: readonly LayoutNode[], change: Change, freshId: string): LayoutNode[] {
  if (change.kind === "replicas") return [...nodes];
  const at = change.at % nodes.length;
  if (change.kind === "remove") return nodes.length === 1 ? [...nodes] : nodes.toSpliced(at, 1);
  const { zone, weight } = change;
  const fresh = { id: freshId, region: "r", zone, weight };
  switch (change.kind) {
    case "add":
      return nodes.toSpliced(at, 0, fresh);
    case "replace":
      return nodes.with(at, fresh);
    case "reweigh":
      return nodes.with(at, { ...nodes[at]!, weight });
    case "rezone":
      return nodes.with(at, { ...nodes[at]!, zone });
  }
}

test("computeTable is sound after any changes, one or several at once, and moves hardly more than the least", () => {
  fc.assert(
    fc.property(
      nodeLists,
      fc.constantFrom(1, 3, 5),
      fc.array(fc.array(changes, { minLength: 1, maxLength: 3 }), { maxLength: 3 }),
      (list, wanted, steps) => {
        let replicas: number = wanted;
        let fresh = 0;
        let nodes: LayoutNode[] = list.map(({ zone, weight }) => ({
          id: `n${fresh++}`,
          region: "r",
          zone,
          weight,
        }));
        let now = place(nodes, replicas);
        assertSound(now, replicas);
        for (const step of steps) {
          for (const change of step) {
            nodes = changed(nodes, change, `n${fresh++}`);
            if (change.kind === "replicas") replicas = change.replicas;
          }
          const next = place(nodes, replicas, now);
          assertSound(next, replicas);
          assert.deepEqual(computeTable(nodes, replicas, next), next.table, "it settles at once");
          const [moves, least] = [movesOf(now, next), leastMoves(now, next)];
          assert.ok(moves <= 1.1 * least + 1, `moved ${moves}, ${least} would have done`);
          now = next;
        }
      },
    ),
    { numRuns: 40 },
  );
});

test("computeTable for one node more moves to it what it is to hold, for one less what that held: 3 to 100 nodes", () => {
  for (let count = 3; count <= 100; count += count < 12 ? 1 : 11) {
    for (const zones of [1, count]) {
      const before = place(ring(count, zones), 3);
      const more = place(
        [...before.nodes, { id: "x", region: "x", zone: zones === 1 ? "zone0" : "x", weight: 1 }],
        3,
        before,
      );
      const share = 3 * PARTITIONS / (count + 1);
      assert.ok(movesOf(before, more) <= 1.1 * share, `${count} nodes: ${movesOf(before, more)} of ${share}`);
      assertSound(more, 3);
      for (const lost of [0, count - 1]) {
        const less = place(before.nodes.toSpliced(lost, 1), 3, before);
        const held = count === 3 ? 0 : loads(before)[lost]!;
        assert.ok(movesOf(before, less) <= 1.1 * held, `${count} nodes: ${movesOf(before, less)} of ${held}`);
        assertSound(less, 3);
      }
    }
  }
});

test("computeTable from 1 to 3 to 5 to 3 replicas only adds copies, then only drops some, and homes stay", () => {
  for (const [count, zones] of [[5, 5], [9, 3], [12, 6], [30, 30]] as const) {
    let now = place(ring(count, zones), 1);
    for (const replicas of [3, 5, 3]) {
      const next = place(now.nodes, replicas, now);
      assertSound(next, replicas);
      const added = Math.max(0, replicas - now.table[0]!.length);
      assert.equal(movesOf(now, next), PARTITIONS * added, `${count} nodes, ${replicas} replicas`);
      const moved = next.table.filter((row, partition) => row[0] !== now.table[partition]![0]).length;
      assert.ok(moved <= count, `${count} nodes, ${replicas} replicas: ${moved} homes moved`);
      now = next;
    }
  }
});

test("computeTable keeps order where it can: a new node becomes home only of its part, a lost home's place goes to a holder", () => {
  const before = place(ring(9, 9), 3);
  const grown = place([...before.nodes, { id: "x", region: "x", zone: "x", weight: 1 }], 3, before);
  const moved = grown.table.filter((row, partition) => row[0] !== before.table[partition]![0]).length;
  assert.ok(moved <= 1.1 * PARTITIONS / 10 + 9, `${moved} homes moved`);
  const nodes = before.nodes.toSpliced(0, 1);
  const shrunk = place(nodes, 3, before);
  for (const [partition, row] of shrunk.table.entries()) {
    const was = before.table[partition]!.map((index) => before.nodes[index]!.id);
    const is = row.map((index) => nodes[index]!.id);
    assert.ok(was.includes(is[0]!), `partition ${partition}: its home is one that has nothing of it`);
  }
});

test("computeTable empties a drained node, and moves only what it held", () => {
  const before = place(ring(6, 6), 3);
  const nodes = before.nodes.map((node, i) => i === 2 ? { ...node, weight: 0 } : node);
  const after = place(nodes, 3, before);
  assertSound(after, 3);
  assert.equal(loads(after)[2], 0);
  assert.equal(movesOf(before, after), loads(before)[2]);
  const back = place(before.nodes, 3, after);
  assert.ok(movesOf(after, back) <= loads(before)[2]! + 1);
});

test("computeTable moves no data when only the order of the nodes changes", () => {
  const before = place(ring(10, 4), 3);
  const nodes = before.nodes.toReversed();
  const after = place(nodes, 3, before);
  assert.deepEqual(after.table, before.table.map((row) => row.map((index) => 9 - index)));
});

test("computeTable copes with 1,000 nodes in any number of zones", () => {
  for (const zones of [1, 3, 1000]) {
    const before = place(ring(1000, zones), 3);
    const after = place(before.nodes.slice(1), 3, before);
    const { spread } = tableState(after);
    assert.equal(spread, PARTITIONS);
    assert.ok(Math.max(...loads(after)) <= 4);
    assert.ok(movesOf(before, after) <= loads(before)[0]! + 3);
  }
});
