/** Bodies by number: of one small chunk, of one file, of several, of index chunks; the same number is the same bytes. */
import { type ChunkSizes, DIGEST_BYTES } from "../../src/core/manifest.ts";
import { HASHING } from "../helpers/memory-ring.ts";

/** Small, so that an object of many chunks costs little: the code that cuts, lists and indexes them is the same. */
export const CHUNK_SIZES: ChunkSizes = { chunkBytes: 256, smallBytes: 64, inlineBytes: 60, listedMax: 4 };

const { chunkBytes, smallBytes, listedMax } = CHUNK_SIZES;
/** Of one small chunk, mostly. */
const SIZES = [0, 20, 60, 20, 60, smallBytes].concat([
  smallBytes + 1,
  200,
  chunkBytes,
  chunkBytes + 20,
  2 * chunkBytes + 90,
  listedMax * chunkBytes,
  // One index chunk.
  listedMax * chunkBytes + 1,
  // Two, the second of which is small.
  (chunkBytes / DIGEST_BYTES) * chunkBytes + 70,
]);

export interface Body {
  readonly bytes: Uint8Array;
  readonly sha256: string;
}

/** `label`: of whom it is; two labels have no chunk in common but empty ones. */
export function bodyOf(label: string, size: number): Body {
  const bytes = new Uint8Array(size).fill(label.length);
  for (let at = 0; at < size; at += chunkBytes) {
    bytes.set(new TextEncoder().encode(`${at} ${label}`).subarray(0, size - at), at);
  }
  return { bytes, sha256: HASHING.sha256(bytes) };
}

export function drawSize(below: (limit: number) => number): number {
  return SIZES[below(SIZES.length)]!;
}
