import assert from "node:assert/strict";
import { test } from "node:test";
import { KeyedQueue } from "../../src/node/keyed-queue.ts";
import { defer } from "../../src/node/waiting.ts";

test("KeyedQueue runs one key's work in order of arrival, one at a time", async () => {
  const queue = new KeyedQueue();
  const gates = [defer<void>(), defer<void>(), defer<void>()];
  const events: string[] = [];
  const all = gates.map((gate, n) =>
    queue.run("key", async () => {
      events.push(`begin ${n}`);
      await gate.promise;
      events.push(`end ${n}`);
      return n;
    })
  );
  gates[2]!.resolve();
  gates[1]!.resolve();
  gates[0]!.resolve();
  assert.deepEqual(await Promise.all(all), [0, 1, 2]);
  assert.deepEqual(events, ["begin 0", "end 0", "begin 1", "end 1", "begin 2", "end 2"]);
});

test("KeyedQueue lets keys pass each other", async () => {
  const queue = new KeyedQueue();
  const gate = defer<void>();
  const slow = queue.run("slow", () => gate.promise);
  assert.equal(await queue.run("quick", () => Promise.resolve("passed")), "passed");
  assert.equal(queue.size, 1);
  gate.resolve();
  await slow;
});

test("KeyedQueue goes on after work that failed, and tells only whoever asked", async () => {
  const queue = new KeyedQueue();
  const failing = queue.run("key", () => Promise.reject(new Error("that one")));
  const next = queue.run("key", () => Promise.resolve("next"));
  await assert.rejects(failing, /that one/);
  assert.equal(await next, "next");
});

test("KeyedQueue forgets a key whose work is done", async () => {
  const queue = new KeyedQueue();
  const works = Array.from({ length: 100 }, (_, n) => queue.run(`key ${n % 10}`, () => Promise.resolve()));
  assert.equal(queue.size, 10);
  await Promise.all(works);
  assert.equal(queue.size, 0);
});
