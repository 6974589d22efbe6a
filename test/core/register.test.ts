import assert from "node:assert/strict";
import { test } from "node:test";
import { type Ballot, compareBallots, nextBallot, NO_BALLOT, sameBallot } from "../../src/core/ballot.ts";
import { RegisterRead } from "../../src/core/register-read.ts";
import { RegisterRound } from "../../src/core/register-round.ts";
import {
  accept,
  type AcceptorState,
  ANCESTORS_MAX,
  EMPTY_ACCEPTOR,
  prepare,
  type RegisterValue,
  successor,
  versionOfChange,
} from "../../src/core/register.ts";

const ABC = [["a", "b", "c"]];
const at = (counter: number, node = "p"): Ballot => ({ counter, node });
const value = (changeId: string, on: RegisterValue | null = null, nowMs = 1): RegisterValue =>
  successor(on, { changeId, content: { kind: "tombstone" }, nowMs });
const promised = (accepted: Ballot = NO_BALLOT, held: RegisterValue | null = null) =>
  ({ kind: "promised", accepted, value: held }) as const;

test("compareBallots goes by counter, then by node, and nothing is below NO_BALLOT", () => {
  const inOrder = [NO_BALLOT, at(1, "p"), at(1, "q"), at(2, "a"), at(10, "a")];
  for (const [i, a] of inOrder.entries()) {
    for (const [j, b] of inOrder.entries()) {
      assert.equal(Math.sign(compareBallots(a, b)), Math.sign(i - j));
      assert.equal(sameBallot(a, b), i === j);
    }
  }
  assert.deepEqual(nextBallot(at(4, "z"), "a"), at(5, "a"));
});

test("prepare promises to strictly greater ballots only, and reports what was accepted", () => {
  const held = value("one");
  const state: AcceptorState = { promised: at(3), accepted: at(2), value: held };
  for (const refused of [at(2), at(3), at(3, "a")]) {
    const outcome = prepare(state, refused);
    assert.deepEqual(outcome, { state, reply: { kind: "refused", promised: at(3) } });
  }
  assert.deepEqual(prepare(state, at(3, "q")), {
    state: { promised: at(3, "q"), accepted: at(2), value: held },
    reply: promised(at(2), held),
  });
});

test("accept takes the promised ballot and greater ones, and refuses lesser ones", () => {
  const one = value("one");
  const state = prepare(EMPTY_ACCEPTOR, at(3)).state;
  assert.deepEqual(accept(state, at(2), one), { state, reply: { kind: "refused", promised: at(3) } });
  for (const ballot of [at(3), at(4)]) {
    assert.deepEqual(accept(state, ballot, one), {
      state: { promised: ballot, accepted: ballot, value: one },
      reply: { kind: "accepted" },
    });
  }
});

test("accept delivered again changes nothing; after a greater promise it is refused", () => {
  const one = value("one");
  const { state } = accept(EMPTY_ACCEPTOR, at(1), one);
  assert.deepEqual(accept(state, at(1), one), { state, reply: { kind: "accepted" } });
  const later = prepare(state, at(2)).state;
  assert.deepEqual(accept(later, at(1), one), { state: later, reply: { kind: "refused", promised: at(2) } });
});

test("successor counts versions up and never goes back in time", () => {
  const one = value("one", null, 500);
  const two = value("two", one, 400);
  assert.deepEqual([one.version, one.modifiedMs, one.ancestors], [1, 500, []]);
  assert.deepEqual([two.version, two.modifiedMs, two.ancestors], [2, 500, ["one"]]);
});

test("versionOfChange finds changes that were overtaken, as long as the ancestors reach", () => {
  let held: RegisterValue | null = null;
  const last = ANCESTORS_MAX + 24;
  for (let n = 1; n <= last; n++) held = value(`change ${n}`, held);
  assert.equal(versionOfChange(null, "change 1"), undefined);
  assert.equal(held?.ancestors.length, ANCESTORS_MAX);
  for (let n = 1; n <= last + 1; n++) {
    assert.equal(versionOfChange(held, `change ${n}`), n <= last && n >= 24 ? n : undefined);
  }
});

test("RegisterRound proposes on the value of the greatest ballot that a majority reports", () => {
  const round = new RegisterRound(at(9), ABC);
  assert.deepEqual(round.prepared("a", promised(at(5), value("five"))), { kind: "wait" });
  assert.deepEqual(round.prepared("a", promised(at(5), value("five"))), { kind: "wait" });
  const step = round.prepared("b", promised(at(4), value("four")));
  assert.deepEqual(step, { kind: "decide", current: { value: value("five"), committed: false, floor: 0 } });
});

