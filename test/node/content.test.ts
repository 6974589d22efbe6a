/** Content: a large object comes fast from afar, from several nodes at once, and readers that leave hold nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRequestDirectives } from "../../src/core/freshness.ts";
import type { Message } from "../helpers/fake-network.ts";
import { MemoryRing } from "../helpers/memory-ring.ts";
import { putObject } from "../helpers/stored-objects.ts";

const CHUNK_BYTES = 1 << 10;
const CHUNKS = 40;
/** Round trips from d to each of the replicas. */
const FAR_MS = 100;

async function open(): Promise<{ ring: MemoryRing; read: (n: number, chunks?: number) => Promise<number> }> {
  const ring = await MemoryRing.open({
    ids: ["a", "b", "c", "d"],
    chunkSizes: { chunkBytes: CHUNK_BYTES, smallBytes: 0, inlineBytes: 0, listedMax: 1_000 },
    memoryCacheBytes: 1 << 14,
    delayMs: ({ from, to }) => (from === "d" || to === "d" ? FAR_MS / 2 : 1),
  });
  await ring.clock.advance(10_000); // until they know how far they are
  const name = ring.nameOn(["a", "b", "c"]);
  const contents = Array.from(
    { length: 30 },
    (_, n) => new Uint8Array(CHUNKS * CHUNK_BYTES).map((_, i) => i * 7 + n + i / 256),
  );
  const read = async (n: number, chunks = CHUNKS): Promise<number> => {
    const bytes = contents[n]!;
    await putObject(ring, "a", name, bytes);
    await ring.clock.advance(5_000);
    const { objects } = ring.node("d");
    const found = await ring.run(objects.locate(name, parseRequestDirectives("no-cache")));
    assert.ok(found.kind === "found");
    const begunMs = ring.clock.monotonicMs();
    const stream = (await ring.run(objects.open(name, found.object, 0, bytes.length - 1))).bytes;
    for (let chunk = 0; chunk < chunks; chunk++) {
      const part = await ring.run(stream.next());
      assert.deepEqual(part.value, bytes.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES));
    }
    await stream.return?.();
    return ring.clock.monotonicMs() - begunMs;
  };
  return { ring, read };
}

test("Content reads further and further ahead of a reader that has to wait, from several nodes at once", async () => {
  const { ring, read } = await open();
  try {
    const underWay = new Map<string, number>();
    const asked = new Map<string, number>();
    let most = 0;
    ring.network.rule(({ from, to, request, reply }: Message) => {
      if (request.type !== "chunk-get" || (from !== "d" && to !== "d")) return undefined;
      const peer = from === "d" ? to : from;
      underWay.set(peer, (underWay.get(peer) ?? 0) + (reply ? -1 : 1));
      if (!reply) asked.set(peer, (asked.get(peer) ?? 0) + 1);
      most = Math.max(most, [...underWay.values()].reduce((sum, count) => sum + count, 0));
      return undefined;
    });
    const tookMs = await read(0);
    assert.ok(tookMs <= 9 * FAR_MS, `wanted few round trips for ${CHUNKS} chunks, got ${tookMs} ms`);
    assert.ok(most > 8 && most <= 17, `got ${most} under way`);
    const shares = ["a", "b", "c"].map((id) => asked.get(id) ?? 0);
    assert.ok(
      shares.every((share) => share >= CHUNKS / 5),
      `wanted about a third of each, got ${shares.join()}`,
    );
    assert.ok(shares.reduce((sum, share) => sum + share) <= CHUNKS * 1.05, `each once, got ${shares.join()}`);
  } finally {
    ring.close();
  }
});

test("Content: readers that leave early take nothing from those who come after them", async () => {
  const { ring, read } = await open();
  try {
    for (let n = 0; n < 20; n++) await read(n, 12);
    const tookMs = await read(20);
    assert.ok(tookMs <= 9 * FAR_MS, `got ${tookMs} ms`);
  } finally {
    ring.close();
  }
});
