/**
 * A Bloom filter over chunk ids (Bloom, 1970): a set that may take a stranger for a member, never a member for a stranger,
 * in memory that does not grow with what is in it. Ids are SHA-256 digests, whose words are hashes already.
 */
import type { ChunkId } from "./manifest.ts";

/** Bits per id at which about one stranger in a hundred is taken for a member. */
const BITS_PER_ID = 10;
const HASHES = 6;
const BITS_MIN = 1 << 13;
/** 32 MiB; enough for 26 million ids, beyond which it takes more and more strangers for members. */
const BITS_MAX = 2 ** 28;

export class IdFilter {
  readonly #words: Uint32Array;
  readonly #mask: number;
  readonly #seed: number;

  /** `seed`: another one takes other strangers for members. */
  constructor(expectedIds: number, seed: number) {
    let bits = BITS_MIN;
    while (bits < BITS_MAX && bits < expectedIds * BITS_PER_ID) bits *= 2;
    this.#words = new Uint32Array(bits / 32);
    this.#mask = bits - 1;
    this.#seed = seed | 0;
  }

  add(id: ChunkId): void {
    for (let i = 0; i < HASHES; i++) {
      const bit = this.#bit(id, i);
      this.#words[bit >>> 5]! |= 1 << (bit & 31);
    }
  }

  has(id: ChunkId): boolean {
    for (let i = 0; i < HASHES; i++) {
      const bit = this.#bit(id, i);
      if ((this.#words[bit >>> 5]! & (1 << (bit & 31))) === 0) return false;
    }
    return true;
  }

  #bit(id: ChunkId, index: number): number {
    const word = Number.parseInt(id.slice(8 * index, 8 * index + 8), 16) ^ this.#seed;
    return (Math.imul(word, 0x9e3779b1) ^ (word >>> 15)) & this.#mask;
  }
}
