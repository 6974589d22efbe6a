/** An object's bytes, chunk by chunk, each verified before the first byte of it is passed on. */
import {
  CHUNK_SIZES,
  chunkCount,
  type ChunkId,
  chunkLength,
  type ChunkSizes,
  chunksPerIndex,
  DIGEST_BYTES,
  type Manifest,
} from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import type { Clock } from "../ports.ts";
import { Audiences } from "./audiences.ts";
import { type Buffers, UNBOUNDED, UNCOUNTED_BYTES } from "./buffer-budget.ts";
import type { ChunkReader, FetchedChunk } from "./chunk-reader.ts";
import type { MemoryCache } from "./memory-cache.ts";
import { Reading, type ReadingDeps } from "./reading.ts";

/** Of an index chunk's chunks, about. */
const SAMPLES = 8;

export interface ContentSource extends Omit<FetchedChunk, "bytes"> {
  /** Until the first chunk was here; of an object with index chunks, after its index chunk was. */
  readonly tookMs?: number | undefined;
  readonly indexMs?: number | undefined;
}

export interface OpenContent {
  /** Where the first chunk came from. */
  readonly source: ContentSource;
  /**
   * The wanted bytes in order. Ends with an error when a chunk cannot be had. It must be read to its end or closed: until then
   * chunks are kept for it.
   */
  readonly bytes: AsyncIterableIterator<Uint8Array>;
}

export class Content {
  readonly #reader: ChunkReader;
  readonly #memory: MemoryCache;
  readonly #sizes: ChunkSizes;
  readonly #clock: Clock;
  readonly #readings: ReadingDeps;

