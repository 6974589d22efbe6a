import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_BALLOT } from "../../src/core/ballot.ts";
import { type Decision, majorityOf, Tally, Witnesses } from "../../src/core/quorum.ts";

type Votes = ReadonlyMap<string, boolean>;

const MEMBERS = ["a", "b", "c", "d", "e"];

/** The oracle: tries every way in which the silent members might still vote. */
function dumbDecision(sets: readonly (readonly string[])[], votes: Votes): Decision {
  const won = (given: Votes) =>
    sets.every((set) => set.filter((member) => given.get(member) === true).length * 2 > set.length);
  if (won(votes)) return "reached";
  const silent = [...new Set(sets.flat())].filter((member) => !votes.has(member));
  for (let future = 0; future < 2 ** silent.length; future++) {
    const ballot = new Map(votes);
    for (const [bit, member] of silent.entries()) ballot.set(member, (future >> bit) % 2 === 1);
    if (won(ballot)) return "pending";
  }
  return "impossible";
}

function* permutations(items: readonly string[]): Generator<string[]> {
  if (items.length === 0) yield [];
  for (const item of items) {
    for (const rest of permutations(items.filter((other) => other !== item))) yield [item, ...rest];
  }
}

/** Every assignment of yes, no and silence. */
function* assignments(members: readonly string[]): Generator<Map<string, boolean>> {
  for (let code = 0; code < 3 ** members.length; code++) {
    const votes = new Map<string, boolean>();
    for (const [place, member] of members.entries()) {
      const trit = Math.floor(code / 3 ** place) % 3;
      if (trit < 2) votes.set(member, trit === 1);
    }
    yield votes;
  }
}

function subsets(members: readonly string[]): string[][] {
  return Array.from(
    { length: 2 ** members.length },
    (_, bits) => members.filter((_, i) => (bits >> i) % 2 === 1),
  )
    .filter((subset) => subset.length > 0);
}

test("majorityOf is the least count that any two groups must share a member at", () => {
  assert.deepEqual([1, 2, 3, 4, 5, 6, 7].map(majorityOf), [1, 2, 2, 3, 3, 4, 4]);
});

test("Tally agrees with the oracle after each vote, in every order of every outcome of up to 5 members", () => {
  for (let size = 1; size <= 5; size++) {
    const members = MEMBERS.slice(0, size);
    for (const order of permutations(members)) {
      for (let outcome = 0; outcome < 2 ** size; outcome++) {
        const tally = new Tally([members]);
        const votes = new Map<string, boolean>();
        assert.equal(tally.decision, "pending");
        for (const [place, member] of order.entries()) {
          const yes = (outcome >> place) % 2 === 1;
          votes.set(member, yes);
          const decision = tally.vote(member, yes);
          if (decision !== dumbDecision([members], votes)) {
            assert.fail(`${decision} after ${JSON.stringify([...votes])} of ${size}`);
          }
        }
        assert.notEqual(tally.decision, "pending");
      }
    }
  }
});

test("Tally over two sets is reached in both, impossible as soon as one is lost", () => {
  const groups = subsets(MEMBERS.slice(0, 4));
  for (const old of groups) {
    for (const next of groups) {
      for (const votes of assignments([...new Set([...old, ...next])])) {
        const tally = new Tally([old, next]);
        for (const [member, yes] of votes) tally.vote(member, yes);
        const wanted = dumbDecision([old, next], votes);
        if (tally.decision !== wanted) {
          assert.fail(
            `${old} and ${next} after ${JSON.stringify([...votes])}: wanted ${wanted}, got ${tally.decision}`,
          );
        }
      }
    }
  }
});

test("Tally over two sets of five that share some members agrees with the oracle", () => {
  const old = ["a", "b", "c", "d", "e"];
  for (const next of [["c", "d", "e", "f", "g"], ["a", "b", "c", "d", "f"], ["e", "f", "g"]]) {
    for (const votes of assignments([...new Set([...old, ...next])])) {
      const tally = new Tally([old, next]);
      for (const [member, yes] of votes) tally.vote(member, yes);
      if (tally.decision !== dumbDecision([old, next], votes)) assert.fail(JSON.stringify([...votes]));
    }
  }
});

test("Tally counts a member's first vote and only that", () => {
  const tally = new Tally([["a", "b", "c"]]);
  assert.equal(tally.vote("a", true), "pending");
  assert.equal(tally.vote("a", true), "pending");
  assert.equal(tally.vote("b", false), "pending");
  assert.equal(tally.vote("b", true), "pending");
  assert.equal(tally.vote("stranger", true), "pending");
  assert.equal(tally.vote("c", true), "reached");
});

test("Tally stays impossible once a majority said no", () => {
  const tally = new Tally([["a", "b", "c"]]);
  tally.vote("a", false);
  assert.equal(tally.vote("b", false), "impossible");
  assert.equal(tally.vote("c", true), "impossible");
});

test("Tally.couldReachWith is what the decision would be if the others said yes", () => {
  const sets = [["a", "b", "c"], ["b", "c", "d", "e"]];
  for (const votes of assignments(MEMBERS)) {
    const silent = MEMBERS.filter((member) => !votes.has(member));
    for (const others of [...subsets(silent), []]) {
      const tally = new Tally(sets);
      for (const [member, yes] of votes) tally.vote(member, yes);
      const could = tally.couldReachWith(others);
      for (const member of others) tally.vote(member, true);
      assert.equal(could, tally.decision === "reached");
    }
  }
});

test("Tally takes a yes from a superseded disk for a no, whoever tells of the newer one, before or after", () => {
  const [old, renamed] = [NO_BALLOT, { counter: 1, node: "new disk" }];
  const knows = { memory: NO_BALLOT, witnessed: [{ node: "a", memory: renamed }] };
  for (const order of [["a", "b"], ["b", "a"]]) {
    const witnesses = new Witnesses();
    const tally = new Tally([["a", "b", "c"]], witnesses);
    for (const voter of order) {
      witnesses.heard(voter, voter === "b" ? knows : { memory: old, witnessed: [] });
      tally.vote(voter, true);
    }
    assert.equal(tally.decision, "pending", order.join());
    witnesses.heard("c", undefined);
    assert.equal(tally.vote("c", true), "reached", "the other two are a majority");
  }
});

test("Tally counts the new disk, and an old one nobody knows to be old", () => {
  const renamed = { counter: 1, node: "new disk" };
  const witnesses = new Witnesses();
  const tally = new Tally([["a", "b", "c"]], witnesses);
  witnesses.heard("a", { memory: renamed, witnessed: [] });
  tally.vote("a", true);
  witnesses.heard("b", { memory: NO_BALLOT, witnessed: [{ node: "a", memory: renamed }] });
  assert.equal(tally.vote("b", true), "reached");
  const unknowing = new Tally([["a", "b", "c"]], new Witnesses());
  unknowing.vote("a", true);
  assert.equal(unknowing.vote("b", true), "reached");
});

test("Tally with a void vote and a silent rest is impossible as soon as no majority can come", () => {
  const witnesses = new Witnesses();
  const tally = new Tally([["a", "b", "c"]], witnesses);
  tally.vote("a", true);
  witnesses.heard("b", { memory: NO_BALLOT, witnessed: [{ node: "a", memory: { counter: 1, node: "x" } }] });
  assert.equal(tally.vote("b", true), "pending");
  assert.equal(tally.vote("c", false), "impossible");
});
