import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  changedLayout,
  type LayoutChange,
  lostPartitions,
  settledLayout,
} from "../../src/core/layout-change.ts";
import { NODES_MAX } from "../../src/core/layout-node.ts";
import { recoveredLayout } from "../../src/core/layout-recovery.ts";
import {
  foundingLayout,
  type Layout,
  type LayoutNode,
  layoutProblem,
  replicasOfPartition,
  setsOfPartition,
} from "../../src/core/layout.ts";
import { PARTITIONS } from "../../src/core/partitions.ts";

function node(id: string, zone = `zone-${id}`, weight = 1): LayoutNode {
  return { id, region: zone, zone, weight };
}

function founded(ids: string, replicas = 3): Layout {
  return foundingLayout("ring", replicas, ids.split("").map((id) => node(id)));
}

function planned(layout: Layout, change: LayoutChange): Layout {
  const result = changedLayout(layout, change);
  assert.ok(result.kind === "planned", JSON.stringify(result));
  return result.layout;
}

function ids({ nodes }: Layout): string {
  return nodes.map(({ id }) => id).join("");
}

const PARTITION_NUMBERS = Array.from({ length: PARTITIONS }, (_, partition) => partition);

test("a joining node gets its share, and until it has it both sets decide", () => {
  const before = founded("abc");
  const moving = planned(before, { join: [node("d")] });
  assert.equal(layoutProblem(moving), undefined);
  assert.deepEqual([moving.number, ids(moving)], [2, "abcd"]);
  let touched = 0;
  for (const partition of PARTITION_NUMBERS) {
    const sets = setsOfPartition(moving, partition);
    assert.deepEqual(sets[0]!.toSorted(), replicasOfPartition(before, partition).toSorted());
    if (sets.length > 1) touched++;
  }
  assert.equal(touched, 768, "a quarter of all replicas, each of another partition");
  const settled = settledLayout(moving);
  assert.deepEqual([settled.number, settled.from], [3, undefined]);
  for (const partition of PARTITION_NUMBERS) {
    assert.deepEqual(setsOfPartition(settled, partition), setsOfPartition(moving, partition).slice(-1));
  }
});

/** Of so many members, the first three of which hold everything. */
function large(count: number): Layout {
  const nodes = Array.from({ length: count }, (_, n) => node(`n${String(n).padStart(4, "0")}`, "zone"));
  return {
    ...foundingLayout("ring", 3, nodes.slice(0, 3)),
    nodes,
    table: PARTITION_NUMBERS.map(() => [0, 1, 2]),
  };
}

test("a change to more nodes than a layout may name is refused, those included that are leaving", () => {
  const joining = (count: number) => Array.from({ length: count }, (_, n) => node(`new${n}`, "zone"));
  const before = large(NODES_MAX - 4);
  const five = changedLayout(before, { join: joining(5) });
  assert.deepEqual(five, {
    kind: "refused",
    reason: "wanted at most 1024 nodes, those included that are leaving, got 1025",
  });
  const replace = joining(600).map((to, n) => ({ from: before.nodes[n]!.id, to }));
  assert.equal(changedLayout(before, { replace }).kind, "refused");
  assert.equal(layoutProblem(large(NODES_MAX)), undefined);
  assert.equal(layoutProblem(large(NODES_MAX + 1)), "wanted at most 1024 nodes, got 1025");
});

test("a drained node holds nothing and stays, a removed one is gone when it has settled", () => {
  const before = founded("abcd");
  const drained = settledLayout(planned(before, { drain: ["b"] }));
  assert.equal(ids(drained), "abcd");
  assert.ok(PARTITION_NUMBERS.every((partition) => !replicasOfPartition(drained, partition).includes("b")));
  assert.ok(!drained.voters.includes("b"));
  // Nothing lies there any more, so nothing moves, and the layout that names it no longer is settled at once.
  const removed = planned(drained, { remove: ["b"] });
  assert.deepEqual([ids(removed), removed.from], ["acd", undefined]);
  const atOnce = planned(before, { remove: ["b"] });
  assert.equal(ids(atOnce), "abcd", "its replicas are still needed");
  assert.equal(ids(settledLayout(atOnce)), "acd");
});

test("whoever replaces a node takes its place in every row, and nothing else moves", () => {
  const before = founded("abcd");
  const moving = planned(before, { replace: [{ from: "b", to: node("x") }] });
  for (const partition of PARTITION_NUMBERS) {
    const was = replicasOfPartition(before, partition).map((id) => id === "b" ? "x" : id);
    assert.deepEqual(replicasOfPartition(moving, partition).toSorted(), was.toSorted());
  }
  assert.equal(ids(settledLayout(moving)), "acdx");
});