  constructor(
    deps: {
      reader: ChunkReader;
      memory: MemoryCache;
      clock: Clock;
      buffers?: Buffers | undefined;
      chunkSizes?: ChunkSizes | undefined;
    },
  ) {
    this.#clock = deps.clock;
    this.#sizes = deps.chunkSizes ?? CHUNK_SIZES;
    this.#reader = deps.reader;
    this.#memory = deps.memory;
    this.#readings = {
      memory: deps.memory,
      audiences: new Audiences(),
      buffers: deps.buffers ?? UNBOUNDED,
      ahead: { count: 0 },
    };
  }

  /**
   * All of a small object, if it is in memory. Throws `damaged`. A larger one is opened, as a reader that takes its time has
   * it in hand for as long, whatever becomes of it in the cache.
   */
  peek(manifest: Manifest): Uint8Array | undefined {
    if (manifest.size > UNCOUNTED_BYTES) return undefined;
    if (manifest.layout === "inline") return this.#reader.within(manifest).bytes;
    if (manifest.chunks.length === 1 && manifest.layout === "list") {
      return this.#reader.peek(manifest.chunks[0]!);
    }
    return manifest.size === 0 ? EMPTY : undefined;
  }

  /** Whether this node's caches hold it, as far as can be said at once: of an object with index chunks some of each are looked at. */
  isCached(manifest: Manifest): boolean {
    if (manifest.layout !== "index") return manifest.chunks.every((id) => this.#reader.isCached(id));
    return manifest.chunks.every((id) => {
      const index = this.#memory.chunk(id);
      return index !== undefined && sampleOf(index).every((sample) => this.#reader.isCached(sample));
    });
  }

  /**
   * Bytes `first` to `last`, both included. Resolves once the first chunk is here, so that a fault is still an answer; its
   * memory is set aside until the bytes are read on or closed. Rejects with `overloaded` when there is none for too long.
   */
  async open(
    name: Name,
    manifest: Manifest,
    first: number,
    last: number,
    trace?: string,
  ): Promise<OpenContent> {
    if (manifest.size === 0) return { source: { tier: "memory" }, bytes: none() };
    if (manifest.layout === "inline") {
      const { bytes, tier } = this.#reader.within(manifest);
      return { source: { tier }, bytes: once(bytes.subarray(first, last + 1)) };
    }
    const begunMs = this.#clock.monotonicMs();
    let namedMs: number | undefined;
    const reading = new Reading(this.#readings, {
      sha256: manifest.sha256,
      first: Math.floor(first / this.#sizes.chunkBytes),
      last: Math.floor(last / this.#sizes.chunkBytes),
      fetch: async (index) => {
        const id = await this.#idOf(name, manifest, index);
        namedMs ??= this.#clock.monotonicMs();
        return { id, chunk: await this.#chunk(name, manifest, index, id, trace) };
      },
      sizeOf: (index) => chunkLength(manifest.size, index, this.#sizes),
    });
    const { bytes: _bytes, ...found } = (await reading.begin()).chunk;
    const askedMs = namedMs ?? begunMs;
    const source = {
      ...found,
      tookMs: this.#clock.monotonicMs() - askedMs,
      indexMs: manifest.layout === "index" ? askedMs - begunMs : undefined,
    };
    return { source, bytes: endingWith(this.#wanted(reading, first, last), () => reading.end()) };
  }

  /** Every chunk the object needs, index chunks included. */
  async *chunksOf(name: Name, manifest: Manifest): AsyncGenerator<{ id: ChunkId; sizeBytes: number }> {
    if (manifest.layout === "inline") return;
    if (manifest.layout === "index") {
      for (const [i, id] of manifest.chunks.entries()) {
        yield { id, sizeBytes: this.#indexLength(manifest, i) };
      }
    }
    for (let i = 0; i < chunkCount(manifest.size, this.#sizes); i++) {
      yield {
        id: await this.#idOf(name, manifest, i),
        sizeBytes: chunkLength(manifest.size, i, this.#sizes),
      };
    }
  }

  async *#wanted(reading: Reading, first: number, last: number): AsyncGenerator<Uint8Array> {
    const { chunkBytes } = this.#sizes;
    let at = first - first % chunkBytes;
    for await (const bytes of reading.chunks()) {
      const from = Math.max(0, first - at);
      const to = Math.min(bytes.length, last + 1 - at);
      at += bytes.length;
      if (from < to) yield from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to);
      if (at > last) return;
    }
  }

  #chunk(
    name: Name,
    manifest: Manifest,
    index: number,
    id: ChunkId,
    trace: string | undefined,
  ): Promise<FetchedChunk> {
    const { audiences } = this.#readings;
    return this.#reader.fetch({
      name,
      id,
      sizeBytes: chunkLength(manifest.size, index, this.#sizes),
      keep: this.#memory.keepsObjectsOf(manifest.size),
      isAwaited: () => audiences.awaits(manifest.sha256, index),
      trace,
    });
  }

  async #idOf(name: Name, manifest: Manifest, index: number): Promise<ChunkId> {
    if (manifest.layout === "list") return manifest.chunks[index]!;
    const perIndex = chunksPerIndex(this.#sizes);
    const at = Math.floor(index / perIndex);
    const { bytes } = await this.#reader.fetch({
      name,
      id: manifest.chunks[at]!,
      sizeBytes: this.#indexLength(manifest, at),
      keep: true,
    });
    return hexOf(bytes, (index % perIndex) * DIGEST_BYTES);
  }

  /** Bytes of index chunk `at`. */
  #indexLength(manifest: Manifest, at: number): number {
    const perIndex = chunksPerIndex(this.#sizes);
    return Math.min(perIndex, chunkCount(manifest.size, this.#sizes) - at * perIndex) * DIGEST_BYTES;
  }
}

/** Some of the chunks that an index chunk names, the first one and others as far from each other. */
function sampleOf(index: Uint8Array): ChunkId[] {
  const count = index.length / DIGEST_BYTES;
  const step = Math.max(1, Math.floor(count / SAMPLES));
  const ids: ChunkId[] = [];
  for (let i = 0; i < count; i += step) ids.push(hexOf(index, i * DIGEST_BYTES));
  return ids;
}

/** Not by the generator itself: one that was never begun does not hear that nobody wants it. */
function endingWith<T>(parts: AsyncGenerator<T>, end: () => void): AsyncIterableIterator<T> {
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      try {
        const step = await parts.next();
        if (step.done === true) end();
        return step;
      } catch (error) {
        end();
        throw error;
      }
    },
    async return() {
      end();
      return await parts.return(undefined);
    },
  };
}

const EMPTY = new Uint8Array(0);

async function* none(): AsyncGenerator<Uint8Array> {}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function hexOf(bytes: Uint8Array, at: number): string {
  let hex = "";
  for (let i = at; i < at + DIGEST_BYTES; i++) hex += bytes[i]!.toString(16).padStart(2, "0");
  return hex;
}
