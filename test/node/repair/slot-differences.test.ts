import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NO_BALLOT, sameBallot } from "../../../src/core/ballot.ts";
import { compareUtf8 } from "../../../src/core/names.ts";
import { EMPTY_ACCEPTOR } from "../../../src/core/register.ts";
import { isAtollError } from "../../../src/errors.ts";
import { differences, entriesOf } from "../../../src/node/repair/slot-differences.ts";
import type { RegisterRow } from "../../../src/ports.ts";

type Entry = { name: string; accepted: { counter: number; node: string } };

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

function entry(name: string, counter: number): Entry {
  return { name, accepted: counter === 0 ? NO_BALLOT : { counter, node: "n" } };
}

function rowsOf(held: ReadonlyMap<string, number>): RegisterRow[] {
  return sorted(held).map(([name, counter]) => ({
    name,
    state: { ...EMPTY_ACCEPTOR, accepted: entry(name, counter).accepted },
  }));
}

function sorted(held: ReadonlyMap<string, number>): [string, number][] {
  return [...held].sort(([a], [b]) => compareUtf8(a, b));
}

test("differences are the names at which two replicas have not accepted the same, in order", async () => {
  const holding = fc.array(fc.tuple(fc.string({ minLength: 1, maxLength: 2, unit: "binary" }), fc.nat(3)))
    .map((pairs) => new Map(pairs));
  await fc.assert(fc.asyncProperty(holding, holding, async (ours, theirs) => {
    const found: string[] = [];
    const told = sorted(theirs).map(([name, counter]) => entry(name, counter));
    for await (const name of differences(each(rowsOf(ours)), each(told))) found.push(name);
    const wanted = [...new Set([...ours.keys(), ...theirs.keys()])].filter((name) =>
      !sameBallot(entry(name, ours.get(name) ?? 0).accepted, entry(name, theirs.get(name) ?? 0).accepted)
    );
    assert.deepEqual(found, wanted.sort(compareUtf8));
  }));
});

test("entriesOf follows a peer from page to page, also over pages without an entry", async () => {
  const pages = new Map([
    ["", { entries: [entry("a", 1), entry("b", 1)], next: "b" }],
    ["b", { entries: [], next: "d" }],
    ["d", { entries: [entry("e", 2)] }],
  ]);
  const found: Entry[] = [];
  const ask = async (after: string) => ({ type: "slot-entries" as const, ...pages.get(after)! });
  for await (const { name, accepted } of entriesOf(ask)) found.push({ name, accepted });
  assert.deepEqual(found.map(({ name }) => name), ["a", "b", "e"]);
});

const LIES: Record<string, (after: string) => { entries: Entry[]; next?: string }> = {
  "goes back": (after) => ({ entries: [entry(after === "" ? "m" : "c", 1)], next: after === "" ? "m" : "c" }),
  "stands still": () => ({ entries: [], next: "x" }),
  "is out of order": () => ({ entries: [entry("b", 1), entry("a", 1)] }),
  "repeats itself": (after) => ({ entries: [entry("b", 1)], next: after === "" ? "b" : "c" }),
  "never ends": (after) => ({
    entries: [],
    next: `${after}x`.slice(-9_000).replace(/^x{9000}$/, "y") || "x",
  }),
};

for (const [lie, page] of Object.entries(LIES)) {
  test(`entriesOf gives up on a peer whose list ${lie}`, async () => {
    const all = async (): Promise<void> => {
      for await (const _entry of entriesOf(async (after) => ({ type: "slot-entries", ...page(after) })));
    };
    await assert.rejects(all(), (error) => isAtollError(error, "peer-garbage"));
  });
}
