/** ChunkPipeline: chunks in order, a window of them on their way, and every buffer given back once. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { CHUNK_BYTES, type ChunkId, CHUNKS_PER_INDEX, LISTED_CHUNKS_MAX } from "../../src/core/manifest.ts";
import { AtollError } from "../../src/errors.ts";
import { ChunkPipeline } from "../../src/node/chunk-pipeline.ts";
import type { ChunkWriter } from "../../src/node/chunk-writer.ts";
import { defer, Permits } from "../../src/node/waiting.ts";
import type { PieceDigests } from "../../src/ports.ts";
import { FakeClock } from "../helpers/fake-clock.ts";
import { contentAt } from "../helpers/memory-ring-body.ts";
import { HASHING } from "../helpers/memory-ring.ts";

const NAME = "bucket\0key";
/** Chunks of one upload on their way at once. */
const WINDOW = 10;
const ACCEPT = (): void => {};

/** A writer that keeps nothing, and whose chunks become safe when the test says so. */
class FakeWriter {
  readonly writes: {
    safe(): void;
    enough(): void;
    settled(): void;
    fail(error: unknown): void;
  }[] = [];
  write: ChunkWriter["write"] = () => {
    const safe = defer<void>();
    const enough = defer<void>();
    const settled = defer<void>();
    this.writes.push({
      safe: () => safe.resolve(),
      enough: () => enough.resolve(),
      settled: () => {
        safe.reject(new AtollError("no-quorum", "nobody is left to ask"));
        enough.resolve();
        settled.resolve();
      },
      fail: (error) => safe.reject(error),
    });
    return { safe: safe.promise, enough: enough.promise, settled: settled.promise };
  };
}

class Buffers {
  taken = 0;
  readonly out = new Set<Uint8Array>();
  readonly take = (): Uint8Array => {
    const buffer = new Uint8Array(CHUNK_BYTES);
    this.out.add(buffer);
    this.taken++;
    return buffer;
  };
  readonly release = (buffer: Uint8Array): void => {
    assert.ok(this.out.delete(buffer), "a buffer is given back once");
  };
}

function pipelineOn(
  writer: FakeWriter,
  buffers: Buffers,
  permits = new Permits(32),
  digests: PieceDigests = HASHING.pieces(["sha256"]),
): ChunkPipeline {
  return new ChunkPipeline(NAME, undefined, {
    digests,
    hashing: HASHING,
    writer: writer as unknown as ChunkWriter,
    permits,
    take: buffers.take,
    release: buffers.release,
  });
}

test("ChunkPipeline lists chunks in the object's order, whatever the order in which they became safe", async () => {
  const clock = new FakeClock();
  const writer = new FakeWriter();
  const buffers = new Buffers();
  const pipeline = pipelineOn(writer, buffers);
  for (let n = 0; n < 5; n++) await pipeline.add(contentAt(n * CHUNK_BYTES, CHUNK_BYTES));
  const finished = pipeline.finish(ACCEPT);
  await clock.settle();
  for (const n of [4, 2, 0, 3, 1]) {
    writer.writes[n]!.safe();
    writer.writes[n]!.settled();
    await clock.settle();
  }
  const wanted = Array.from({ length: 5 }, (_, n) => HASHING.sha256(contentAt(n * CHUNK_BYTES, CHUNK_BYTES)));
  assert.deepEqual(await finished, { layout: "list", chunks: wanted });
  assert.equal(buffers.out.size, 0);
});

test("ChunkPipeline gives a buffer back when nobody uses it any more, not when its chunk is safe", async () => {
  const clock = new FakeClock();
  const writer = new FakeWriter();
  const buffers = new Buffers();
  const pipeline = pipelineOn(writer, buffers);
  await pipeline.add(contentAt(0, 100_000));
  const finished = pipeline.finish(ACCEPT);
  await clock.settle();
  writer.writes[0]!.safe();
  assert.deepEqual((await finished).chunks, [HASHING.sha256(contentAt(0, 100_000))]);
  pipeline.abandon();
  assert.equal(buffers.out.size, 1, "a slow replica still reads it");
  writer.writes[0]!.settled();
  await clock.settle();
  assert.equal(buffers.out.size, 0);
});

test("ChunkPipeline sends no last chunk of a whole that is not what was wanted", async () => {
  const clock = new FakeClock();
  const writer = new FakeWriter();
  const buffers = new Buffers();
  const pipeline = pipelineOn(writer, buffers);
  await pipeline.add(contentAt(0, 100_000));
  const refused = assert.rejects(
    pipeline.finish((whole) => {
      assert.deepEqual([...whole], [["sha256", HASHING.sha256(contentAt(0, 100_000))]]);
      throw new AtollError("digest-mismatch", "wanted another");
    }),
    { code: "digest-mismatch" },
  );
  await clock.settle();
  await refused;
  pipeline.abandon();
  assert.deepEqual([writer.writes.length, buffers.out.size], [0, 0]);
});

