/** Which answer may be kept where, by when it was asked for, by whom, and by what was purged meanwhile. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CopyNotes } from "../../src/core/origin-answer.ts";
import type { Purge } from "../../src/core/purge.ts";
import type { RegisterValue } from "../../src/core/register.ts";
import type { Place } from "../../src/node/origin-copies.ts";
import { OriginOrder } from "../../src/node/origin-order.ts";

const NAME = "abc\0k";
const PRIMARY: Place = { name: "_abc\0k", era: "e", isPrimary: true };
const OTHER: Place = { name: "_abc/7\0k", era: "e", isPrimary: false };
const NONE: Purge = { names: [], prefixes: [], tagged: [], soft: false };

function notes(receivedMs: number, dateMs = receivedMs): CopyNotes {
  return { status: 200, receivedMs, ageMs: 0, dateMs, vary: {}, era: "e" };
}

function value(version: number, kept?: CopyNotes): RegisterValue {
  const manifest = {
    size: 0,
    sha256: "",
    format: 1,
    layout: "list",
    chunks: [],
    headers: { "atoll-origin": JSON.stringify(kept) },
  } as const;
  const content = kept ? { kind: "object" as const, manifest } : { kind: "tombstone" as const };
  return { version, modifiedMs: 0, changeId: "c", ancestors: [], content };
}

test("OriginOrder: of two answers the one that was asked for later has the place, in whichever order they come", () => {
  const order = new OriginOrder();
  const [first, second] = [order.begin(NAME, 100, 0), order.begin(NAME, 200, 0)];
  // This node's own count goes before the origin's clock, which several servers may not share.
  assert.equal(order.objection(first, PRIMARY, notes(300, 9_000), null), undefined);
  assert.equal(order.objection(second, PRIMARY, notes(400), value(1, notes(300, 9_000))), undefined);
  assert.match(order.objection(first, PRIMARY, notes(500), value(2, notes(400)))!, /later question/);
  assert.equal(order.objection(first, OTHER, notes(500), null), undefined, "another place is another's");
  const third = order.begin(NAME, 600, 2);
  order.confirmed(third, OTHER.name, 700);
  assert.match(order.objection(second, OTHER, notes(800), value(3, notes(700)))!, /later question/);
});

test("OriginOrder: of another node's answer, and this one's, the newer by the origin's clock stays", () => {
  const cases: readonly (readonly [there: CopyNotes, mine: CopyNotes, isKept: boolean])[] = [
    [notes(150, 20), notes(200, 10), false],
    [notes(150, 10), notes(200, 10), true],
    [notes(150, 10), notes(200, 20), true],
    // It came before this was asked for: then this is newer, whatever the origin's clock says.
    [notes(90, 20), notes(200, 10), true],
  ];
  for (const [there, mine, isKept] of cases) {
    const order = new OriginOrder();
    const objection = order.objection(order.begin(NAME, 100, 1), PRIMARY, mine, value(1, there));
    assert.equal(objection === undefined, isKept, `${JSON.stringify(there)}: ${objection}`);
  }
});

test("OriginOrder: what was dropped since the question, by whomever, stays dropped", () => {
  const cases = [[1, 1, PRIMARY, true], [1, 2, PRIMARY, false], [undefined, 2, PRIMARY, true], [
    1,
    2,
    OTHER,
    true,
  ]] as const;
  for (const [asked, version, place, isKept] of cases) {
    const order = new OriginOrder();
    const objection = order.objection(order.begin(NAME, 100, asked), place, notes(200), value(version));
    assert.equal(objection === undefined, isKept, `${asked} ${version} ${place.name}: ${objection}`);
  }
});

test("OriginOrder.callOff: what falls under a purge, and what may, and nothing that is asked for later", () => {
  const cases: readonly (readonly [purge: Partial<Purge>, tag: string | undefined, isOff: boolean])[] = [
    [{ names: ["_abc\0k"] }, "x", true],
    [{ names: ["abc\0k", "_abc/7\0k", "_abd\0k"] }, "x", false],
    [{ prefixes: ["_abc\0"] }, "x", true],
    [{ prefixes: ["_abc\0l", "abc\0"] }, "x", false],
    [{ tagged: [{ bucket: "_abc", tag: "x" }] }, "x", true],
    [{ tagged: [{ bucket: "_abc", tag: "y" }] }, "x", false],
    [{ tagged: [{ bucket: "_abc", tag: "y" }] }, undefined, true],
    [{ tagged: [{ bucket: "_abd", tag: "x" }] }, undefined, false],
  ];
  for (const [purge, tag, isOff] of cases) {
    const order = new OriginOrder();
    const asking = order.begin(NAME, 100, 0);
    if (tag !== undefined) asking.answer = { headers: { "cache-tag": tag } };
    const names = order.callOff({ ...NONE, ...purge });
    assert.deepEqual([asking.isOff, names.has(NAME)], [isOff, isOff], JSON.stringify([purge, tag]));
    assert.equal(order.objection(asking, PRIMARY, notes(200), null) !== undefined, isOff);
    const later = order.begin(NAME, 300, 0);
    assert.equal(order.objection(later, PRIMARY, notes(400), null), undefined);
    for (const each of [asking, later]) order.end(each);
  }
});
