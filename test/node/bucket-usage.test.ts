/** What a quota goes by where a bucket cannot be counted: a failure is not an empty bucket. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AtollError } from "../../src/errors.ts";
import { BucketUsage } from "../../src/node/bucket-usage.ts";
import type { ListPage } from "../../src/node/list-objects.ts";
import { FakeClock } from "../helpers/fake-clock.ts";
import { QUIET } from "../helpers/memory-node.ts";

const COUNT_AGAIN_MS = 6_000;
const PAGE: ListPage = {
  objects: [{
    name: "abc\0key",
    accepted: { counter: 1, node: "a" },
    version: 1,
    object: { size: 70, sha256: "", modifiedMs: 0, contentType: "text/plain" },
  }],
  prefixes: [],
  next: null,
};

function openUsage() {
  const clock = new FakeClock();
  const state = { fails: true, tookMs: 0, counts: 0 };
  const list = async (): Promise<ListPage> => {
    state.counts++;
    await clock.advance(state.tookMs);
    if (state.fails) throw new AtollError("no-quorum", "nobody is there");
    return PAGE;
  };
  return { clock, state, usage: new BucketUsage({ listings: { list }, clock, log: QUIET }) };
}

test("BucketUsage.of rejects with what the error was as long as there is no count, and counts anew", async () => {
  const { state, usage } = openUsage();
  for (let n = 1; n <= 2; n++) {
    await assert.rejects(usage.of("abc"), { code: "no-quorum", message: /nobody is there/ });
    assert.equal(state.counts, n);
  }
  state.fails = false;
  assert.deepEqual((await usage.of("abc")).used, { bytes: 70, objects: 1 });
});

test("BucketUsage.of does not begin a count that took long anew for each upload", async () => {
  const { clock, state, usage } = openUsage();
  state.tookMs = 4_000;
  for (let n = 0; n < 3; n++) await assert.rejects(usage.of("abc"), { code: "no-quorum" });
  assert.equal(state.counts, 1);
  await clock.advance(state.tookMs);
  state.fails = false;
  assert.equal((await usage.of("abc")).used.bytes, 70);
});

test("BucketUsage.of goes on with the last count where the next one fails", async () => {
  const { clock, state, usage } = openUsage();
  state.fails = false;
  await usage.of("abc");
  state.fails = true;
  await clock.advance(COUNT_AGAIN_MS);
  assert.equal((await usage.of("abc")).used.bytes, 70);
  assert.equal(state.counts, 2);
  assert.equal((await usage.of("abc")).used.bytes, 70);
});
