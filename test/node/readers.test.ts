/** Many readers of one cold object: what they share, and that none of them can spoil it for the others. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import type { Manifest } from "../../src/core/manifest.ts";
import { HASHING } from "../helpers/memory-ring.ts";
import { openParts } from "../helpers/memory-ring-parts.ts";
import { Content } from "../../src/node/content.ts";
import { MemoryCache } from "../../src/node/memory-cache.ts";

const CHUNK_BYTES = 64_000;
const CHUNKS = 12;
const READERS = 100;

/** Twelve chunks on a, b and c; and d, which has none of them and no room for them in memory. */
async function open() {
  const { ring, parts } = await openParts({ ids: ["a", "b", "c", "d"], delayMs: () => 20 });
  const content = new Uint8Array(CHUNKS * CHUNK_BYTES).map((_, i) => (i * 31 + i / CHUNK_BYTES) & 0xff);
  const chunks: string[] = [];
  for (let i = 0; i < CHUNKS; i++) {
    const bytes = content.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES);
    chunks.push(HASHING.sha256(bytes));
    for (const node of ["a", "b", "c"]) await ring.run(parts[node]!.chunks.put(chunks[i]!, bytes));
  }
  const manifest: Manifest = {
    format: 1,
    size: content.length,
    sha256: HASHING.sha256(content),
    layout: "list",
    chunks,
    headers: {},
  };
  const name = ring.nameOn(["a", "b", "c"]);
  let gets = 0;
  ring.network.rule(({ request, reply }) => {
    if (request.type === "chunk-get" && !reply) gets++;
    return undefined;
  });
  const reading = new Content({
    reader: parts["d"]!.reader,
    memory: new MemoryCache(CHUNK_BYTES),
    clock: ring.clock,
    chunkSizes: { chunkBytes: CHUNK_BYTES, smallBytes: 1_000, inlineBytes: 0, listedMax: 1_000 },
  });
  const read = () => reading.open(name, manifest, 0, manifest.size - 1);
  const all = async (): Promise<Buffer> => {
    const parts: Uint8Array[] = [];
    for await (const part of (await read()).bytes) parts.push(part);
    return Buffer.concat(parts);
  };
  return { ring, content, read, all, gets: () => gets };
}

test("a hundred readers at once are one fetch for each chunk, and as quick as one", async () => {
  const alone = await open();
  const begunMs = alone.ring.clock.monotonicMs();
  await alone.ring.run(alone.all());
  const aloneMs = alone.ring.clock.monotonicMs() - begunMs;

  const { ring, content, all, gets } = await open();
  const togetherMs = ring.clock.monotonicMs();
  const read = await ring.run(Promise.all(Array.from({ length: READERS }, all)));
  assert.ok(read.every((bytes) => bytes.equals(content)));
  assert.equal(gets(), CHUNKS);
  const tookMs = ring.clock.monotonicMs() - togetherMs;
  assert.ok(tookMs <= 2 * aloneMs, `${tookMs} ms, alone ${aloneMs} ms`);
});

test("who reads no further, and who leaves first, holds nobody", async () => {
  const { ring, content, read, all, gets } = await open();
  const first = read();
  const stalled = Array.from({ length: READERS }, () => read());
  const others = Array.from({ length: 5 }, all);
  const begun = await ring.run(first);
  await ring.run(begun.bytes.next());
  await ring.run(Promise.resolve(begun.bytes.return?.()));
  for (const opened of stalled) await ring.run((await opened).bytes.next());
  for (const bytes of await ring.run(Promise.all(others))) assert.ok(bytes.equals(content));
  assert.equal(gets(), CHUNKS);
});
