import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { LayoutNode } from "../../src/core/layout-node.ts";
import { feasibleShares, targetsOf } from "../../src/core/layout-targets.ts";
import { PARTITIONS } from "../../src/core/partitions.ts";

function nodesOf(list: readonly (readonly [zone: string, weight: number])[]): LayoutNode[] {
  return list.map(([zone, weight], i) => ({ id: `n${i}`, region: "r", zone, weight }));
}

const P = PARTITIONS;
const cases: { name: string; nodes: [string, number][]; replicas: number; shares: number[] }[] = [
  { name: "by weight", nodes: [["a", 1], ["b", 1], ["c", 2]], replicas: 1, shares: [P / 4, P / 4, P / 2] },
  {
    name: "no more than every partition once",
    nodes: [["a", 1], ["b", 1], ["c", 9]],
    replicas: 2,
    shares: [P / 2, P / 2, P],
  },
  {
    name: "two big zones and a tiny one: each holds every partition",
    nodes: [["a", 10], ["a", 10], ["b", 10], ["b", 30], ["c", 1]],
    replicas: 3,
    shares: [P / 2, P / 2, P / 4, 3 * P / 4, P],
  },
  {
    name: "a zone that reaches its bound leaves the rest to the others, by weight",
    nodes: [["a", 6], ["a", 6], ["b", 1], ["c", 1], ["d", 2]],
    replicas: 2,
    shares: [P / 2, P / 2, P / 4, P / 4, P / 2],
  },
  {
    name: "more copies than zones: each zone one, then by weight up to two",
    nodes: [["a", 1], ["a", 1], ["a", 1], ["b", 1]],
    replicas: 3,
    shares: [2 * P / 3, 2 * P / 3, 2 * P / 3, P],
  },
  { name: "drained", nodes: [["a", 0], ["b", 1], ["c", 1]], replicas: 3, shares: [0, P, P] },
  { name: "all drained: none is", nodes: [["a", 0], ["b", 0]], replicas: 1, shares: [P / 2, P / 2] },
];

for (const { name, nodes, replicas, shares } of cases) {
  test(`feasibleShares: ${name}`, () => {
    const got = feasibleShares(nodesOf(nodes), replicas);
    for (const [i, share] of got.entries()) assert.ok(Math.abs(share - shares[i]!) < 1e-6, `${got}`);
  });
}

const nodeLists = fc.array(
  fc.tuple(
    fc.nat(6).map((n) => `z${n}`),
    fc.oneof(
      fc.constant(0),
      fc.constant(1),
      fc.integer({ min: 1, max: 9 }),
      fc.constantFrom(0.001, 1e5, 1e-12),
    ),
  ),
  { minLength: 1, maxLength: 20 },
).map(nodesOf);

test("feasibleShares favours no node over another that could take from it", () => {
  fc.assert(
    fc.property(nodeLists, fc.integer({ min: 1, max: 7 }), (nodes, replicas) => {
      const holding = nodes.filter((node) => node.weight > 0).length || nodes.length;
      const weightOf = (i: number): number => {
        const most = Math.max(...nodes.map((node) => node.weight));
        return most === 0 ? 1 : nodes[i]!.weight === 0 ? 0 : Math.max(nodes[i]!.weight / most, 1e-9);
      };
      const copies = Math.min(replicas, holding);
      const shares = feasibleShares(nodes, replicas);
      const total = shares.reduce((sum, share) => sum + share, 0);
      assert.ok(Math.abs(total - P * copies) < 1e-4, `together ${total}`);
      // As many copies of a partition in each zone as the evenest spread has, dealt one by one.
      const sizes = new Map<string, number>();
      for (const [i, { zone }] of nodes.entries()) {
        if (weightOf(i) > 0) sizes.set(zone, (sizes.get(zone) ?? 0) + 1);
      }
      const dealt = new Map([...sizes.keys()].map((zone) => [zone, 0]));
      let left = copies;
      let open = [...sizes.keys()];
      while (open.length <= left && left > 0) {
        for (const zone of open) dealt.set(zone, dealt.get(zone)! + 1);
        left -= open.length;
        open = open.filter((zone) => dealt.get(zone)! < sizes.get(zone)!);
      }
      const held = (zone: string): number =>
        nodes.reduce((sum, node, i) => sum + (node.zone === zone ? shares[i]! : 0), 0);
      const atLeast = (zone: string): boolean => held(zone) <= P * dealt.get(zone)! + 1e-4;
      const atMost = (zone: string): boolean =>
        held(zone) >= P * (dealt.get(zone)! + (open.includes(zone) ? 1 : 0)) - 1e-4;
      for (const [i, a] of nodes.entries()) {
        assert.ok(shares[i]! <= P && (weightOf(i) > 0 || shares[i] === 0));
        for (const [j, b] of nodes.entries()) {
          if (weightOf(i) === 0 || weightOf(j) === 0) continue;
          if (shares[i]! / weightOf(i) <= shares[j]! / weightOf(j) * (1 + 1e-6) + 1e-6) continue;
          const full = shares[j]! >= P - 1e-6;
          const zonesForbid = a.zone !== b.zone && (atLeast(a.zone) || atMost(b.zone));
          assert.ok(full || zonesForbid, `${i} has ${shares[i]}, ${j} has ${shares[j]}`);
        }
      }
    }),
    { numRuns: 300 },
  );
});

test("targetsOf rounds shares to either side, adds up, and settles", () => {
  fc.assert(
    fc.property(nodeLists, fc.integer({ min: 1, max: 7 }), fc.array(fc.nat(P)), (nodes, replicas, loads) => {
      const held = nodes.map((_, i) => loads[i] ?? 0);
      const shares = feasibleShares(nodes, replicas);
      const targets = targetsOf(nodes, replicas, held);
      for (const [i, share] of shares.entries()) assert.ok(Math.abs(targets[i]! - share) < 1);
      const total = shares.reduce((sum, share) => sum + share, 0);
      assert.equal(targets.reduce((sum, target) => sum + target, 0), Math.round(total));
      assert.deepEqual(targetsOf(nodes, replicas, targets), targets);
    }),
    { numRuns: 300 },
  );
});
