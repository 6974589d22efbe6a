import assert from "node:assert/strict";
import { test } from "node:test";
import { ProbeOrder } from "../../src/core/probe-order.ts";
import { createSeededRandom } from "../helpers/fake-random.ts";

const IDS = Array.from({ length: 20 }, (_, n) => `n${n}`);
const all = () => [...IDS];
const anybody = () => true;

test("ProbeOrder asks everybody once before anybody twice, each round in another order", () => {
  const order = new ProbeOrder(createSeededRandom(1).fraction);
  const rounds = [1, 2, 3].map(() => [1, 2, 3, 4, 5].flatMap(() => order.take(4, all, anybody)));
  for (const round of rounds) assert.deepEqual([...round].sort(), [...IDS].sort());
  assert.notDeepEqual(rounds[0], rounds[1]);
  assert.notDeepEqual(rounds[1], rounds[2]);
});

test("ProbeOrder asks no one twice at a time, passes over who does not suit, and ends when nobody does", () => {
  const order = new ProbeOrder(createSeededRandom(1).fraction);
  assert.equal(new Set(order.take(50, all, anybody)).size, 20);
  assert.deepEqual(order.take(3, all, (id) => id === "n7"), ["n7"]);
  assert.deepEqual(order.take(3, all, () => false), []);
  assert.deepEqual(order.take(3, () => [], anybody), []);
});

test("ProbeOrder sees who came with the next round", () => {
  const order = new ProbeOrder(createSeededRandom(1).fraction);
  const ids = ["a", "b"];
  order.take(1, () => [...ids], anybody);
  ids.push("c");
  const next = [1, 2, 3, 4].flatMap(() => order.take(1, () => [...ids], anybody));
  assert.ok(next.includes("c"));
});

test("ProbeOrder.helpers are others who suit, different ones each time, and few are looked at", () => {
  const order = new ProbeOrder(createSeededRandom(1).fraction);
  const first = order.helpers(3, all, (id) => id !== "n0");
  const second = order.helpers(3, all, (id) => id !== "n0");
  assert.equal(new Set([...first, ...second]).size, 6);
  let looked = 0;
  assert.deepEqual(order.helpers(2, all, () => looked++ < 0), []);
  assert.equal(looked, 16);
  assert.deepEqual(order.helpers(3, () => ["a"], anybody), ["a"]);
});
