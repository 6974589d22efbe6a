import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRequestDirectives } from "../../src/core/freshness.ts";
import { partitionOf } from "../../src/core/partitions.ts";
import { MemoryRing } from "../helpers/memory-ring.ts";
import { bytesOfKind } from "../helpers/stored-objects.ts";
import { uploadOf } from "../helpers/uploads.ts";

test("Routes.of says who has it, nearest first, and what of it is here until when", async () => {
  const farMs: Readonly<Record<string, number>> = { a: 40, b: 5, c: 20 };
  const ring = await MemoryRing.open({
    ids: ["a", "b", "c", "d"],
    delayMs: ({ from, to }) => (from === "d" ? farMs[to] : farMs[from]) ?? 1,
  });
  try {
    const name = ring.nameOn(["a", "b", "c"]);
    const { objects, routes } = ring.node("d");
    await ring.clock.advance(5_000);
    const before = routes.of(name);
    assert.deepEqual(before.replicas.map(({ node }) => node), ["b", "c", "a"]);
    assert.deepEqual(
      before.replicas.map(({ publicUrl }) => publicUrl),
      ["b", "c", "a"].map((id) => `http://${id}.public`),
    );
    for (const { node, state, rttMs } of before.replicas) {
      assert.equal(state, "alive");
      assert.ok(rttMs !== null && Math.abs(rttMs - 2 * farMs[node]!) < 5, `${node}: ${rttMs} ms`);
    }
    assert.deepEqual([before.node, before.partition, before.layout], ["d", partitionOf(name), 1]);
    assert.ok(["a", "b", "c"].includes(before.home!));
    assert.equal(before.cached, null);

    const upload = { ...uploadOf(name, bytesOfKind(1, 5_000)), headers: { "cache-control": "max-age=60" } };
    await ring.run(objects.put(upload, {}));
    const found = await ring.run(objects.locate(name, parseRequestDirectives("no-cache")));
    assert.ok(found.kind === "found");
    const unread = routes.of(name).cached;
    assert.deepEqual([unread?.version, unread?.chunks, unread?.chunksInMemory], [1, 1, 0]);
    const { bytes } = await ring.run(objects.open(name, found.object, 0, 99));
    await ring.run(bytes.next());
    await ring.clock.advance(10_500);
    const { cached } = routes.of(name);
    assert.deepEqual(cached, { version: 1, ageSeconds: 10, freshSeconds: 49, chunks: 1, chunksInMemory: 1 });
    await ring.clock.advance(60_000);
    assert.equal(routes.of(name).cached?.freshSeconds, 0);
  } finally {
    ring.close();
  }
});

test("Routes.of: a replica is the nearest to itself, and who is silent comes last", async () => {
  const ring = await MemoryRing.open({ ids: ["a", "b", "c"] });
  try {
    const name = ring.nameOn(["a", "b", "c"]);
    ring.crash("b");
    await ring.clock.until("b is suspected", () => !ring.node("c").membership.isAlive("b"));
    const { replicas } = ring.node("c").routes.of(name);
    assert.deepEqual(replicas.map(({ node }) => node), ["c", "a", "b"]);
    assert.deepEqual([replicas[0]!.rttMs, replicas[2]!.rttMs], [0, null]);
    assert.match(replicas[2]!.state, /suspect|dead/);
  } finally {
    ring.close();
  }
});
