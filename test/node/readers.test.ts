/** Many readers of one cold object: what they share, and that none of them can spoil it for the others. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import type { Manifest } from "../../src/core/manifest.ts";
import { HASHING } from "../helpers/memory-ring.ts";
import { openParts } from "../helpers/memory-ring-parts.ts";
import { Content, type OpenContent } from "../../src/node/content.ts";

const CHUNK_BYTES = 64_000;
/** More than the memory cache keeps of one object. */
const CHUNKS = 16;
const READERS = 100;
/** Of fake time, for each step: what is broken fails at once. */
const LIMIT_MS = 10_000;

/** An object's chunks on a, b and c; and d, which has none of them. */
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
  const { reader, memory } = parts["d"]!;
  const reading = new Content({
    reader,
    memory,
    clock: ring.clock,
    chunkSizes: { chunkBytes: CHUNK_BYTES, smallBytes: 1_000, inlineBytes: 0, listedMax: 1_000 },
  });
  const read = () => reading.open(name, manifest, 0, manifest.size - 1);
  const rest = async ({ bytes }: OpenContent): Promise<Buffer> => {
    const parts: Uint8Array[] = [];
    for await (const part of bytes) parts.push(part);
    return Buffer.concat(parts);
  };
  const run = <T>(label: string, promise: Promise<T>): Promise<T> => ring.run(promise, label, LIMIT_MS);
  return { ring, memory, content, reading, read, rest, run, gets: () => gets };
}

test("a hundred readers at once are one fetch for each chunk, and as quick as one", async () => {
  const alone = await open();
  const begunMs = alone.ring.clock.monotonicMs();
  await alone.run("one reads", alone.read().then(alone.rest));
  const aloneMs = alone.ring.clock.monotonicMs() - begunMs;

  const { ring, content, read, rest, run, gets } = await open();
  const togetherMs = ring.clock.monotonicMs();
  const all = Promise.all(Array.from({ length: READERS }, () => read().then(rest)));
  assert.ok((await run("all read", all)).every((bytes) => bytes.equals(content)));
  assert.equal(gets(), CHUNKS);
  const tookMs = ring.clock.monotonicMs() - togetherMs;
  assert.ok(tookMs <= 2 * aloneMs, `${tookMs} ms, alone ${aloneMs} ms`);
});

test("who reads no further, and who leaves first, holds nobody", async () => {
  const { content, read, rest, run, gets, memory } = await open();
  const first = read();
  const stalled = Array.from({ length: READERS }, read);
  const others = Array.from({ length: 5 }, () => read().then(rest));
  const begun = await run("the first one begins", first);
  await run("it reads", begun.bytes.next());
  await run("it leaves", Promise.resolve(begun.bytes.return?.()));
  const opened = await run("the stalled ones begin", Promise.all(stalled));
  await run("they read", Promise.all(opened.map(({ bytes }) => bytes.next())));
  for (const bytes of await run("the others read", Promise.all(others))) assert.ok(bytes.equals(content));
  assert.equal(gets(), CHUNKS);
  assert.equal(memory.inUseBytes, 3 * CHUNK_BYTES, "what a hundred are being sent is there once");
  for (const { bytes } of opened) await run("they leave", Promise.resolve(bytes.return?.()));
  assert.equal(memory.inUseBytes, 0);
});

test("what the quickest reader had comes once, however far the others are behind", async () => {
  const { content, read, rest, run, gets } = await open();
  const behind = await run("they begin", Promise.all(Array.from({ length: 5 }, read)));
  const begun = await run("they read", Promise.all(behind.map(({ bytes }) => bytes.next())));
  assert.ok((await run("one is far ahead", read().then(rest))).equals(content));
  for (const [n, opened] of behind.entries()) {
    const bytes = Buffer.concat([begun[n]!.value as Uint8Array, await run("one follows", rest(opened))]);
    assert.ok(bytes.equals(content));
  }
  assert.equal(gets(), CHUNKS);
});

test("who comes while others are being sent a chunk is given the same bytes", async () => {
  const { read, run, gets } = await open();
  const opened = await run("one begins", read());
  const { value: first } = await run("it reads", opened.bytes.next());
  const late = await run("another one begins", read());
  const { value } = await run("it reads", late.bytes.next());
  assert.equal(value, first);
  assert.equal(gets(), 3, "the first chunk and those ahead");
});

test("who opens it and leaves before reading, and who is refused a chunk, leaves nothing behind", async () => {
  const { ring, read, run, memory } = await open();
  const opened = await run("one opens", read());
  await ring.clock.advance(1_000);
  assert.equal(memory.inUseBytes, 3 * CHUNK_BYTES, "its first chunk and those ahead");
  await run("it leaves", Promise.resolve(opened.bytes.return?.()));
  assert.equal(memory.inUseBytes, 0);
  const begun = await run("another one opens", read());
  const restore = ["a", "b", "c"].map((id) => ring.network.refuse(id));
  const reading = (async () => {
    for await (const part of begun.bytes) assert.equal(part.length, CHUNK_BYTES);
  })();
  await assert.rejects(run("it reads", reading), { code: "no-quorum" });
  assert.equal(memory.inUseBytes, 0);
  for (const undo of restore) undo();
});

test("what is not small is opened though it is in memory, so that it is counted while a reader has it", async () => {
  const { reading, memory } = await open();
  const peek = (sizeBytes: number): Uint8Array | undefined => {
    const bytes = new Uint8Array(sizeBytes);
    const id = HASHING.sha256(bytes);
    memory.keepChunk(id, bytes);
    return reading.peek({
      format: 1,
      size: sizeBytes,
      sha256: id,
      layout: "list",
      chunks: [id],
      headers: {},
    });
  };
  assert.equal(peek(64 << 10)?.length, 64 << 10);
  assert.equal(peek((64 << 10) + 1), undefined);
});
