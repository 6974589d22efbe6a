/** Readers that take nothing: they have memory as long as nobody else needs it, and are given the same bytes later. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import type { Manifest } from "../../src/core/manifest.ts";
import { BufferBudget, type Lease } from "../../src/node/buffer-budget.ts";
import type { ChunkReader, ChunkWanted, FetchedChunk } from "../../src/node/chunk-reader.ts";
import { Content, type OpenContent } from "../../src/node/content.ts";
import { MemoryCache } from "../../src/node/memory-cache.ts";
import { Metrics } from "../../src/node/metrics.ts";
import { within } from "../helpers/deadline.ts";
import { FakeClock } from "../helpers/fake-clock.ts";
import { HASHING } from "../helpers/memory-ring.ts";

const CHUNK_BYTES = 256 << 10;
const SLICE_BYTES = 64 << 10;
const CHUNKS = 4;
const MAX_BYTES = 8 * CHUNK_BYTES;
/** After which whoever waits is turned away, and a reader that takes nothing gives back what it has. */
const PATIENCE_MS = 5_000;
const STALLED_MS = 1_000;
const DEADLINE_MS = 5_000;

interface Reader {
  readonly opened: OpenContent;
  readonly content: Buffer;
  readonly got: Uint8Array[];
}

function open() {
  const clock = new FakeClock();
  const budget = new BufferBudget({ maxBytes: MAX_BYTES, clock, metrics: new Metrics() });
  const memory = new MemoryCache(0);
  const chunks = new Map<string, Uint8Array>();
  const fetched: string[] = [];
  const reader = {
    fetch: ({ id }: ChunkWanted): Promise<FetchedChunk> => {
      fetched.push(id);
      return Promise.resolve({ bytes: new Uint8Array(chunks.get(id)!), tier: "disk" });
    },
  } as unknown as ChunkReader;
  const reading = new Content({
    reader,
    memory,
    clock,
    buffers: budget,
    chunkSizes: { chunkBytes: CHUNK_BYTES, smallBytes: 1_000, inlineBytes: 0, listedMax: 1_000 },
  });
  /** Of an object of its own. */
  const begin = async (n: number, first = 0, last = CHUNKS * CHUNK_BYTES - 1): Promise<Reader> => {
    const words = new Uint32Array(CHUNKS * CHUNK_BYTES / 4).map((_, i) => i + n * 1_000_000);
    const content = Buffer.from(words.buffer);
    const ids: string[] = [];
    for (let at = 0; at < content.length; at += CHUNK_BYTES) {
      const bytes = content.subarray(at, at + CHUNK_BYTES);
      chunks.set(`${n} ${at}`, bytes);
      ids.push(`${n} ${at}`);
    }
    const manifest: Manifest = {
      format: 1,
      size: content.length,
      sha256: HASHING.sha256(content),
      layout: "list",
      chunks: ids,
      headers: {},
    };
    const opened = await reading.open(`${n}`, manifest, first, last);
    return { opened, content: content.subarray(first, last + 1), got: [] };
  };
  return { clock, budget, memory, begin, fetched };
}

/** Copied, as a connection does with what it takes. */
async function take({ opened, got }: Reader): Promise<boolean> {
  const { done, value } = await opened.bytes.next();
  if (value) got.push(new Uint8Array(value as Uint8Array));
  return done !== true;
}

async function takeAll(reader: Reader): Promise<void> {
  while (await take(reader));
  assert.ok(Buffer.concat(reader.got).equals(reader.content), "all of it, and nothing twice");
}

test("whoever waits has the memory of readers that take nothing; they go on where they were", async () => {
  const { clock, budget, memory, begin } = open();
  const readers: Reader[] = [];
  for (let n = 0; n < 12; n++) {
    void begin(n).then(async (reader) => {
      readers.push(reader);
      await take(reader);
    });
  }
  await clock.settle();
  assert.equal(budget.usedBytes, MAX_BYTES);
  const begunMs = clock.monotonicMs();
  const waited = Promise.resolve(budget.takeSoon(CHUNK_BYTES)).then((lease) => {
    lease.release();
    return clock.monotonicMs() - begunMs;
  });
  await clock.advance(PATIENCE_MS + 1);
  const waitedMs = await waited;
  assert.ok(waitedMs <= 3 * STALLED_MS, `wanted room in ${3 * STALLED_MS} ms, got it in ${waitedMs}`);
  assert.equal(readers.length, 12, "and so had they");
  assert.ok(memory.inUseBytes <= MAX_BYTES, `${memory.inUseBytes} bytes are in use`);
  const all = Promise.all(readers.map(takeAll));
  await clock.advance(1_000);
  await all;
  assert.equal(budget.usedBytes, 0);
  assert.equal(memory.inUseBytes, 0);
});

test("what was begun while there was room is handed out whole, and beyond half of it in parts of their own", async () => {
  const { clock, budget, begin, fetched } = open();
  const first = await begin(0);
  await take(first);
  assert.equal(first.got[0]!.length, CHUNK_BYTES);
  const held = budget.take(MAX_BYTES / 2)!;
  const second = await begin(1);
  const { value } = await second.opened.bytes.next();
  assert.equal((value as Uint8Array).buffer.byteLength, SLICE_BYTES, "nothing of the chunk goes with it");
  second.got.push(value as Uint8Array);
  await clock.advance(60_000);
  await takeAll(second);
  assert.equal(fetched.length, new Set(fetched).size, "while nobody waits nothing is taken back");
  held.release();
  await takeAll(first);
  assert.equal(budget.usedBytes, 0);
});

test("a reader that stalls at each of its parts gets them all, whole or of a range", async () => {
  for (const [from, to] of [[0, CHUNKS * CHUNK_BYTES - 1], [100_000, 700_000], [262_143, 262_144]] as const) {
    const { clock, budget, memory, begin } = open();
    const held = budget.take(MAX_BYTES - 2 * CHUNK_BYTES)!;
    const reader = await begin(0, from, to);
    while (await take(reader)) {
      const rest: Lease[] = [];
      for (let lease = budget.take(CHUNK_BYTES); lease; lease = budget.take(CHUNK_BYTES)) rest.push(lease);
      const wanted = Promise.resolve(budget.takeSoon(CHUNK_BYTES));
      await clock.advance(STALLED_MS);
      rest.push(await within(wanted, DEADLINE_MS, "what the reader has is given to who waits"));
      assert.equal(memory.inUseBytes, 0);
      for (const lease of rest) lease.release();
    }
    held.release();
    assert.ok(Buffer.concat(reader.got).equals(reader.content), `${from} to ${to}`);
    assert.deepEqual([budget.usedBytes, memory.inUseBytes], [0, 0]);
  }
});

test("who leaves after all was taken from it, and who leaves while it waits for it again, holds nothing", async () => {
  for (const waits of [false, true]) {
    const { clock, budget, memory, begin } = open();
    const held = budget.take(MAX_BYTES - CHUNK_BYTES)!;
    const reader = await begin(0);
    await take(reader);
    const other = Promise.resolve(budget.takeSoon(CHUNK_BYTES));
    await clock.advance(STALLED_MS);
    const lease = await within(other, DEADLINE_MS, "what the reader has is given to who waits");
    assert.equal(memory.inUseBytes, 0, "what was in hand is gone");
    const taking = waits ? take(reader) : undefined;
    await clock.settle();
    const left = reader.opened.bytes.return?.();
    lease.release();
    held.release();
    await clock.settle();
    await taking;
    await left;
    assert.deepEqual([budget.usedBytes, memory.inUseBytes], [0, 0]);
  }
});
