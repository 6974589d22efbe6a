import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  foundingLayout,
  type Layout,
  type LayoutNode,
  layoutProblem,
  replicasOf,
  replicasOfPartition,
  sameLayout,
} from "../../src/core/layout.ts";
import { partitionOf } from "../../src/core/partitions.ts";

/** `count` nodes in `zones` zones, of equal weight. */
function ring(count: number, zones: number): LayoutNode[] {
  return Array.from({ length: count }, (_, i) => {
    const zone = `zone${i % zones}`;
    return { id: `node${String(i).padStart(2, "0")}`, region: zone, zone, weight: 1 };
  });
}

test("sameLayout sees past the order of fields, and nothing else", () => {
  const nodes = [{ id: "a", region: "r", zone: "z", weight: 1 }];
  const layout = foundingLayout("ring", 1, nodes);
  const { table, ...rest } = layout;
  const turned = { table, ...rest, nodes: [{ weight: 1, zone: "z", region: "r", id: "a" }] };
  assert.ok(sameLayout(layout, turned));
  for (
    const other of [
      { ...layout, number: 2 },
      { ...layout, from: table },
      { ...layout, since: table },
      { ...layout, leaving: ["a"] },
      { ...layout, nodes: [{ ...nodes[0]!, weight: 2 }] },
    ]
  ) assert.equal(sameLayout(layout, other), false);
});

test("foundingLayout is the same in whatever order the members come", () => {
  const members = ring(7, 3);
  const wanted = foundingLayout("ring", 3, members);
  assert.equal(layoutProblem(wanted), undefined);
  assert.deepEqual(wanted.nodes.map((node) => node.id), members.map((node) => node.id).sort());
  fc.assert(
    fc.property(fc.shuffledSubarray(members, { minLength: 7 }), (shuffled) => {
      assert.deepEqual(foundingLayout("ring", 3, shuffled), wanted);
    }),
    { numRuns: 20 },
  );
});

test("foundingLayout of fewer nodes than replicas keeps as many copies as it has nodes", () => {
  for (const count of [1, 2]) {
    const layout = foundingLayout("ring", 3, ring(count, count));
    assert.equal(layoutProblem(layout), undefined);
    assert.ok(layout.table.every((row) => row.length === count));
  }
});

test("replicasOf names the replicas of the name's partition, home first", () => {
  const layout = foundingLayout("ring", 3, ring(5, 5));
  for (const name of ["bucket\0key", "bucket\0other", "_locks\0a"]) {
    const replicas = replicasOf(layout, name);
    assert.deepEqual(replicas, replicasOfPartition(layout, partitionOf(name)));
    assert.equal(replicas[0], layout.nodes[layout.table[partitionOf(name)]![0]!]!.id);
  }
});

const mutations: Record<string, { change: (layout: Layout) => object; problem: RegExp }> = {
  "another format": { change: () => ({ format: 3 as 2 }), problem: /wanted format 1 or 2, got 3/ },
  "a missing partition": {
    change: ({ table }) => ({ table: table.slice(1) }),
    problem: /wanted 1024 partitions, got 1023/,
  },
  "a partition too many": { change: ({ table }) => ({ table: [...table, [0, 1, 2]] }), problem: /got 1025/ },
  "a node twice": { change: ({ nodes }) => ({ nodes: [...nodes.slice(1), nodes[1]!] }), problem: /twice/ },
  "a voter from elsewhere": { change: () => ({ voters: ["nobody"] }), problem: /voter nobody/ },
  "a replica too few": {
    change: ({ table }) => ({ table: table.with(7, [0, 1]) }),
    problem: /partition 7 has 2 replicas/,
  },
  "a replica too many": {
    change: ({ table }) => ({ table: table.with(7, [0, 1, 2, 3]) }),
    problem: /partition 7/,
  },
  "a replica twice": {
    change: ({ table }) => ({ table: table.with(1023, [0, 1, 1]) }),
    problem: /partition 1023/,
  },
  "a replica beyond the nodes": {
    change: ({ table }) => ({ table: table.with(0, [0, 1, 5]) }),
    problem: /partition 0/,
  },
  "a negative replica": {
    change: ({ table }) => ({ table: table.with(0, [0, 1, -1]) }),
    problem: /partition 0/,
  },
  "a fractional replica": {
    change: ({ table }) => ({ table: table.with(0, [0, 1, 1.5]) }),
    problem: /partition 0/,
  },
  "another number of replicas": { change: () => ({ replicas: 5 }), problem: /partition 0 has 3 replicas/ },
};

for (const [name, { change, problem }] of Object.entries(mutations)) {
  test(`layoutProblem finds ${name}`, () => {
    const layout = foundingLayout("ring", 3, ring(5, 5));
    assert.match(layoutProblem({ ...layout, ...change(layout) }) ?? "no problem", problem);
  });
}
