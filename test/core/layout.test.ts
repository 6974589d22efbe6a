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
} from "../../src/core/layout.ts";
import { computeTable } from "../../src/core/layout-table.ts";
import { chooseVoters } from "../../src/core/layout-voters.ts";
import { partitionOf, PARTITIONS } from "../../src/core/partitions.ts";

/** `count` nodes in `zones` zones, of equal weight. */
function ring(count: number, zones: number): LayoutNode[] {
  return Array.from({ length: count }, (_, i) => {
    const zone = `zone${i % zones}`;
    return { id: `node${String(i).padStart(2, "0")}`, region: zone, zone, weight: 1 };
  });
}

function loads(nodes: readonly LayoutNode[], table: readonly (readonly number[])[]): number[] {
  return nodes.map((_, index) => table.filter((row) => row.includes(index)).length);
}

function assertDistinctZones(
  nodes: readonly LayoutNode[],
  table: readonly (readonly number[])[],
  replicas: number,
): void {
  const zones = new Set(nodes.map((node) => node.zone)).size;
  for (const row of table) {
    assert.equal(new Set(row).size, Math.min(replicas, nodes.length));
    assert.equal(new Set(row.map((index) => nodes[index]!.zone)).size, Math.min(zones, row.length));
  }
}

test("computeTable loads 3 to 20 equal nodes alike: replicas and homes within 5% of the mean", () => {
  for (let count = 3; count <= 20; count++) {
    for (const zones of [1, count]) {
      const nodes = ring(count, zones);
      const table = computeTable(nodes, 3);
      const most = Math.max(...loads(nodes, table));
      assert.ok(
        most <= 1.05 * 3 * PARTITIONS / count,
        `${count} nodes, ${zones} zones: ${most} replicas on one`,
      );
      const homes = Math.max(...loads(nodes, table.map((row) => row.slice(0, 1))));
      assert.ok(homes <= 1.05 * PARTITIONS / count, `${count} nodes, ${zones} zones: ${homes} homes on one`);
      assertDistinctZones(nodes, table, 3);
    }
  }
});

test("computeTable loads equal zones alike", () => {
  for (const [count, zones] of [[6, 3], [9, 3], [8, 4], [20, 5], [12, 2]] as const) {
    const nodes = ring(count, zones);
    const table = computeTable(nodes, 3);
    const most = Math.max(...loads(nodes, table));
    assert.ok(most <= 1.05 * 3 * PARTITIONS / count, `${count} nodes in ${zones} zones: ${most}`);
    assertDistinctZones(nodes, table, 3);
  }
});

test("computeTable gives nodes their weight's share", () => {
  const nodes = ring(8, 8).map((node, i) => ({ ...node, weight: i < 4 ? 1 : 2 }));
  for (const [index, load] of loads(nodes, computeTable(nodes, 3)).entries()) {
    const share = 3 * PARTITIONS * nodes[index]!.weight / 12;
    assert.ok(Math.abs(load - share) <= 0.05 * share, `node ${index}: wanted ${share}, got ${load}`);
  }
});

test("computeTable keeps replicas in distinct zones, however the nodes lie in them", () => {
  const nodeLists = fc.array(fc.record({ zone: fc.nat(4), weight: fc.integer({ min: 1, max: 9 }) }), {
    minLength: 1,
    maxLength: 9,
  });
  fc.assert(
    fc.property(nodeLists, fc.constantFrom(1, 3, 5), (list, replicas) => {
      const nodes = list.map(({ zone, weight }, i) => ({
        id: `n${i}`,
        region: "r",
        zone: `z${zone}`,
        weight,
      }));
      assertDistinctZones(nodes, computeTable(nodes, replicas), replicas);
    }),
    { numRuns: 30 },
  );
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

test("chooseVoters takes an odd number, at most seven, over as many zones as it can", () => {
  const counts = Array.from({ length: 12 }, (_, i) => chooseVoters(ring(i + 1, 3)).length);
  assert.deepEqual(counts, [1, 1, 3, 3, 5, 5, 7, 7, 7, 7, 7, 7]);
  const crowded = [...ring(9, 1), { id: "x", region: "x", zone: "x", weight: 1 }, {
    id: "y",
    region: "y",
    zone: "y",
    weight: 1,
  }];
  const voters = chooseVoters(crowded);
  assert.equal(new Set(voters).size, 7);
  assert.ok(voters.includes("x") && voters.includes("y"));
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
