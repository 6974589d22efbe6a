/** Promise 1 of the design: whatever happens, what clients saw can be told as one operation after another. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { linearize, type Operation } from "../helpers/linearizability.ts";
import { HISTORIES_PER_WORLD, playWorld } from "../helpers/memory-ring-history.ts";
import { type Input, OBJECT_MODEL, type Output } from "../helpers/memory-ring-model.ts";

const WORLDS = 60;
/** Every run plays other worlds; ATOLL_TEST_SEED plays those of a run that failed. */
const FIRST_SEED = Number(process.env["ATOLL_TEST_SEED"] ?? Math.floor(Math.random() * 1e9));

test("objects are linearizable under loss, delay, repetition, partitions and crashes", async () => {
  const ends = new Map<string, number>();
  for (let seed = FIRST_SEED; seed < FIRST_SEED + WORLDS; seed++) {
    for (const history of await playSeed(seed)) {
      assert.ok(
        linearize(history.operations, OBJECT_MODEL),
        `ATOLL_TEST_SEED=${seed}: no order explains\n${show(history.operations)}`,
      );
      for (const [end, count] of history.ends) ends.set(end, (ends.get(end) ?? 0) + count);
    }
  }
  // Histories in which nothing is written, refused or left unknown would prove nothing.
  for (const end of ["found", "absent", "stored", "deleted", "conflict", "unknown"]) {
    const often = (ends.get(end) ?? 0) >= WORLDS * HISTORIES_PER_WORLD / 20;
    assert.ok(often, `${end} hardly ever happened: ${JSON.stringify([...ends])}`);
  }
});

async function playSeed(seed: number) {
  try {
    return await playWorld(seed);
  } catch (cause) {
    throw new Error(`ATOLL_TEST_SEED=${seed}: the world did not come to its end`, { cause });
  }
}

function show(operations: readonly Operation<Input, Output>[]): string {
  return operations.map(({ input, output, calledAt, returnedAt }) =>
    `${calledAt}-${returnedAt} ${JSON.stringify(input)} ${JSON.stringify(output)}`
  ).join("\n");
}