test("ChunkPipeline fails when its chunks cannot be hashed, and gives every buffer and permit back", async () => {
  const clock = new FakeClock();
  const buffers = new Buffers();
  const permits = new Permits(1);
  const lost = new AtollError("internal", "the thread is gone");
  const pipeline = pipelineOn(new FakeWriter(), buffers, permits, {
    add: () => Promise.reject(lost),
    whole: () => Promise.reject(lost),
    close() {},
  });
  const adding = (async () => {
    for (let n = 0; n < 3; n++) await pipeline.add(contentAt(n * CHUNK_BYTES, CHUNK_BYTES));
    await pipeline.finish(ACCEPT);
  })();
  await assert.rejects(adding, lost);
  pipeline.abandon();
  await clock.settle();
  assert.equal(buffers.out.size, 0, `${buffers.taken} were taken`);
  let isFree = false;
  void permits.take().then(() => isFree = true);
  await clock.settle();
  assert.ok(isFree);
});

test("ChunkPipeline gives every buffer and permit back once after a failure", async () => {
  const clock = new FakeClock();
  const writer = new FakeWriter();
  const buffers = new Buffers();
  const permits = new Permits(3);
  const pipeline = pipelineOn(writer, buffers, permits);
  for (let n = 0; n < 3; n++) await pipeline.add(contentAt(n * CHUNK_BYTES, CHUNK_BYTES));
  await clock.settle();
  writer.writes[0]!.fail(new AtollError("no-quorum", "that one"));
  await clock.settle();
  await assert.rejects(pipeline.add(contentAt(3 * CHUNK_BYTES, CHUNK_BYTES)), { code: "no-quorum" });
  pipeline.abandon();
  for (const write of writer.writes) write.settled();
  await clock.settle();
  assert.equal(buffers.out.size, 0, `${buffers.taken} were taken`);
  let free = 0;
  for (let n = 0; n < 4; n++) void permits.take().then(() => free++);
  await clock.settle();
  assert.equal(free, 3);
});

test("ChunkPipeline tells of a failure at once, though other chunks of a full window still hang", async () => {
  const clock = new FakeClock();
  const writer = new FakeWriter();
  const pipeline = pipelineOn(writer, new Buffers());
  let failure: unknown;
  const adding = (async () => {
    for (let n = 0; n < 20; n++) await pipeline.add(contentAt(n * CHUNK_BYTES, CHUNK_BYTES));
  })();
  adding.catch((error: unknown) => (failure = error));
  await clock.settle();
  const begun = writer.writes.length;
  writer.writes[0]!.fail(new AtollError("no-quorum", "that one"));
  await clock.settle();
  assert.ok(failure instanceof AtollError, "the upload waits for chunks that can no longer help it");
  assert.equal(writer.writes.length, begun, "and sends no more of them");
  for (const write of writer.writes) write.settled();
});

test("ChunkPipeline never has more than its window on its way", async () => {
  const clock = new FakeClock();
  const writer = new FakeWriter();
  const pipeline = pipelineOn(writer, new Buffers());
  const adding = (async () => {
    for (let n = 0; n < 30; n++) await pipeline.add(contentAt(n * CHUNK_BYTES, CHUNK_BYTES));
    return await pipeline.finish(ACCEPT);
  })();
  let settled = 0;
  while (settled < 30) {
    await clock.settle();
    assert.ok(
      writer.writes.length - settled <= WINDOW,
      `${writer.writes.length - settled} at once`,
    );
    const write = writer.writes[settled++]!;
    write.safe();
    write.settled();
  }
  assert.equal((await adding).chunks.length, 30);
});

for (const count of [LISTED_CHUNKS_MAX, LISTED_CHUNKS_MAX + 1, CHUNKS_PER_INDEX + 1]) {
  test(`ChunkPipeline of ${count} chunks ${count > LISTED_CHUNKS_MAX ? "stores index chunks" : "lists them"}`, async () => {
    const stored = new Map<ChunkId, Uint8Array>();
    let chunk = 0;
    const buffer = new Uint8Array(CHUNK_BYTES);
    const part = new Uint8Array(CHUNK_BYTES);
    const numbered = (n: number): string => n.toString(16).padStart(64, "0");
    const isPart = (bytes: Uint8Array): boolean => bytes.length === CHUNK_BYTES && bytes[0] === 255;
    const nameOf = (bytes: Uint8Array): ChunkId => isPart(bytes) ? numbered(chunk++) : HASHING.sha256(bytes);
    const pipeline = new ChunkPipeline(NAME, undefined, {
      // Names by number: hashing 32 GiB would take its time, and order is what matters here.
      digests: { add: async (bytes) => nameOf(bytes), whole: async () => new Map(), close() {} },
      hashing: HASHING,
      writer: {
        write: (_name: string, id: ChunkId, bytes: Uint8Array) => {
          if (!isPart(bytes)) stored.set(id, bytes);
          return { safe: Promise.resolve(), enough: Promise.resolve(), settled: Promise.resolve() };
        },
      } as unknown as ChunkWriter,
      permits: new Permits(32),
      take: () => buffer,
      release: () => {},
    });
    part[0] = 255;
    for (let n = 0; n < count; n++) await pipeline.add(part);
    const { layout, chunks } = await pipeline.finish(ACCEPT);
    const wanted = Array.from({ length: count }, (_, n) => numbered(n));
    if (count <= LISTED_CHUNKS_MAX) assert.deepEqual({ layout, chunks }, { layout: "list", chunks: wanted });
    else {
      assert.equal(layout, "index");
      assert.equal(chunks.length, Math.ceil(count / CHUNKS_PER_INDEX));
      const digests = chunks.map((id) => Buffer.from(stored.get(id)!).toString("hex")).join("");
      assert.ok(digests === wanted.join(""), "the index chunks hold the digests end to end");
    }
  });
}
