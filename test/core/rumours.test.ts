import assert from "node:assert/strict";
import { test } from "node:test";
import { Rumours, spreadMax } from "../../src/core/rumours.ts";

const rumour = (id: string, text = "") => ({ id, text });

test("spreadMax grows with the logarithm of the ring", () => {
  assert.deepEqual([1, 2, 10, 100, 1_000].map(spreadMax), [6, 6, 12, 21, 30]);
});

test("Rumours passes on first what travelled least, then what came first", () => {
  const rumours = new Rumours<{ id: string; text: string }>();
  for (const id of ["a", "b", "c"]) rumours.put(rumour(id));
  const take = () => rumours.take(2, 100).map(({ id }) => id).join("");
  assert.deepEqual([take(), take(), take()], ["ab", "ca", "bc"]);
  rumours.put(rumour("d"));
  assert.equal(take(), "da");
});

test("Rumours passes each on so many times, and then no more", () => {
  const rumours = new Rumours<{ id: string; text: string }>();
  for (let n = 0; n < 50; n++) rumours.put(rumour(String(n)));
  const told = new Map<string, number>();
  for (let message = 0; message < 1_000; message++) {
    for (const { id } of rumours.take(8, 50)) told.set(id, (told.get(id) ?? 0) + 1);
  }
  assert.equal(told.size, 50);
  assert.deepEqual([...new Set(told.values())], [spreadMax(50)]);
  assert.equal(rumours.size, 0);
});

test("Rumours has of each member the newest only, and that afresh", () => {
  const rumours = new Rumours<{ id: string; text: string }>();
  rumours.put(rumour("a", "old"));
  for (let n = 0; n < 3; n++) rumours.take(1, 10);
  rumours.put(rumour("b"));
  rumours.take(1, 10);
  rumours.put(rumour("a", "new"));
  assert.deepEqual(rumours.take(9, 10).map(({ id, text }) => id + text), ["anew", "b"]);
  rumours.drop("a");
  assert.deepEqual(rumours.take(9, 10).map(({ id }) => id), ["b"]);
  rumours.drop("nobody");
});

test("Rumours takes what others tell as well for travelled", () => {
  const rumours = new Rumours<{ id: string; text: string }>();
  for (const id of ["a", "b"]) rumours.put(rumour(id));
  rumours.echo("a", 10);
  assert.deepEqual(rumours.take(1, 10).map(({ id }) => id), ["b"]);
  for (let n = 0; n < spreadMax(10); n++) rumours.echo("a", 10);
  rumours.echo("nobody", 10);
  assert.deepEqual(rumours.take(9, 10).map(({ id }) => id), ["b"]);
});
