/** Of many who create the same object at once exactly one did; `npm run race` plays a thousand rounds. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startRing } from "../helpers/atoll-ring.ts";
import { race } from "../helpers/create-race.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";

const ROUNDS = 30;

test("eight clients at five nodes create the same object, and one does, also when a node dies", async () => {
  const directory = await mkdtemp(join(tmpdir(), "atoll-race-"));
  try {
    await using ring = await startRing({ directory, runtimes: [HERE, THERE, HERE, THERE, HERE] });
    const { oneWinner, faults } = await race({ ring, rounds: ROUNDS, clients: 8, killed: 1 });
    assert.deepEqual([oneWinner, faults], [ROUNDS, []]);
  } finally {
    await rm(directory, { recursive: true });
  }
});
