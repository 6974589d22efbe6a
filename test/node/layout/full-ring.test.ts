/** Layouts of more nodes than one may name: accepted by no voter, and joined by as many as there is room for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NODES_MAX } from "../../../src/core/layout-node.ts";
import { foundingLayout, type Layout, type LayoutNode } from "../../../src/core/layout.ts";
import type { Planned } from "../../../src/core/layout-change.ts";
import { PARTITIONS } from "../../../src/core/partitions.ts";
import { DecreeAcceptor } from "../../../src/node/layout/decree-acceptor.ts";
import { Steward, type StewardDeps } from "../../../src/node/layout/steward.ts";
import type { NodeCard } from "../../../src/ports.ts";
import { FakeClock } from "../../helpers/fake-clock.ts";
import { createMemoryCatalog } from "../../helpers/memory-catalog.ts";

const LOOK_MS = 1_000;

function nodes(count: number): LayoutNode[] {
  return Array.from({ length: count }, (_, n) => (
    { id: `n${String(n).padStart(4, "0")}`, region: "here", zone: "here", weight: 1 }
  ));
}

/** Of so many members, the first three of which hold everything. */
function layoutOf(count: number): Layout {
  const members = nodes(count);
  return {
    ...foundingLayout("ring", 3, members.slice(0, 3)),
    nodes: members,
    table: Array.from({ length: PARTITIONS }, () => [0, 1, 2]),
  };
}

test("DecreeAcceptor.accept takes nothing that is no layout, and can be asked on", async () => {
  const catalog = createMemoryCatalog();
  const acceptor = new DecreeAcceptor(catalog, () => 0);
  const ballot = { counter: 1, node: "a" };
  await assert.rejects(acceptor.accept(ballot, layoutOf(NODES_MAX + 1)), {
    code: "peer-garbage",
    message: /wanted at most 1024 nodes, got 1025/,
  });
  assert.equal(await catalog.document("decree"), undefined);
  assert.deepEqual(await acceptor.accept(ballot, layoutOf(3)), { kind: "accepted" });
});

/** A steward of so many members before whose door so many others stand. */
function stewardOf(members: number, strangers: number) {
  const clock = new FakeClock();
  const planned: Planned[] = [];
  const warnings: string[] = [];
  const layout = layoutOf(members);
  const outside = Array.from({ length: strangers }, (_, n) => (
    { id: `new${n}`, region: "here", zone: "here", incarnation: "1", ringId: "ring", layoutNumber: 1 }
  )) as NodeCard[];
  const steward = new Steward({
    ring: { self: "n0000", layout, number: 1, members: layout.nodes.map(({ id }) => id) },
    membership: { isAlive: () => true, alive: () => outside },
    decree: { accepted: null },
    decrees: {
      propose: (plan: (current: Layout) => Planned) => {
        planned.push(plan(layout));
        return Promise.resolve({ kind: "nothing" });
      },
    },
    clock,
    log: { info() {}, warn: (message: string) => void warnings.push(message), error() {} },
    joinAfterMs: 0,
  } as unknown as StewardDeps);
  steward.start();
  return { clock, planned, warnings, steward };
}

test("Steward takes in as many as there is room for, and says once that others wait outside", async () => {
  const { clock, planned, warnings, steward } = stewardOf(NODES_MAX - 1, 3);
  await clock.advance(3 * LOOK_MS + 1);
  steward.stop();
  const [first] = planned;
  assert.ok(first?.kind === "planned", JSON.stringify(first)?.slice(0, 200));
  assert.equal(first.layout.nodes.length, NODES_MAX);
  assert.equal(planned.length, 3);
  assert.deepEqual(warnings, ["the ring has no place for more members: some wait outside"]);
});

test("Steward of a ring that is full proposes nothing", async () => {
  const { clock, planned, warnings, steward } = stewardOf(NODES_MAX, 1);
  await clock.advance(2 * LOOK_MS + 1);
  steward.stop();
  assert.deepEqual([planned.length, warnings.length], [0, 1]);
});