test("another aim while replicas move leaves where they come from", () => {
  const before = founded("abcd");
  const first = planned(before, { drain: ["a"] });
  const second = planned(first, { join: [node("e")] });
  assert.equal(layoutProblem(second), undefined);
  for (const partition of PARTITION_NUMBERS) {
    const old = setsOfPartition(second, partition)[0]!.toSorted();
    assert.deepEqual(old, replicasOfPartition(before, partition).toSorted());
  }
  // Back to where it all came from: nothing moves.
  const back = planned(first, { weight: { a: 1 } });
  assert.equal(back.from, undefined);
  assert.ok(PARTITION_NUMBERS.every((partition) => {
    return replicasOfPartition(back, partition).join() === replicasOfPartition(before, partition).join();
  }));
});

test("what is so already is nothing", () => {
  const layout = founded("abc");
  for (const change of [{}, { weight: { a: 1 } }, { replicas: 3 }, { zone: { b: "zone-b" } }]) {
    assert.deepEqual(changedLayout(layout, change), { kind: "nothing" });
  }
});

const refusals: readonly (readonly [LayoutChange, RegExp])[] = [
  [{ drain: ["z"] }, /wanted members of the ring, got z/],
  [{ remove: ["z"] }, /got z/],
  [{ join: [node("a")] }, /no members yet, got a/],
  [{ join: [node("x"), node("x")] }, /named twice/],
  [{ replace: [{ from: "a", to: node("b") }] }, /no members yet, got b/],
  [{ weight: { a: -1 } }, /weights of 0 or more, got -1/],
  [{ weight: { a: Infinity } }, /weights of 0 or more, got Infinity/],
  [{ replicas: 2 }, /odd number of replicas/],
  [{ replicas: 9 }, /odd number of replicas/],
  [{ drain: ["a", "b", "c"] }, /somebody to hold the data/],
  [{ weight: { a: 0, b: 0, c: 0 } }, /somebody to hold the data/],
];
for (const [change, reason] of refusals) {
  test(`refused: ${JSON.stringify(change)}`, () => {
    const result = changedLayout(founded("abc"), change);
    assert.match(result.kind === "refused" ? result.reason : result.kind, reason);
  });
}

test("lostPartitions are those of which no majority of the old replicas is reachable", () => {
  const layout = founded("abcd");
  assert.deepEqual(lostPartitions(layout, (id) => id !== "a"), []);
  const lost = lostPartitions(layout, (id) => id !== "a" && id !== "b");
  const both = PARTITION_NUMBERS.filter((partition) => {
    const replicas = replicasOfPartition(layout, partition);
    return replicas.includes("a") && replicas.includes("b");
  });
  assert.deepEqual(lost, both);
});

test("recoveredLayout keeps what the survivors hold, and counts what nobody does", () => {
  const layout = founded("abcde");
  const survivors = layout.nodes.filter(({ id }) => id === "b" || id === "e");
  const { next, lost } = recoveredLayout(layout, survivors);
  assert.equal(layoutProblem(next), undefined);
  assert.ok(next.number > layout.number + 1);
  let orphans = 0;
  for (const partition of PARTITION_NUMBERS) {
    const left = replicasOfPartition(layout, partition).filter((id) => id === "b" || id === "e");
    if (left.length === 0) orphans++;
    else assert.deepEqual(setsOfPartition(next, partition)[0]!.toSorted(), left.toSorted());
  }
  assert.equal(lost, orphans);
});

test("any chain of changes gives sound layouts, each reachable from the one before through a shared old set", () => {
  const step = fc.record({
    join: fc.option(fc.constantFrom(..."fghijk".split("")), { nil: undefined }),
    drain: fc.option(fc.nat(), { nil: undefined }),
    remove: fc.option(fc.nat(), { nil: undefined }),
    replicas: fc.option(fc.constantFrom(1, 3, 5), { nil: undefined }),
    settles: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 6 }), (steps) => {
      let layout = founded("abcde");
      for (const { join, drain, remove, replicas, settles } of steps) {
        const pick = (n: number | undefined): string[] =>
          n === undefined ? [] : [layout.nodes[n % layout.nodes.length]!.id];
        const result = changedLayout(layout, {
          join: join === undefined || ids(layout).includes(join) ? [] : [node(join)],
          drain: pick(drain),
          remove: pick(remove),
          replicas,
        });
        if (result.kind !== "planned") continue;
        const next = result.layout;
        assert.equal(layoutProblem(next), undefined);
        assert.equal(next.number, layout.number + 1);
        for (const partition of PARTITION_NUMBERS) {
          const [was] = setsOfPartition(layout, partition);
          const [old] = setsOfPartition(next, partition);
          assert.deepEqual(old!.toSorted(), was!.toSorted());
        }
        layout = settles && next.from ? settledLayout(next) : next;
        assert.equal(layoutProblem(layout), undefined);
      }
    }),
    { numRuns: 15 },
  );
});
