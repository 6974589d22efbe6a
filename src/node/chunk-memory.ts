/**
 * Chunks in memory, bounded in bytes. Whatever comes is kept for a little while; to stay, when there is no room, it must
 * have been asked for more often lately than all that would have to go (W-TinyLFU; with sizes: Einziger, Eytan, Friedman,
 * Manes: Lightweight robust size aware cache management, 2022). So neither a scan nor one large file washes out what is
 * popular.
 */
import { LRUCache } from "lru-cache";
import { FrequencySketch } from "../core/frequency-sketch.ts";
import type { ChunkId } from "../core/manifest.ts";

/** Of the bytes, for what has just come: it may become popular yet. */
const WINDOW_SHARE = 1 / 64;
/** At least one chunk of the largest size, if that is not more than a quarter. */
const WINDOW_BYTES_MIN = 1_100_000;
/** What an entry costs besides its bytes. */
const ENTRY_BYTES = 128;
/** Of one entry, for the sketch's width: of smaller ones fewer are told apart. */
const USUAL_BYTES = 4_096;
const WIDTH_MIN = 1_024;
/** All counts are halved after so many questions for each entry. */
const SAMPLE = 10;
const SAMPLE_MIN = 4_096;

export class ChunkMemory {
  /** The newest, in order of use. */
  readonly #window: LRUCache<ChunkId, Uint8Array>;
  /** Those that stayed, in order of use. */
  readonly #main: LRUCache<ChunkId, Uint8Array>;
  readonly #mainBytes: number;
  readonly #sketch: FrequencySketch;

  constructor(maxBytes: number) {
    const windowBytes = Math.ceil(
      Math.max(maxBytes * WINDOW_SHARE, Math.min(WINDOW_BYTES_MIN, maxBytes / 4)),
    );
    this.#mainBytes = Math.max(1, maxBytes - windowBytes);
    this.#sketch = new FrequencySketch(Math.max(WIDTH_MIN, maxBytes / USUAL_BYTES));
    this.#main = new LRUCache({ maxSize: this.#mainBytes, sizeCalculation: sizeOf });
    this.#window = new LRUCache({
      maxSize: windowBytes,
      sizeCalculation: sizeOf,
      dispose: (bytes, id, reason) => {
        if (reason === "evict") this.#offer(id, bytes);
      },
    });
  }

  get usedBytes(): number {
    return this.#window.calculatedSize + this.#main.calculatedSize;
  }

  /** Counts as a question for it if it is here. */
  get(id: ChunkId): Uint8Array | undefined {
    const bytes = this.#main.get(id) ?? this.#window.get(id);
    if (bytes) this.#count(id);
    return bytes;
  }

  /** Somebody asked for it, and it is not here: once for each who did, who may have looked more than once. */
  missed(id: ChunkId): void {
    this.#count(id);
  }

  /** How often it was asked for lately, about; at most 15. */
  frequency(id: ChunkId): number {
    return this.#sketch.count(hashAt(id, 0), hashAt(id, HASH_DIGITS));
  }

  /** No question for it. */
  has(id: ChunkId): boolean {
    return this.#main.has(id) || this.#window.has(id);
  }

  keep(id: ChunkId, bytes: Uint8Array): void {
    if (this.has(id)) return;
    if (sizeOf(bytes) > this.#window.maxSize) this.#offer(id, bytes);
    else this.#window.set(id, bytes);
  }

  #count(id: ChunkId): void {
    this.#sketch.add(hashAt(id, 0), hashAt(id, HASH_DIGITS));
    const entries = this.#main.size + this.#window.size;
    if (this.#sketch.added >= Math.max(SAMPLE_MIN, SAMPLE * entries)) this.#sketch.halve();
  }

  /** To those that stay. */
  #offer(id: ChunkId, bytes: Uint8Array): void {
    let needed = this.#main.calculatedSize + sizeOf(bytes) - this.#mainBytes;
    if (needed > 0) {
      let wanted = this.frequency(id);
      for (const victim of this.#main.rkeys()) {
        wanted -= this.frequency(victim);
        if (wanted <= 0) return;
        needed -= sizeOf(this.#main.peek(victim)!);
        if (needed <= 0) break;
      }
      if (needed > 0) return; // larger than all there is room for
    }
    this.#main.set(id, bytes);
  }
}

function sizeOf(bytes: Uint8Array): number {
  return bytes.length + ENTRY_BYTES;
}

/** Of 32 bits. */
const HASH_DIGITS = 8;

/** A chunk's name is a hash itself, in hex digits; by hand, as each question for a chunk needs two of them. */
function hashAt(id: ChunkId, first: number): number {
  let hash = 0;
  for (let i = first; i < first + HASH_DIGITS; i++) {
    const code = id.charCodeAt(i);
    hash = (hash << 4) | ((code & 0xf) + 9 * (code >> 6));
  }
  return hash >>> 0;
}
