import assert from "node:assert/strict";
import { test } from "node:test";
import { KnownDocuments } from "../../src/node/known-documents.ts";
import { FakeClock } from "../helpers/fake-clock.ts";

interface Colour {
  readonly colour: string;
}

function open() {
  const clock = new FakeClock();
  const there = new Map<string, Colour>([["sky", { colour: "blue" }]]);
  let reads = 0;
  const known = new KnownDocuments<Colour>(clock, (id) => {
    reads++;
    return Promise.resolve(there.get(id));
  });
  return { clock, there, known, reads: () => reads };
}

test("however many names are made up, what is there stays known", async () => {
  const { known } = open();
  assert.deepEqual(await known.get("sky"), { colour: "blue" });
  for (let i = 0; i < 10_000; i++) await known.get(`made-up-${i}`);
  assert.deepEqual(known.get("sky"), { colour: "blue" }, "at once");
});

test("what came to be and went is known as it is now", async () => {
  const { known, there, reads } = open();
  for (let times = 0; times < 2; times++) {
    there.set("sea", { colour: "grey" });
    known.outdated("sea");
    assert.deepEqual(await known.get("sea"), { colour: "grey" });
    assert.deepEqual(known.get("sea"), { colour: "grey" });
    there.delete("sea");
    known.outdated("sea");
    assert.equal(await known.get("sea"), undefined);
    assert.equal(known.get("sea"), undefined);
  }
  assert.equal(reads(), 4);
});

test("whether it is at hand is said without asking, and so long as it may be used", async () => {
  const { clock, known, reads } = open();
  assert.equal(known.isAtHand("sky"), false);
  assert.equal(reads(), 0);
  await known.get("sky");
  await known.get("none");
  assert.deepEqual([known.isAtHand("sky"), known.isAtHand("none")], [true, true]);
  await clock.advance(4_999);
  assert.equal(known.isAtHand("sky"), true);
  await clock.advance(1);
  assert.deepEqual([known.isAtHand("sky"), known.isAtHand("none")], [false, false]);
  assert.equal(reads(), 2);
});
