/** What nodes show on a board beside the ring, and what they believe of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { foundingLayout, type Layout } from "../../../src/core/layout.ts";
import { MemoryLayoutBoard } from "../../helpers/memory-layout-board.ts";
import { MemoryRing } from "../../helpers/memory-ring.ts";

const IDS = ["a", "b", "c"];

function layoutOf(ids: readonly string[], ringId = "the-ring-shown"): Layout {
  return foundingLayout(ringId, 3, ids.map((id) => ({ id, region: id, zone: id, weight: 1 })));
}

/** Founders-to-be that see that board. */
async function openFounders(board: MemoryLayoutBoard, expect = 3): Promise<MemoryRing> {
  const ring = new MemoryRing({ ids: IDS, founded: false });
  for (const id of IDS) await ring.start(id, { layoutBoard: board.view(), bootstrapExpect: expect });
  return ring;
}

function ringIdsOf(ring: MemoryRing): (string | undefined)[] {
  return IDS.map((id) => ring.node(id).layout()?.ringId);
}

test("Board shows what was founded, and each layout that follows", async () => {
  const board = new MemoryLayoutBoard();
  const ring = await openFounders(board);
  await ring.clock.until("it is founded", () => !ringIdsOf(ring).includes(undefined), 60_000);
  assert.deepEqual(board.shown, ring.node("a").layout());
  const change = { zone: { a: "elsewhere" } };
  assert.equal((await ring.run(ring.node("b").administration.apply(1, change))).kind, "applied");
  const { shown } = board;
  assert.ok(typeof shown === "object" && shown.number >= 2);
  assert.deepEqual(shown, ring.node("b").layout());
  ring.close();
});

test("Board: a node that starts shows what it goes by where that is missing", async () => {
  const ring = await MemoryRing.open({ ids: IDS });
  const board = new MemoryLayoutBoard();
  ring.crash("b");
  await ring.start("b", { layoutBoard: board.view() });
  assert.deepEqual(board.shown, ring.layout);
  ring.close();
});

test("Board: a member that reaches nobody learns from it what was decided, and of no other ring", async () => {
  const board = new MemoryLayoutBoard();
  const ring = await MemoryRing.open({ ids: IDS });
  ring.crash("c");
  const change = { zone: { a: "elsewhere" } };
  assert.equal((await ring.run(ring.node("b").administration.apply(1, change))).kind, "applied");
  ring.network.rule(({ from, to }) => from === "c" || to === "c" ? { lost: true } : undefined);
  board.show({ ...ring.layout, number: 9, ringId: "another" });
  await ring.start("c", { layoutBoard: board.view() });
  await ring.clock.advance(1_000);
  assert.deepEqual(ring.node("c").layout(), ring.layout);
  board.show(ring.node("b").layout());
  await ring.clock.until("it is in use", () => (ring.node("c").layout()?.number ?? 0) > 1, 5_000);
  ring.close();
});

for (
  const [what, shown] of [
    ["a ring of others is shown", layoutOf(["x", "y", "z"])],
    ["what is shown cannot be read", "unreadable"],
    ["a ring of itself alone is shown", layoutOf(["a"])],
  ] as const
) {
  test(`Board: while ${what} no ring is founded, until it is gone`, async () => {
    const board = new MemoryLayoutBoard();
    board.show(shown);
    const ring = await openFounders(board);
    await ring.clock.advance(60_000);
    assert.deepEqual(ringIdsOf(ring), [undefined, undefined, undefined]);
    assert.equal(ring.node("a").membership.alive().length, 2);
    board.show(undefined);
    await ring.clock.until("it is founded", () => !ringIdsOf(ring).includes(undefined), 60_000);
    assert.equal(new Set(ringIdsOf(ring)).size, 1);
    ring.close();
  });
}

test("Board: before it is known what is shown no ring is founded, nor helped to be", async () => {
  const board = new MemoryLayoutBoard(true);
  const ring = await openFounders(board);
  await ring.clock.advance(60_000);
  assert.deepEqual(ringIdsOf(ring), [undefined, undefined, undefined]);
  const request = { type: "decree-prepare", number: 1, ballot: { counter: 1, node: "b" } } as const;
  await assert.rejects(ring.node("a").handlePeer({ node: "b" }, request), { code: "peer-refused" });
  board.comeBack();
  await ring.clock.until("it is founded", () => !ringIdsOf(ring).includes(undefined), 60_000);
  ring.close();
});

test("Board: a node without a layout that is named among others has lost its disk, and has no vote", async () => {
  const board = new MemoryLayoutBoard();
  board.show(layoutOf(["a", "y", "z"]));
  const ring = new MemoryRing({ ids: IDS, founded: false });
  await ring.start("a", { layoutBoard: board.view() });
  await ring.clock.until("it goes by it", () => ring.node("a").layout()?.ringId === "the-ring-shown", 5_000);
  assert.equal(ring.count("a", "atoll_recovery_partitions_left"), 1_024);
  ring.close();
});

test("Board: a newcomer joins the ring that is shown once one of its nodes is there", async () => {
  const board = new MemoryLayoutBoard();
  const ring = await MemoryRing.open({ ids: IDS });
  for (const id of IDS) ring.crash(id);
  board.show(ring.layout);
  for (const id of ["d", "e"]) {
    ring.site(id).life = 1; // it begins with an empty disk
    const seeds = ["d", "e", ...IDS].map((other) => ring.site(other).url);
    await ring.start(id, { layoutBoard: board.view(), bootstrapExpect: 2, seeds });
  }
  await ring.clock.advance(30_000);
  assert.equal(ring.node("d").membership.alive().length, 1);
  assert.equal(ring.node("d").layout(), undefined);
  await ring.start("b", { layoutBoard: board.view() });
  const ringIds = () => ["d", "e"].map((id) => ring.node(id).layout()?.ringId);
  await ring.clock.until("they are of the ring", () => !ringIds().includes(undefined), 30_000);
  assert.deepEqual(ringIds(), [ring.layout.ringId, ring.layout.ringId]);
  ring.close();
});
