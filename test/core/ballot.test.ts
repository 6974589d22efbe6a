import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Ballot, compareBallots, nextBallot, NO_BALLOT, stepAfter } from "../../src/core/ballot.ts";

/** Also such as begin like one another, and with what sorts lowest in an ID. */
const id = fc.oneof(
  fc.constantFrom("p", "p-", "p.1", "p0", "p#".slice(0, 1)),
  fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,8}$/),
);
const counter = fc.integer({ min: 1, max: 5 });

function stepped(ballot: Ballot, node: string, steps: number): Ballot {
  let at = ballot;
  for (let step = 0; step < steps; step++) at = stepAfter(at, node)!;
  return at;
}

test("stepAfter: a step is above what it follows, and nobody else's ballot or step is between the two", () => {
  const steps = fc.nat({ max: 40 });
  fc.assert(
    fc.property(
      id,
      counter,
      steps,
      id,
      counter,
      steps,
      (mine, count, taken, other, otherCount, otherTaken) => {
        fc.pre(mine !== other);
        const before = stepped({ counter: count, node: mine }, mine, taken);
        const after = stepAfter(before, mine)!;
        const theirs = stepped({ counter: otherCount, node: other }, other, otherTaken);
        assert.ok(compareBallots(before, after) < 0);
        assert.equal(Math.sign(compareBallots(theirs, before)), Math.sign(compareBallots(theirs, after)));
        assert.ok(
          compareBallots(after, nextBallot(before, other)) < 0,
          "the next counter is above all steps",
        );
        assert.equal(stepAfter(before, other), undefined, "somebody else's is no one's to follow");
      },
    ),
  );
});

test("stepAfter: there are 65,535 steps of a ballot, in order, and then no more", () => {
  let ballot: Ballot = { counter: 7, node: "p" };
  for (let step = 1; step <= 0xffff; step++) {
    const next = stepAfter(ballot, "p")!;
    assert.ok(compareBallots(ballot, next) < 0);
    ballot = next;
  }
  assert.equal(stepAfter(ballot, "p"), undefined);
  assert.equal(stepAfter(NO_BALLOT, "p"), undefined);
});
