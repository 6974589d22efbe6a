/** Promise 1 of the design: whatever happens, what clients saw can be told as one operation after another. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { linearize, type Operation } from "../helpers/linearizability.ts";
import { type Input, type Output, playHistory, REGISTER_MODEL } from "../helpers/memory-ring-history.ts";

const HISTORIES = 300;
/** Seeds of one run are neighbours; another run's begin elsewhere, unless ATOLL_TEST_SEED says where. */
const FIRST_SEED = Number(process.env["ATOLL_TEST_SEED"] ?? Math.floor(Math.random() * 1e9));

test("objects are linearizable under loss, delay, repetition, partitions and crashes", async () => {
  const ends: Record<string, number> = {};
  for (let seed = FIRST_SEED; seed < FIRST_SEED + HISTORIES; seed++) {
    const history = await playHistory(seed);
    assert.ok(
      linearize(history.operations, REGISTER_MODEL),
      `ATOLL_TEST_SEED=${seed}: no order explains\n${show(history.operations)}`,
    );
    for (const [end, count] of Object.entries(history.ends)) ends[end] = (ends[end] ?? 0) + count;
  }
  // Histories in which nothing is written, refused or left unknown would prove nothing.
  for (const end of ["found", "absent", "stored", "deleted", "conflict", "unknown"]) {
    assert.ok((ends[end] ?? 0) >= HISTORIES / 20, `${end} hardly ever happened: ${JSON.stringify(ends)}`);
  }
});

function show(operations: readonly Operation<Input, Output>[]): string {
  return operations.map(({ input, output, calledAt, returnedAt }) =>
    `${calledAt}-${returnedAt} ${JSON.stringify(input)} ${JSON.stringify(output)}`
  ).join("\n");
}
