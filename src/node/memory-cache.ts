/**
 * What is in memory: objects' current values with the moment they were last known current, and chunks by digest.
 * Both are bounded in bytes. A chunk can never be wrong; a value may be old, and whoever uses it asks freshness first.
 */
import { LRUCache } from "lru-cache";
import type { Ballot } from "../core/ballot.ts";
import type { ChunkId } from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import { type RegisterValue, valueBytes } from "../core/register.ts";
import { ChunkMemory } from "./chunk-memory.ts";
import { ChunksInUse } from "./chunks-in-use.ts";

export interface KnownValue {
  readonly ballot: Ballot;
  readonly value: RegisterValue | null;
  /** Monotonic ms at which nobody had a newer value. */
  knownAtMs: number;
}

/** The share of the memory that values may take, the smallest objects' content with them; the rest is for chunks. */
const VALUES_SHARE = 1 / 4;
/** Of what is known of a value, and what is derived from it. */
const KNOWN_BYTES = 400;
/** Objects above this share of the chunks' memory stream past it, lest one of them wash everything else out. */
const OBJECT_SHARE = 1 / 8;

export class MemoryCache {
  readonly #values: LRUCache<Name, KnownValue>;
  readonly #chunks: ChunkMemory;
  readonly #inUse = new ChunksInUse();
  readonly #objectBytesMax: number;

  constructor(maxBytes: number) {
    const valuesBytes = Math.max(1, Math.floor(maxBytes * VALUES_SHARE));
    const chunkBytes = Math.max(1, maxBytes - valuesBytes);
    this.#objectBytesMax = Math.floor(chunkBytes * OBJECT_SHARE);
    this.#values = new LRUCache({
      maxSize: valuesBytes,
      sizeCalculation: ({ value }, name) => KNOWN_BYTES + 2 * name.length + (value ? valueBytes(value) : 0),
    });
    this.#chunks = new ChunkMemory(chunkBytes);
  }

  /** Of chunks that are kept, and of values. */
  get usedBytes(): number {
    return this.#values.calculatedSize + this.#chunks.usedBytes;
  }

  /** Of chunks that readers are being sent, whether they are kept or not. */
  get inUseBytes(): number {
    return this.#inUse.bytes;
  }

  value(name: Name): KnownValue | undefined {
    return this.#values.get(name);
  }

  /** Without counting as a use of it. */
  peekValue(name: Name): KnownValue | undefined {
    return this.#values.peek(name);
  }

  hasChunk(id: ChunkId): boolean {
    return this.#chunks.has(id) || this.#inUse.get(id) !== undefined;
  }

  /** A newer version is never replaced by an older one: answers may come in any order. */
  learn(name: Name, known: KnownValue): KnownValue {
    const held = this.#values.get(name);
    const older = held !== undefined && (held.value?.version ?? 0) > (known.value?.version ?? 0);
    if (older) return known;
    // The same version known later: one entry, so that what was derived from it is kept.
    if (
      held && held.value?.version === known.value?.version && held.value?.changeId === known.value?.changeId
    ) {
      if (known.knownAtMs > held.knownAtMs) held.knownAtMs = known.knownAtMs;
      if (held.ballot.counter >= known.ballot.counter) return held;
    }
    this.#values.set(name, known);
    return known;
  }

  /** Something newer than this exists: what is held may no longer be used without asking. */
  outdated(name: Name, version: number): void {
    const held = this.#values.peek(name);
    if (held && (held.value?.version ?? 0) < version) this.#values.delete(name);
  }

  /** Those that are known, absent ones too; more may come meanwhile, and be passed over. */
  *values(): Generator<[Name, KnownValue]> {
    for (const [name, known] of this.#values.entries()) yield [name, known];
  }

  forget(name: Name): void {
    this.#values.delete(name);
  }

  chunk(id: ChunkId): Uint8Array | undefined {
    const kept = this.#chunks.get(id);
    if (kept) return kept;
    const inUse = this.#inUse.get(id);
    if (inUse) this.#chunks.missed(id); // a question for it all the same
    return inUse;
  }

  /** A reader is being sent it: until `endUse` it is here. */
  beginUse(id: ChunkId, bytes: Uint8Array): void {
    this.#inUse.begin(id, bytes);
  }

  /** Once for each `beginUse`. */
  endUse(id: ChunkId): void {
    this.#inUse.end(id);
  }

  /** As `ChunkMemory.missed`. */
  missedChunk(id: ChunkId): void {
    this.#chunks.missed(id);
  }

  keepsObjectsOf(sizeBytes: number): boolean {
    return sizeBytes <= this.#objectBytesMax;
  }

  keepChunk(id: ChunkId, bytes: Uint8Array): void {
    this.#chunks.keep(id, bytes);
  }

  /** Whether it was asked for before, lately. */
  isAskedAgain(id: ChunkId): boolean {
    return this.#chunks.frequency(id) > 1;
  }
}
