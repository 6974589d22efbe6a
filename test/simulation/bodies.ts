/** Bodies by number: of one small chunk, of one file, of several; the same number is the same bytes. */
import { CHUNK_BYTES } from "../../src/core/manifest.ts";
import { HASHING } from "../helpers/memory-ring.ts";

const SIZES = [0, 20, 3_000, 20, 3_000, 70_000, 70_000, CHUNK_BYTES + 70_000, 2 * CHUNK_BYTES + 5];

export interface Body {
  readonly bytes: Uint8Array;
  readonly sha256: string;
}

/** `label`: of whom it is; two labels have no chunk in common but empty ones. */
export function bodyOf(label: string, size: number): Body {
  const bytes = new Uint8Array(size).fill(label.length);
  for (let at = 0; at < size; at += CHUNK_BYTES) {
    bytes.set(new TextEncoder().encode(`${at} ${label}`).subarray(0, size - at), at);
  }
  return { bytes, sha256: HASHING.sha256(bytes) };
}

export function drawSize(below: (limit: number) => number): number {
  return SIZES[below(SIZES.length)]!;
}