test("RegisterRound calls a value committed when a majority reports its very ballot", () => {
  const round = new RegisterRound(at(9), ABC);
  round.prepared("a", promised(at(5), value("five")));
  const step = round.prepared("c", promised(at(5), value("five")));
  assert.deepEqual(step, { kind: "decide", current: { value: value("five"), committed: true, floor: 0 } });
  const empty = new RegisterRound(at(9), ABC);
  empty.prepared("a", promised());
  assert.deepEqual(empty.prepared("b", promised()), {
    kind: "decide",
    current: { value: null, committed: true, floor: 0 },
  });
});

test("RegisterRound commits at a majority of accepts, and says so once", () => {
  const round = new RegisterRound(at(1), ABC);
  round.prepared("a", promised());
  round.prepared("b", promised());
  assert.throws(() => new RegisterRound(at(1), ABC).propose(value("early")), /propose in phase prepare/);
  round.propose(value("one"));
  assert.deepEqual(round.prepared("c", promised()), { kind: "wait" });
  assert.deepEqual(round.accepted("c", { kind: "accepted" }), { kind: "wait" });
  assert.deepEqual(round.accepted("c", { kind: "accepted" }), { kind: "wait" });
  assert.deepEqual(round.accepted("a", { kind: "accepted" }), { kind: "committed", value: value("one") });
  assert.deepEqual(round.accepted("b", { kind: "accepted" }), { kind: "wait" });
});

test("RegisterRound fails as soon as a majority cannot come, with the greatest ballot in the way", () => {
  const preparing = new RegisterRound(at(1), ABC);
  assert.deepEqual(preparing.prepared("a", { kind: "refused", promised: at(7) }), { kind: "wait" });
  assert.deepEqual(preparing.prepared("b", { kind: "refused", promised: at(3) }), {
    kind: "failed",
    above: at(7),
  });
  const silent = new RegisterRound(at(1), ABC);
  silent.prepared("a", undefined);
  assert.deepEqual(silent.prepared("b", undefined), { kind: "failed", above: NO_BALLOT });
  const accepting = new RegisterRound(at(1), ABC);
  accepting.prepared("a", promised());
  accepting.prepared("b", promised());
  accepting.propose(value("one"));
  accepting.accepted("a", { kind: "refused", promised: at(2, "q") });
  assert.deepEqual(accepting.accepted("c", undefined), { kind: "failed", above: at(2, "q") });
});

test("RegisterRead is current once a majority accepted one ballot", () => {
  const read = new RegisterRead(ABC);
  const report = { accepted: at(2), value: value("two") };
  assert.deepEqual(read.reported("a", report), { kind: "wait" });
  assert.deepEqual(read.reported("a", report), { kind: "wait" });
  assert.equal(read.mixedSoFar, undefined);
  assert.deepEqual(read.reported("stranger", report), { kind: "wait" });
  assert.deepEqual(read.reported("c", report), { kind: "current", report });
});

test("RegisterRead takes the same value in different ballots for mixed: only one of them may be committed", () => {
  const read = new RegisterRead(ABC);
  read.reported("a", { accepted: at(2), value: value("two") });
  assert.deepEqual(read.reported("b", { accepted: at(4), value: value("two") }), { kind: "wait" });
  assert.deepEqual(read.mixedSoFar, at(4));
  assert.deepEqual(read.reported("c", { accepted: at(3), value: value("two") }), {
    kind: "mixed",
    above: at(4),
  });
});

test("RegisterRead gives up waiting when the silent ones can no longer make a majority alike", () => {
  const read = new RegisterRead([["a", "b", "c", "d", "e"]]);
  for (const [counter, member] of ["a", "b", "c"].entries()) {
    assert.deepEqual(read.reported(member, { accepted: at(counter), value: null }), { kind: "wait" });
  }
  assert.deepEqual(read.reported("d", { accepted: at(7), value: null }), { kind: "mixed", above: at(7) });
});

test("RegisterRead is unreachable without a majority, and asks each set for one", () => {
  const alone = new RegisterRead(ABC);
  alone.reported("a", undefined);
  assert.deepEqual(alone.reported("b", undefined), { kind: "unreachable" });
  const moving = new RegisterRead([["a", "b", "c"], ["c", "d", "e"]]);
  const report = { accepted: NO_BALLOT, value: null };
  for (const member of ["a", "b", "c"]) assert.deepEqual(moving.reported(member, report), { kind: "wait" });
  assert.deepEqual(moving.reported("e", report), { kind: "current", report });
});
