/** Uploads and ChunkWriter: a body becomes safe chunks, or nothing at all. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  CHUNK_BYTES,
  INLINE_BYTES,
  inlineContent,
  manifestProblem,
  SMALL_CHUNK_BYTES,
} from "../../src/core/manifest.ts";
import { AtollError } from "../../src/errors.ts";
import { type Upload, Uploads } from "../../src/node/put-object.ts";
import { contentAt, watchedBody } from "../helpers/memory-ring-body.ts";
import type { Clock } from "../../src/ports.ts";
import { FakeClock } from "../helpers/fake-clock.ts";
import { oneByOne } from "../helpers/uploads.ts";
import { HASHING } from "../helpers/memory-ring.ts";
import { openParts, type Parts } from "../helpers/memory-ring-parts.ts";

const NAME = "bucket\0key";
/** Chunks of one upload in memory: the window, and the one being filled. */
const HELD_CHUNKS_MAX = 11;
const UPLOAD_MAX_MS = 3_600_000;

function upload(body: AsyncIterable<Uint8Array>, more: Partial<Upload> = {}): Upload {
  return { name: NAME, body, maxBytes: 1 << 30, digests: [], headers: {}, ...more };
}

function uploadsOf({ writer }: Parts, clock: Clock = new FakeClock()): Uploads {
  return new Uploads({
    hashing: HASHING,
    writer,
    clock,
    uploadMaxMs: UPLOAD_MAX_MS,
  });
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
    const [sizeBytes, announced] of [[0, true], [INLINE_BYTES + 1, true], [SMALL_CHUNK_BYTES, true], [
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

test("Uploads.receive has the smallest bodies within their manifests", async () => {
  const { ring, parts } = await openParts({ ids: ["a"] });
  for (const sizeBytes of [1, INLINE_BYTES, INLINE_BYTES + 1]) {
    const content = contentAt(0, sizeBytes);
    for (const announced of [true, false]) {
      const more = announced ? { sizeBytes } : {};
      const receiving = uploadsOf(parts["a"]!).receive(upload(oneByOne([content]), more));
      const { manifest, chunk } = await ring.run(receiving);
      assert.equal(manifestProblem(manifest), undefined);
      const isInline = sizeBytes <= INLINE_BYTES;
      assert.equal(manifest.layout, isInline ? "inline" : "list", `${sizeBytes} bytes`);
      if (isInline) assert.deepEqual(inlineContent(manifest, (bytes) => HASHING.sha256(bytes)), content);
      assert.equal(chunk === undefined, isInline);
    }
  }
});

test("Uploads.receive cuts the same chunks however the body is cut", async () => {
  const { ring, parts } = await openParts({ ids: ["a"] });
  const uploads = uploadsOf(parts["a"]!);
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: INLINE_BYTES + 1, max: 2_500_000 }),
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

test("Uploads.receive waits a second for a replica that hangs, not until its deadline", async () => {
  const { ring, parts } = await openParts({ ids: ["a", "b", "c"] });
  ring.network.hang("c");
  const begunMs = ring.clock.monotonicMs();
  const { body } = watchedBody(12 * CHUNK_BYTES);
  const { manifest } = await ring.run(uploadsOf(parts["a"]!).receive(upload(body)));
  assert.equal(manifest.chunks.length, 12);
  const tookMs = ring.clock.monotonicMs() - begunMs;
  assert.ok(tookMs < 3_000, `two windows of chunks took ${tookMs} ms`);
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
