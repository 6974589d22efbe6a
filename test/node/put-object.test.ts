/** Uploads, ChunkPipeline and ChunkWriter: a body becomes safe chunks, and memory stays bounded while it does. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import { CHUNK_BYTES, type ChunkId, CHUNKS_PER_INDEX, LISTED_CHUNKS_MAX } from "../../src/core/manifest.ts";
import { AtollError } from "../../src/errors.ts";
import { ChunkPipeline } from "../../src/node/chunk-pipeline.ts";
import { SMALL_CHUNK_BYTES } from "../../src/node/chunk-store.ts";
import type { ChunkWriter } from "../../src/node/chunk-writer.ts";
import { type Upload, Uploads } from "../../src/node/put-object.ts";
import { defer, Permits } from "../../src/node/waiting.ts";
import { FakeClock } from "../helpers/fake-clock.ts";
import { contentAt, watchedBody } from "../helpers/memory-ring-body.ts";
import { oneByOne } from "../helpers/memory-ring-model.ts";
import { HASHING } from "../helpers/memory-ring.ts";
import { openParts, type Parts } from "../helpers/memory-ring-parts.ts";

const NAME = "bucket\0key";
/** Chunks of one upload in memory: the window, and the one being filled. */
const HELD_CHUNKS_MAX = 7;

function upload(body: AsyncIterable<Uint8Array>, more: Partial<Upload> = {}): Upload {
  return { name: NAME, body, maxBytes: 1 << 30, digests: [], headers: {}, ...more };
}

function uploadsOf({ writer }: Parts): Uploads {
  return new Uploads({ hashing: HASHING, writer });
}

for (const sizeBytes of [SMALL_CHUNK_BYTES + 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES]) {
  test(`Uploads.receive has every chunk of ${sizeBytes} bytes on a majority's disks when it resolves`, async () => {
    const { ring, parts } = await openParts({ ids: ["a", "b", "c"], diskMs: () => 10 });
    ring.network.hang("c");
    const { body } = watchedBody(sizeBytes, 100_000);
    const { manifest, chunk } = await ring.run(uploadsOf(parts["a"]!).receive(upload(body)));
    assert.equal(chunk, undefined);
    assert.deepEqual([manifest.size, manifest.layout], [sizeBytes, "list"]);
    assert.equal(manifest.sha256, HASHING.sha256(contentAt(0, sizeBytes)));
    for (const [n, id] of manifest.chunks.entries()) {
      const bytes = contentAt(n * CHUNK_BYTES, Math.min(CHUNK_BYTES, sizeBytes - n * CHUNK_BYTES));
      assert.equal(id, HASHING.sha256(bytes), `chunk ${n}`);
      for (const node of ["a", "b"]) {
        assert.deepEqual(await parts[node]!.chunks.get(id, bytes.length), bytes, `chunk ${n} at ${node}`);
      }
    }
  });
}

test("Uploads.receive stores nothing of a small body yet: it travels with the promise", async () => {
  for (
    const [sizeBytes, announced] of [[0, true], [1, true], [SMALL_CHUNK_BYTES, true], [
      SMALL_CHUNK_BYTES,
      false,
    ]] as const
  ) {
    const { ring, parts } = await openParts({ ids: ["a"] });
    const body = oneByOne(sizeBytes === 0 ? [] : [contentAt(0, sizeBytes)]);
    const more = announced ? { sizeBytes } : {};
    const { manifest, chunk } = await ring.run(uploadsOf(parts["a"]!).receive(upload(body, more)));
    assert.equal(manifest.size, sizeBytes);
    if (sizeBytes === 0) assert.deepEqual([chunk, manifest.chunks], [undefined, []]);
    else {
      assert.deepEqual(chunk, { id: manifest.sha256, bytes: contentAt(0, sizeBytes) });
      assert.deepEqual(manifest.chunks, [manifest.sha256]);
      assert.equal(await parts["a"]!.chunks.has(manifest.sha256), false);
    }
  }
});

