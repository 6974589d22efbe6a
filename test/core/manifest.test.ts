import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { test } from "node:test";
import {
  CHUNK_BYTES,
  chunkCount,
  chunkLength,
  CHUNKS_PER_INDEX,
  inlineContent,
  isChunkId,
  isExpired,
  LISTED_CHUNKS_MAX,
  type Manifest,
  manifestProblem,
} from "../../src/core/manifest.ts";

const ID = "0123456789abcdef".repeat(4);
const ids = (count: number): string[] => Array.from({ length: count }, () => ID);
const INLINE = { format: 2, layout: "inline", chunks: [] };
const manifest = (change: object): Manifest => ({
  format: 1,
  size: 3,
  sha256: ID,
  layout: "list",
  chunks: [ID],
  headers: {},
  ...change,
});

test("manifestProblem finds none in manifests of any size", () => {
  const table: object[] = [
    {},
    { size: 0, chunks: [] },
    { size: 1 },
    { size: CHUNK_BYTES },
    { size: CHUNK_BYTES + 1, chunks: ids(2) },
    { size: LISTED_CHUNKS_MAX * CHUNK_BYTES, chunks: ids(LISTED_CHUNKS_MAX) },
    { size: LISTED_CHUNKS_MAX * CHUNK_BYTES + 1, layout: "index", chunks: ids(1) },
    { ...INLINE, size: 1, content: "AA==" },
    { ...INLINE, size: 3, content: "AAAA" },
    { ...INLINE, size: 65_536, content: "A".repeat(87_384) },
    { size: CHUNKS_PER_INDEX * CHUNK_BYTES, layout: "index", chunks: ids(1) },
    { size: CHUNKS_PER_INDEX * CHUNK_BYTES + 1, layout: "index", chunks: ids(2) },
  ];
  for (const change of table) {
    assert.equal(manifestProblem(manifest(change)), undefined, JSON.stringify(change));
  }
});

test("manifestProblem says what contradicts what", () => {
  const table: [object, RegExp][] = [
    [{ format: 2 }, /wanted format 1, got 2/],
    [{ ...INLINE, format: 1 }, /wanted format 2, got 1/],
    [INLINE, /wanted 4 characters of content, got undefined/],
    [{ ...INLINE, content: "AAAAAAAA" }, /wanted 4 characters of content, got 8/],
    [{ ...INLINE, content: "AAAA", chunks: ids(1) }, /1 chunks beside content/],
    [{ ...INLINE, size: 0, content: "" }, /wanted content of 1 to 65536 bytes, got 0/],
    [
      { ...INLINE, size: 65_537, content: "A".repeat(87_384) },
      /wanted content of 1 to 65536 bytes, got 65537/,
    ],
    [{ content: "AAAA" }, /content beside 1 chunks/],
    [{ size: -1 }, /size -1/],
    [{ size: 1.5 }, /size 1.5/],
    [{ size: NaN }, /size NaN/],
    [{ size: 2 ** 53 }, /size/],
    [{ sha256: "abc" }, /sha256 abc/],
    [{ sha256: ID.toUpperCase() }, /sha256/],
    [{ chunks: [] }, /wanted 1 chunks, got 0/],
    [{ chunks: ids(2) }, /wanted 1 chunks, got 2/],
    [{ size: 0 }, /wanted 0 chunks, got 1/],
    [{ size: CHUNK_BYTES + 1 }, /wanted 2 chunks, got 1/],
    [{ chunks: [`${ID}0`] }, /chunk id/],
    [{ chunks: ["../../../../etc/passwd"] }, /chunk id/],
    [{ size: 65 * CHUNK_BYTES, chunks: ids(65) }, /65 chunks in one list/],
    [{ size: 65 * CHUNK_BYTES, layout: "index", chunks: ids(65) }, /wanted 1 chunks, got 65/],
  ];
  for (const [change, problem] of table) {
    assert.match(
      manifestProblem(manifest(change)) ?? "no problem",
      problem,
      JSON.stringify(change).slice(0, 80),
    );
  }
});

test("inlineContent gives the bytes that the digest names, and no others", () => {
  const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
  const whole = manifest({ ...INLINE, content: "YXRv", sha256: hash(Buffer.from("ato")) });
  assert.deepEqual(inlineContent(whole, hash), new Uint8Array(Buffer.from("ato")));
  // Other bytes, too few, no base64, and bits beyond the last byte.
  for (const content of ["YXRu", "YXQ=", "YX v", "YX*v", ""]) {
    assert.equal(inlineContent({ ...whole, content }, hash), undefined, content);
  }
  const two = manifest({ ...INLINE, size: 2, content: "YXQ=", sha256: hash(Buffer.from("at")) });
  assert.deepEqual(inlineContent(two, hash), new Uint8Array(Buffer.from("at")));
  assert.equal(inlineContent({ ...two, content: "YXR=" }, hash), undefined);
});

test("chunkLength adds up to the size, and only the last chunk is short", () => {
  for (const size of [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES + 7]) {
    const lengths = Array.from({ length: chunkCount(size) }, (_, index) => chunkLength(size, index));
    assert.equal(lengths.reduce((sum, length) => sum + length, 0), size);
    assert.ok(
      lengths.every((length, index) =>
        length === CHUNK_BYTES || (index === lengths.length - 1 && length > 0)
      ),
    );
  }
});

test("isChunkId takes 64 lower-case hex digits and nothing else", () => {
  assert.equal(isChunkId(ID), true);
  for (const text of ["", ID.slice(1), `${ID}a`, `${ID}\n`, ID.toUpperCase(), `g${ID.slice(1)}`]) {
    assert.equal(isChunkId(text), false, JSON.stringify(text));
  }
});

test("isExpired from the very millisecond on, and never without a time to live", () => {
  assert.equal(isExpired(manifest({}), Number.MAX_SAFE_INTEGER), false);
  assert.deepEqual([999, 1000, 1001].map((nowMs) => isExpired(manifest({ expiresMs: 1000 }), nowMs)), [
    false,
    true,
    true,
  ]);
});
