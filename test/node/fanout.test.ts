import assert from "node:assert/strict";
import { test } from "node:test";
import { byDistance, Fanout } from "../../src/node/fanout.ts";
import { openParts } from "../helpers/memory-ring-parts.ts";

test("Fanout asks a majority first, and one more for each that fails", () => {
  const asked: string[] = [];
  const fanout = new Fanout(["a", "b", "c", "d", "e"], [["a", "b", "c", "d", "e"]], (id) => asked.push(id));
  fanout.narrowly(5);
  assert.deepEqual(asked, ["a", "b", "c"]);
  fanout.failed();
  assert.deepEqual(asked, ["a", "b", "c", "d"]);
  fanout.failed();
  fanout.failed();
  assert.deepEqual(asked, ["a", "b", "c", "d", "e"], "nobody is asked twice");
});

test("Fanout that asked more than a majority asks nobody while enough are left", () => {
  const asked: string[] = [];
  const fanout = new Fanout(["a", "b", "c", "d", "e"], [["a", "b", "c", "d", "e"]], (id) => asked.push(id));
  fanout.widely(4);
  fanout.failed();
  assert.deepEqual(asked, ["a", "b", "c", "d"]);
  fanout.failed();
  assert.deepEqual(asked, ["a", "b", "c", "d", "e"]);
});

test("Fanout leaves nobody out while replicas move: a majority of each set is needed", () => {
  const asked: string[] = [];
  new Fanout(["a", "b", "c", "d"], [["a", "b", "c"], ["b", "c", "d"]], (id) => asked.push(id)).narrowly(4);
  assert.deepEqual(asked, ["a", "b", "c", "d"]);
});

test("byDistance has the node itself first, then the living by round trip, then the suspects", async () => {
  const { ring, parts } = await openParts({
    ids: ["a", "b", "c", "d", "e"],
    replicas: 5,
    delayMs: ({ from, to }) => ({ b: 40, c: 5, d: 20 }[from === "a" ? to : from] ?? 1),
  });
  const { membership, gate } = parts["a"]!;
  ring.network.refuse("e");
  await assert.rejects(ring.run(gate.call("e", { type: "layout" }, { timeoutMs: 100 })), {
    code: "peer-unreachable",
  });
  assert.deepEqual(byDistance(["e", "b", "d", "a", "c"], "a", membership), {
    order: ["a", "c", "d", "b", "e"],
    aliveCount: 4,
  });
});

test("Fanout asks the suspects at once, and all of them, when those alive make no majority", () => {
  for (const how of ["widely", "narrowly"] as const) {
    const asked: string[] = [];
    new Fanout(["a", "b", "c"], [["a", "b", "c"]], (id) => asked.push(id))[how](1);
    assert.deepEqual(asked, ["a", "b", "c"], how);
  }
});
