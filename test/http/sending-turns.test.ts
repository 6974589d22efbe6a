import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { SendingTurns } from "../../src/http/sending-turns.ts";

const MIB = 1 << 20;

test("many bodies at once leave the event loop to others in between, and all of them come", async () => {
  const turns = new SendingTurns();
  let sentBytes = 0;
  const body = async (): Promise<void> => {
    for (let i = 0; i < 8; i++) {
      await turns.take(MIB);
      sentBytes += MIB;
    }
  };
  const all = Promise.all(Array.from({ length: 50 }, body));
  let largestBytes = 0;
  for (let before = 0; before < 50 * 8 * MIB;) {
    before = sentBytes;
    await turn();
    largestBytes = Math.max(largestBytes, sentBytes - before);
  }
  await all;
  assert.ok(largestBytes <= 8 * MIB, `wanted at most 8 MiB in a turn, got ${largestBytes / MIB}`);
});

test("one body alone does not wait but for the turn of the loop", async () => {
  const turns = new SendingTurns();
  assert.equal(turns.take(MIB), undefined);
  assert.equal(turns.take(5 * MIB), undefined, "what is begun is not cut in two");
  const waits = turns.take(1);
  assert.ok(waits);
  await turn();
  await waits;
  await turn();
  assert.equal(turns.take(1), undefined);
});
