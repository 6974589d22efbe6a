/** What is compared must differ whenever the registers do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { branchText, EMPTY_DIGEST, leafText } from "../../src/core/merkle.ts";
import type { AcceptorState } from "../../src/core/register.ts";

const stateOf = (counter: number, node: string, version: number, sha256: string | null): AcceptorState => ({
  promised: { counter: counter + 1, node },
  accepted: { counter, node },
  value: {
    version,
    modifiedMs: 1,
    changeId: "c",
    ancestors: [],
    content: sha256 === null
      ? { kind: "tombstone" }
      : { kind: "object", manifest: { format: 1, size: 0, sha256, layout: "list", chunks: [], headers: {} } },
  },
});

const register = fc.record({
  name: fc.string({ unit: fc.constantFrom("a", "1", " ", "\n", "\0"), maxLength: 6 }),
  counter: fc.integer({ min: 0, max: 12 }),
  node: fc.constantFrom("a", "b"),
  version: fc.integer({ min: 1, max: 12 }),
  sha256: fc.constantFrom(null, "aa", "bb"),
});

test("leafText tells registers apart by name, ballot, version and content, and runs of them too", () => {
  const textOf = (all: readonly (typeof register extends fc.Arbitrary<infer T> ? T : never)[]): string =>
    all.map((r) => leafText(r.name, stateOf(r.counter, r.node, r.version, r.sha256))).join("");
  const some = fc.array(register, { maxLength: 3 });
  fc.assert(
    fc.property(
      some,
      some,
      (a, b) => assert.equal(textOf(a) === textOf(b), JSON.stringify(a) === JSON.stringify(b)),
    ),
    { numRuns: 2_000 },
  );
});

test("leafText passes over what has only promised, and over how high", () => {
  const state = stateOf(3, "a", 2, "aa");
  assert.equal(leafText("n", { ...state, value: null }), undefined);
  assert.equal(leafText("n", { ...state, promised: { counter: 99, node: "z" } }), leafText("n", state));
});

test("branchText is that of nothing only where every slot is empty", () => {
  assert.equal(branchText([EMPTY_DIGEST, EMPTY_DIGEST]), undefined);
  assert.notEqual(branchText(["aa", EMPTY_DIGEST]), branchText([EMPTY_DIGEST, "aa"]));
});
