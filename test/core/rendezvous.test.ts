import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { rendezvous } from "../../src/core/rendezvous.ts";

const NODES = ["node-a-1", "node-a-2", "node-a-3", "node-a-4", "node-a-5"];
const KEYS = Array.from({ length: 5_000 }, (_, n) => createHash("sha256").update(String(n)).digest("hex"));

test("rendezvous names nobody where nobody is, and whoever is alone", () => {
  assert.equal(rendezvous([], KEYS[0]!), undefined);
  assert.equal(rendezvous(["a"], KEYS[0]!), "a");
});

test("rendezvous does not depend on the order of the nodes, and gives each about its share", () => {
  const counts = new Map(NODES.map((node) => [node, 0]));
  for (const key of KEYS) {
    const node = rendezvous(NODES, key)!;
    assert.equal(rendezvous([...NODES].reverse(), key), node);
    counts.set(node, counts.get(node)! + 1);
  }
  for (const [node, count] of counts) assert.ok(count > 850 && count < 1_150, `${node} has ${count}`);
});

test("rendezvous: a node that goes changes nobody's place but its own", () => {
  const left = NODES.slice(1);
  for (const key of KEYS) {
    const before = rendezvous(NODES, key)!;
    const now = rendezvous(left, key)!;
    if (before !== NODES[0]) assert.equal(now, before);
    else assert.ok(left.includes(now));
  }
});
