import assert from "node:assert/strict";
import { test } from "node:test";
import { AtollError } from "../../src/errors.ts";
import { Namesakes } from "../../src/node/namesakes.ts";
import type { LogFields, NodeCard } from "../../src/ports.ts";

function card(id: string, incarnation: string, address = id): NodeCard {
  return {
    id,
    region: "r",
    zone: "r",
    peerUrl: `http://${address}:1`,
    publicUrl: `http://${address}:2`,
    incarnation,
    ringId: "ring",
    layoutNumber: 1,
    bootstrapExpect: 3,
  };
}

function open() {
  const lines: [string, LogFields | undefined][] = [];
  const line = (message: string, fields?: LogFields) => void lines.push([message, fields]);
  const namesakes = new Namesakes({
    self: () => card("self", "1"),
    log: { info: line, warn: line, error: line },
  });
  return { namesakes, lines };
}

const CASES: readonly (readonly [what: string, NodeCard, NodeCard | undefined, refused: boolean])[] = [
  ["somebody new", card("a", "1"), undefined, false],
  ["a node that is known", card("a", "1"), card("a", "1"), false],
  ["one that moved while it ran", card("a", "1", "elsewhere"), card("a", "1"), false],
  ["one that was started anew", card("a", "2"), card("a", "1"), false],
  [
    "one that was started anew elsewhere, and is not there any more",
    card("a", "2", "elsewhere"),
    undefined,
    false,
  ],
  ["another one while the first answers", card("a", "2", "elsewhere"), card("a", "1"), true],
  ["the node itself by another way", card("self", "1", "elsewhere"), undefined, false],
  ["what the node's former life still said", card("self", "0"), undefined, false],
  ["another one with the node's own ID", card("self", "2", "elsewhere"), undefined, true],
];

for (const [what, comes, living, refused] of CASES) {
  test(`${what} is ${refused ? "refused" : "let in"}`, () => {
    const { namesakes, lines } = open();
    let looks = 0;
    const meet = () => namesakes.refuse(comes, living, () => looks++);
    if (!refused) {
      meet();
      return assert.deepEqual([looks, lines], [0, []]);
    }
    for (let again = 0; again < 3; again++) {
      assert.throws(meet, (error) => error instanceof AtollError && error.code === "id-taken");
    }
    assert.equal(looks, 3, "each time the first is looked for");
    assert.equal(lines.length, 1, "and it is said once");
  });
}

test("who is refused says so once, and passes every error on", () => {
  const { namesakes, lines } = open();
  const taken = new AtollError("id-taken", "wanted an ID of its own");
  for (const error of [taken, taken, new AtollError("peer-timeout", "late"), new Error("defect")]) {
    assert.throws(() => namesakes.pinged(error), (thrown) => thrown === error);
  }
  assert.deepEqual(lines.map(([, fields]) => fields), [{ reason: taken.message }]);
});
