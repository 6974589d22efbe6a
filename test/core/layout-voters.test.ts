import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { LayoutNode } from "../../src/core/layout-node.ts";
import { chooseVoters } from "../../src/core/layout-voters.ts";

function ring(zones: readonly string[]): LayoutNode[] {
  return zones.map((zone, i) => ({ id: `node${String(i).padStart(2, "0")}`, region: zone, zone, weight: 1 }));
}

const inZones = (count: number, zones: number): LayoutNode[] =>
  ring(Array.from({ length: count }, (_, i) => `zone${i % zones}`));

test("chooseVoters takes an odd number, at most seven, over as many zones as it can", () => {
  const counts = Array.from({ length: 12 }, (_, i) => chooseVoters(inZones(i + 1, 3)).length);
  assert.deepEqual(counts, [1, 1, 3, 3, 5, 5, 7, 7, 7, 7, 7, 7]);
  const voters = chooseVoters(ring([...Array.from({ length: 9 }, () => "a"), "x", "y"]));
  assert.equal(new Set(voters).size, 7);
  assert.ok(voters.includes("node09") && voters.includes("node10"));
});

test("chooseVoters passes over nodes that are being drained, unless all are", () => {
  const drained = (nodes: readonly LayoutNode[], ...ids: string[]): LayoutNode[] =>
    nodes.map((node) => ids.includes(node.id) ? { ...node, weight: 0 } : node);
  const nodes = inZones(5, 5);
  assert.deepEqual(chooseVoters(drained(nodes, "node00")), ["node01", "node02", "node03"]);
  assert.deepEqual(chooseVoters(drained(nodes, "node00"), ["node00", "node04", "node03"]), [
    "node04",
    "node03",
    "node01",
  ]);
  assert.equal(chooseVoters(drained(nodes, ...nodes.map((node) => node.id))).length, 5);
});

test("chooseVoters keeps sitting voters, in their order, where a larger ring would have chosen others", () => {
  const sitting = ["node08", "node07", "node06", "node05", "node04", "node03", "node02"];
  assert.deepEqual(chooseVoters(inZones(9, 3), sitting), sitting);
  assert.deepEqual(chooseVoters(inZones(9, 9), sitting), sitting);
});

test("chooseVoters gives up a sitting voter for one in a zone that has none", () => {
  const nodes = ring(["a", "a", "a", "b", "c"]).map((node, i) => i < 3 ? node : { ...node, weight: 2 });
  const voters = chooseVoters([...nodes, ...ring(["", "", "", "", "", "d"]).slice(5)], [
    "node00",
    "node01",
    "node02",
  ]);
  assert.deepEqual(voters, ["node00", "node01", "node03", "node04", "node05"]);
});

test("chooseVoters spreads seats evenly whoever sits, and settles at once", () => {
  const zones = fc.array(fc.nat(5).map((n) => `z${n}`), { minLength: 1, maxLength: 14 });
  fc.assert(fc.property(zones, fc.array(fc.nat(13), { maxLength: 9 }), (zoneList, numbers) => {
    const nodes = ring(zoneList);
    const sitting = [...new Set(numbers)].map((n) => `node${String(n).padStart(2, "0")}`);
    const voters = chooseVoters(nodes, sitting);
    assert.equal(voters.length, chooseVoters(nodes).length);
    assert.equal(new Set(voters).size, voters.length);
    const seats = (zone: string): number =>
      nodes.filter((node) => node.zone === zone && voters.includes(node.id)).length;
    const spare = nodes.filter((node) => !voters.includes(node.id)).map((node) => node.zone);
    const most = Math.max(...zoneList.map(seats));
    for (const zone of spare) assert.ok(seats(zone) >= most - 1, `${zone} has ${seats(zone)} of ${voters}`);
    assert.deepEqual(chooseVoters(nodes, voters), voters);
  }));
});