test("Uploads.receive cuts the same chunks however the body is cut", async () => {
  const { ring, parts } = await openParts({ ids: ["a"] });
  const uploads = uploadsOf(parts["a"]!);
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 2_500_000 }),
      fc.array(fc.integer({ min: 1, max: 1_500_000 }), { minLength: 1, maxLength: 8 }),
      async (sizeBytes, cuts) => {
        const pieces: Uint8Array[] = [];
        for (let at = 0; at < sizeBytes;) {
          const length = Math.min(cuts[pieces.length % cuts.length]!, sizeBytes - at);
          pieces.push(contentAt(at, length));
          at += length;
        }
        const { manifest } = await ring.run(uploads.receive(upload(oneByOne(pieces))));
        const wanted: string[] = [];
        for (let at = 0; at < sizeBytes; at += CHUNK_BYTES) {
          wanted.push(HASHING.sha256(contentAt(at, Math.min(CHUNK_BYTES, sizeBytes - at))));
        }
        assert.deepEqual(manifest.chunks, wanted);
      },
    ),
    { numRuns: 25 },
  );
});

for (
  const [what, more, code] of [
    ["is shorter than announced", { sizeBytes: 300_001 }, "incomplete-body"],
    ["is longer than announced", { sizeBytes: 200_000 }, "incomplete-body"],
    ["is larger than allowed", { maxBytes: 299_999 }, "too-large"],
    [
      "is not what its digest says",
      { digests: [{ field: "Content-MD5", algorithm: "md5", hex: "00" }] },
      "digest-mismatch",
    ],
  ] as const
) {
  test(`Uploads.receive of a body that ${what} is ${code}`, async () => {
    const { ring, parts } = await openParts({ ids: ["a"] });
    const { body, isClosed } = watchedBody(300_000, 100_000);
    await assert.rejects(ring.run(uploadsOf(parts["a"]!).receive(upload(body, more))), { code });
    assert.ok(isClosed());
  });
}

test("Uploads.receive compares every digest the client sent with the whole", async () => {
  const { ring, parts } = await openParts({ ids: ["a"] });
  const whole = contentAt(0, 300_000);
  const digests = (["sha256", "sha512", "md5"] as const).map((algorithm) => {
    const running = HASHING.running(algorithm);
    running.update(whole);
    return { field: algorithm, algorithm, hex: running.digestHex() };
  });
  const { body } = watchedBody(300_000, 7_000);
  const { manifest } = await ring.run(uploadsOf(parts["a"]!).receive(upload(body, { digests })));
  assert.equal(manifest.sha256, digests[0]!.hex);
});

test("Uploads.receive passes on what a client's broken connection says", async () => {
  const { ring, parts } = await openParts({ ids: ["a"] });
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield contentAt(0, 100_000);
    throw new AtollError("incomplete-body", "the client went away");
  }
  await assert.rejects(ring.run(uploadsOf(parts["a"]!).receive(upload(broken()))), {
    code: "incomplete-body",
  });
});

test("Uploads.receive pulls no more than its window while replicas are slow", async () => {
  const { ring, parts } = await openParts({ ids: ["a", "b", "c"] });
  const held = ring.network.rule(({ request }) =>
    request.type === "chunk-put" ? { delayMs: 1_000 } : undefined
  );
  const { body, pulledBytes } = watchedBody(40 * CHUNK_BYTES);
  const receiving = uploadsOf(parts["a"]!).receive(upload(body));
  await ring.clock.advance(500);
  assert.ok(pulledBytes() > 4 * CHUNK_BYTES, "it does not wait for each chunk");
  assert.ok(
    pulledBytes() <= (HELD_CHUNKS_MAX + 1) * CHUNK_BYTES,
    `${pulledBytes() / CHUNK_BYTES} chunks are in memory`,
  );
  held();
  const { manifest } = await ring.run(receiving);
  assert.equal(manifest.chunks.length, 40);
});

test("Uploads.receive is not held up by one dead replica of three", async () => {
  const { ring, parts } = await openParts({ ids: ["a", "b", "c"] });
  ring.network.refuse("c");
  const begunMs = ring.clock.monotonicMs();
  await ring.run(uploadsOf(parts["a"]!).receive(upload(watchedBody(40 * CHUNK_BYTES).body)));
  assert.ok(ring.clock.monotonicMs() - begunMs < 500);
});

