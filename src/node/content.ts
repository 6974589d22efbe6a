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
import { type Buffers, type Lease, UNBOUNDED } from "./buffer-budget.ts";
import type { ChunkReader, FetchedChunk } from "./chunk-reader.ts";
import type { MemoryCache } from "./memory-cache.ts";

/** Chunks fetched ahead of the one being sent: so many times as many each time that the reader had to wait, up to the most. */
const AHEAD_MIN = 1;
const AHEAD_MAX = 16;
const AHEAD_FACTOR = 4;
/** Chunks beyond the first ahead, of all readers together: who comes later than that goes on with one. */
const AHEAD_ALL_MAX = 32;
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
  /** The wanted bytes in order. Ends with an error when a chunk cannot be had; closing it early stops the fetching. */
  readonly bytes: AsyncIterableIterator<Uint8Array>;
}

/** A chunk on its way to a reader that is not there yet. */
interface Ahead {
  readonly chunk: Promise<FetchedChunk>;
  readonly lease: Lease;
  isHere: boolean;
}

export class Content {
  readonly #reader: ChunkReader;
  readonly #memory: MemoryCache;
  readonly #sizes: ChunkSizes;
  readonly #clock: Clock;
  readonly #buffers: Buffers;
  #aheadOfAll = 0;

  constructor(
    deps: {
      reader: ChunkReader;
      memory: MemoryCache;
      clock: Clock;
      buffers?: Buffers | undefined;
      chunkSizes?: ChunkSizes | undefined;
    },
  ) {
    this.#buffers = deps.buffers ?? UNBOUNDED;
    this.#clock = deps.clock;
    this.#sizes = deps.chunkSizes ?? CHUNK_SIZES;
    this.#reader = deps.reader;
    this.#memory = deps.memory;
  }

  /** All of a small object, if it is in memory. Throws `damaged`. */
  peek(manifest: Manifest): Uint8Array | undefined {
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
    const index = Math.floor(first / this.#sizes.chunkBytes);
    const begunMs = this.#clock.monotonicMs();
    const id = await this.#idOf(name, manifest, index);
    const namedMs = this.#clock.monotonicMs();
    const sizeBytes = chunkLength(manifest.size, index, this.#sizes);
    const taken = this.#buffers.takeSoon(sizeBytes);
    const lease = taken instanceof Promise ? await taken : taken;
    const begin = await this.#leased(lease, this.#chunkOf(name, manifest, index, id, trace));
    const { bytes: _bytes, ...found } = begin;
    const source = {
      ...found,
      tookMs: this.#clock.monotonicMs() - namedMs,
      indexMs: manifest.layout === "index" ? namedMs - begunMs : undefined,
    };
    const bytes = this.#stream(name, manifest, first, last, { begin, lease }, trace);
    const close = bytes.return.bind(bytes);
    // A generator that was never asked for anything hears nothing of its end.
    bytes.return = (value) => {
      lease.release();
      return close(value);
    };
    return { source, bytes };
  }

  /** The lease is that of the chunk, or given back when it does not come. */
  async #leased(lease: Lease, fetching: Promise<FetchedChunk>): Promise<FetchedChunk> {
    try {
      const chunk = await fetching;
      lease.isFor(chunk.bytes);
      return chunk;
    } catch (error) {
      lease.release();
      throw error;
    }
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

  async *#stream(
    name: Name,
    manifest: Manifest,
    first: number,
    last: number,
    { begin, lease: firstLease }: { begin: FetchedChunk; lease: Lease },
    trace: string | undefined,
  ): AsyncGenerator<Uint8Array> {
    const firstIndex = Math.floor(first / this.#sizes.chunkBytes);
    const lastIndex = Math.floor(last / this.#sizes.chunkBytes);
    const ahead: Ahead[] = [];
    let next = firstIndex + 1;
    let wanted = AHEAD_MIN;
    const fetch = (index: number, lease: Lease): void => {
      this.#aheadOfAll++;
      const chunk = this.#leased(lease, this.#chunk(name, manifest, index, trace));
      const fetching: Ahead = { chunk, lease, isHere: false };
      // What fails is met by whoever awaits it, unless the reader leaves before.
      fetching.chunk.then(() => (fetching.isHere = true), () => {});
      ahead.push(fetching);
    };
    const fill = (): void => {
      while (next <= lastIndex && ahead.length < wanted) {
        if (ahead.length >= AHEAD_MIN && this.#aheadOfAll >= AHEAD_ALL_MAX) return;
        const lease = this.#buffers.take(chunkLength(manifest.size, next, this.#sizes));
        if (!lease) return;
        fetch(next++, lease);
      }
    };
    let chunk: FetchedChunk | undefined = begin;
    let lease = firstLease;
    try {
      for (let index = firstIndex; index <= lastIndex; index++) {
        fill();
        if (!chunk) {
          // With nothing in hand, so that whoever waits for memory keeps none.
          if (ahead.length === 0) {
            const sizeBytes = chunkLength(manifest.size, index, this.#sizes);
            fetch(next++, await this.#buffers.takeSoon(sizeBytes, true));
          }
          const { chunk: fetching, isHere } = ahead[0]!;
          ({ lease } = ahead[0]!);
          chunk = await fetching;
          // What lies here already comes fast enough.
          if (!isHere && (chunk.tier === "peer" || chunk.tier === "region")) {
            wanted = Math.min(AHEAD_MAX, AHEAD_FACTOR * wanted);
          }
          ahead.shift();
          this.#aheadOfAll--;
        }
        const { bytes } = chunk;
        chunk = undefined;
        const from = index === firstIndex ? first - index * this.#sizes.chunkBytes : 0;
        const to = index === lastIndex ? last - index * this.#sizes.chunkBytes + 1 : bytes.length;
        yield from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to);
        lease.release();
      }
    } finally {
      this.#aheadOfAll -= ahead.length;
      lease.release();
      // What still comes is in memory until it is here.
      for (const left of ahead) void left.chunk.catch(() => {}).then(() => left.lease.release());
    }
  }

  async #chunk(
    name: Name,
    manifest: Manifest,
    index: number,
    trace: string | undefined,
  ): Promise<FetchedChunk> {
    return await this.#chunkOf(name, manifest, index, await this.#idOf(name, manifest, index), trace);
  }

  #chunkOf(
    name: Name,
    manifest: Manifest,
    index: number,
    id: ChunkId,
    trace: string | undefined,
  ): Promise<FetchedChunk> {
    const keep = this.#memory.keepsObjectsOf(manifest.size);
    const sizeBytes = chunkLength(manifest.size, index, this.#sizes);
    return this.#reader.fetch({ name, id, sizeBytes, keep, trace });
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
