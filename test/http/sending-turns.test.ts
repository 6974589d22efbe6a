import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { SendingTurns } from "../../src/http/sending-turns.ts";

const MIB = 1 << 20;

/** Sends a body as answers are sent, a chunk at a time; `onSent` hears of each piece. */
async function send(turns: SendingTurns, sizeBytes: number, onSent: (bytes: number) => void): Promise<void> {
  for (let sent = 0; sent < sizeBytes;) {
    const bytes = await turns.take(MIB - sent % MIB, sent === 0);
    sent += bytes;
    onSent(bytes);
  }
}

test("many bodies at once leave the event loop to others in between, and all of them come", async () => {
  const turns = new SendingTurns();
  let sentBytes = 0;
  const all = Promise.all(
    Array.from({ length: 50 }, () => send(turns, 8 * MIB, (bytes) => sentBytes += bytes)),
  );
  let largestBytes = 0;
  for (let before = 0; before < 50 * 8 * MIB;) {
    before = sentBytes;
    await turn();
    largestBytes = Math.max(largestBytes, sentBytes - before);
  }
  await all;
  assert.equal(sentBytes, 50 * 8 * MIB);
  assert.ok(largestBytes <= 3 * MIB, `wanted at most 3 MiB in a turn, got ${largestBytes / MIB}`);
});

test("one body alone does not wait but for the turn of the loop", async () => {
  const turns = new SendingTurns();
  assert.equal(turns.take(1, true), 1);
  assert.equal(turns.take(MIB, false), MIB, "a chunk of one alone is not cut in two");
  const waits = turns.take(1, false);
  assert.ok(waits instanceof Promise);
  await turn();
  assert.equal(await waits, 1);
  await turn();
  assert.equal(turns.take(1, false), 1);
});

test("a thousand bodies have all begun before any of them is far, and those that come later begin at once", async () => {
  const turns = new SendingTurns();
  let sentBytes = 0;
  /** Bytes of all that were sent when each body had its first. */
  const begunAt: number[] = [];
  const begin = () => {
    let sent = 0;
    return send(turns, MIB, (bytes) => {
      sentBytes += bytes;
      if (sent === 0) begunAt.push(sentBytes);
      sent += bytes;
    });
  };
  const all = Array.from({ length: 1_000 }, begin);
  for (let round = 0; begunAt.length < all.length && round < all.length; round++) await turn();
  assert.equal(begunAt.length, all.length);
  assert.ok(begunAt.at(-1)! <= 40 * MIB, `the last began after ${begunAt.at(-1)! / MIB} MiB`);
  const beforeBytes = sentBytes;
  all.push(begin());
  await Promise.all(all);
  const late = begunAt.at(-1)! - beforeBytes;
  assert.ok(late <= 4 * MIB, `who came later began after ${late / MIB} MiB`);
});

test("those who have begun go on, however many begin", async () => {
  const turns = new SendingTurns();
  void turns.take(2 * MIB, false);
  const slices: number[] = [];
  void send(turns, 4 * MIB, (bytes) => slices.push(bytes));
  for (let round = 0; round < 100; round++) {
    for (let n = 0; n < 200; n++) void turns.take(MIB, true);
    await turn();
  }
  const sent = slices.reduce((sum, bytes) => sum + bytes, 0);
  assert.equal(sent, 4 * MIB, `after 20,000 beginners ${sent / MIB} of 4 MiB`);
});
