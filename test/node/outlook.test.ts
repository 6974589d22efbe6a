/** Where a majority is known to be out of reach everything ends at once, and goes on at once when it is back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openParts, type PartsRing } from "../helpers/memory-ring-parts.ts";

const NAME = "bucket\0key";
const FAR_MS = 30;

/** To a b and c are lost: they refused a connection, and hang since. */
async function open(): Promise<PartsRing & { heal: () => void; sent: string[] }> {
  const { ring, parts } = await openParts({ ids: ["a", "b", "c"], delayMs: () => FAR_MS });
  const { gate } = parts["a"]!;
  const refusing = ["b", "c"].map((id) => ring.network.refuse(id));
  for (const id of ["b", "c"]) {
    await assert.rejects(ring.run(gate.call(id, { type: "layout" }, { timeoutMs: 1_000 })));
  }
  for (const stop of refusing) stop();
  const sent: string[] = [];
  let isBack = false;
  ring.network.rule(({ from, to, request }) => {
    if (from === "a" && request.type !== "ping") sent.push(`${request.type} ${to}`);
    return isBack ? undefined : { lost: true };
  });
  return { ring, parts, sent, heal: () => (isBack = true) };
}

test("a strong read is no-quorum after one look, and for the next second without one", async () => {
  const { ring, parts, sent } = await open();
  const { strongReads } = parts["a"]!;
  const begunMs = ring.clock.monotonicMs();
  const others = Array.from({ length: 50 }, (_, n) => strongReads.read(`bucket\0other-${n}`));
  for (const read of [strongReads.read(NAME), ...others]) {
    await assert.rejects(ring.run(read), { code: "no-quorum", message: /2 of them do not answer/ });
  }
  const lookedMs = ring.clock.monotonicMs() - begunMs;
  assert.ok(lookedMs <= 4 * FAR_MS, `${lookedMs} ms`);
  await assert.rejects(ring.run(strongReads.read(NAME)), { code: "no-quorum" });
  assert.equal(ring.clock.monotonicMs() - begunMs, lookedMs);
  assert.deepEqual(sent.sort(), ["chunks-held b", "chunks-held c"]);
  await ring.clock.advance(1_000);
  await assert.rejects(ring.run(strongReads.read(NAME)), { code: "no-quorum" });
  assert.equal(sent.length, 4);
});

test("a change is no-quorum as quickly, before anything of it was sent", async () => {
  const { ring, parts, sent } = await open();
  const { objects } = parts["a"]!;
  const begunMs = ring.clock.monotonicMs();
  await assert.rejects(ring.run(objects.delete(NAME, {})), { code: "no-quorum" });
  assert.ok(ring.clock.monotonicMs() - begunMs <= 4 * FAR_MS);
  assert.deepEqual(sent.sort(), ["chunks-held b", "chunks-held c"]);
});

test("a listing is no-quorum as quickly", async () => {
  const { ring, parts, sent } = await open();
  const { listings } = parts["a"]!;
  const begunMs = ring.clock.monotonicMs();
  await assert.rejects(ring.run(listings.list({ prefix: "bucket\0", after: "", limit: 10 })), {
    code: "no-quorum",
    message: /2 of them do not answer/,
  });
  assert.ok(ring.clock.monotonicMs() - begunMs <= 4 * FAR_MS);
  assert.deepEqual(sent.sort(), ["chunks-held b", "chunks-held c"]);
});

test("reads go on as soon as a look finds that somebody is back", async () => {
  const { ring, parts, heal } = await open();
  const { strongReads } = parts["a"]!;
  await assert.rejects(ring.run(strongReads.read(NAME)), { code: "no-quorum" });
  heal();
  await assert.rejects(ring.run(strongReads.read(NAME)), { code: "no-quorum" });
  await ring.clock.advance(1_000);
  assert.equal((await ring.run(strongReads.read(NAME))).value, null);
});

test("a chunk that nobody can be asked for is no-quorum within a second", async () => {
  const { ring, parts } = await open();
  const begunMs = ring.clock.monotonicMs();
  const wanted = { name: NAME, id: "a".repeat(64), sizeBytes: 1_000, keep: false };
  await assert.rejects(ring.run(parts["a"]!.reader.fetch(wanted)), { code: "no-quorum" });
  assert.ok(ring.clock.monotonicMs() - begunMs <= 1_000);
});