test("Uploads.receive stops reading and is no-quorum as soon as a majority cannot store", async () => {
  const { ring, parts } = await openParts({ ids: ["a", "b", "c"] });
  ring.network.refuse("b");
  ring.network.refuse("c");
  const { body, pulledBytes, isClosed } = watchedBody(200 * CHUNK_BYTES);
  await assert.rejects(ring.run(uploadsOf(parts["a"]!).receive(upload(body))), { code: "no-quorum" });
  assert.ok(isClosed());
  assert.ok(pulledBytes() <= 12 * CHUNK_BYTES, `read ${pulledBytes() / CHUNK_BYTES} chunks in vain`);
});

test("Uploads.receive is storage-full when a majority's disks are, even while the third replica hangs", async () => {
  const { ring, parts } = await openParts({ ids: ["a", "b", "c"] });
  ring.site("a").disk.isFull = true;
  ring.site("b").disk.isFull = true;
  ring.network.hang("c");
  const begunMs = ring.clock.monotonicMs();
  const { body } = watchedBody(40 * CHUNK_BYTES);
  await assert.rejects(ring.run(uploadsOf(parts["a"]!).receive(upload(body))), { code: "storage-full" });
  assert.ok(
    ring.clock.monotonicMs() - begunMs < 1_000,
    `told after ${ring.clock.monotonicMs() - begunMs} ms`,
  );
});

test("Uploads.receive counts no copy whose digest came out different", async () => {
  const { ring, parts } = await openParts({ ids: ["a", "b", "c"] });
  ring.network.rule(({ reply }) =>
    reply?.type === "chunk-put" ? { reply: { type: "chunk-put", stored: "0".repeat(64) } } : undefined
  );
  await assert.rejects(ring.run(uploadsOf(parts["a"]!).receive(upload(watchedBody(CHUNK_BYTES).body))), {
    code: "no-quorum",
  });
});

/** A writer that keeps nothing, and whose chunks become safe when the test says so. */
class FakeWriter {
  readonly writes: {
    safe(): void;
    settled(): void;
    fail(error: unknown): void;
  }[] = [];
  write: ChunkWriter["write"] = () => {
    const safe = defer<void>();
    const settled = defer<void>();
    this.writes.push({
      safe: () => safe.resolve(),
      settled: () => {
        safe.reject(new AtollError("no-quorum", "nobody is left to ask"));
        settled.resolve();
      },
      fail: (error) => safe.reject(error),
    });
    return { safe: safe.promise, settled: settled.promise };
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

function pipelineOn(writer: FakeWriter, buffers: Buffers, permits = new Permits(32)): ChunkPipeline {
  return new ChunkPipeline(NAME, undefined, {
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
  const finished = pipeline.finish("0".repeat(64));
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
  const finished = pipeline.finish("f".repeat(64));
  await clock.settle();
  writer.writes[0]!.safe();
  assert.deepEqual(
    (await finished).chunks,
    ["f".repeat(64)],
    "an only chunk is named by the digest of the whole",
  );
  pipeline.abandon();
  assert.equal(buffers.out.size, 1, "a slow replica still reads it");
  writer.writes[0]!.settled();
  await clock.settle();
  assert.equal(buffers.out.size, 0);
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
    return await pipeline.finish("0".repeat(64));
  })();
  let settled = 0;
  while (settled < 30) {
    await clock.settle();
    assert.ok(
      writer.writes.length - settled <= HELD_CHUNKS_MAX - 1,
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
    const pipeline = new ChunkPipeline(NAME, undefined, {
      // Names by number: hashing 32 GiB would take its time, and order is what matters here.
      hashing: {
        ...HASHING,
        sha256Aside: async (bytes) =>
          bytes.length === CHUNK_BYTES && bytes[0] === 255 ? numbered(chunk++) : HASHING.sha256(bytes),
      },
      writer: {
        write: (_name: string, id: ChunkId, bytes: Uint8Array) => {
          if (bytes[0] !== 255) stored.set(id, bytes);
          return { safe: Promise.resolve(), settled: Promise.resolve() };
        },
      } as unknown as ChunkWriter,
      permits: new Permits(32),
      take: () => buffer,
      release: () => {},
    });
    part[0] = 255;
    for (let n = 0; n < count; n++) await pipeline.add(part);
    const { layout, chunks } = await pipeline.finish("0".repeat(64));
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
