/**
 * The chunks this node keeps: small ones in the catalog, where they share its syncs; larger ones as files.
 * Every chunk is checked against its name before it is stored and whenever it is read.
 */
import { LRUCache } from "lru-cache";
import { CHUNK_SIZES, type ChunkId, type ChunkSizes } from "../core/manifest.ts";
import { AtollError } from "../errors.ts";
import type { Catalog, ChunkFiles, Hashing, StoredChunk } from "../ports.ts";
import type { Counter, Metrics } from "./metrics.ts";

/** Chunks whose presence is remembered, so that accepting a manifest asks the disk for none that has just come. */
const KNOWN_MAX = 65_536;

export class ChunkStore {
  readonly #catalog: Catalog;
  readonly #files: ChunkFiles;
  readonly #hashing: Hashing;
  readonly #smallBytes: number;
  /** Bounded by a size of one each: for a bound by count the cache takes all its memory at once. */
  readonly #known = new LRUCache<ChunkId, true>({ maxSize: KNOWN_MAX, sizeCalculation: () => 1 });
  readonly #corrupt: Counter;
  readonly #stored: Counter;
  /** Deletions under way. */
  readonly #collecting = new Map<ChunkId, Promise<void>>();
  /** Told when a chunk is stored, or stored again: whatever was thought of its age before is wrong. */
  onStored: (id: ChunkId) => void = () => {};

  constructor(
    deps: {
      catalog: Catalog;
      files: ChunkFiles;
      hashing: Hashing;
      metrics: Metrics;
      chunkSizes?: ChunkSizes | undefined;
    },
  ) {
    this.#smallBytes = (deps.chunkSizes ?? CHUNK_SIZES).smallBytes;
    this.#catalog = deps.catalog;
    this.#files = deps.files;
    this.#hashing = deps.hashing;
    this.#corrupt = deps.metrics.counter(
      "atoll_chunks_corrupt_total",
      "Chunks on disk that failed their check",
    );
    this.#stored = deps.metrics.counter("atoll_chunks_stored_total", "Chunks made durable here");
  }

  /**
   * Durable when it resolves with the digest computed here, by `computed` or now. Bytes that are not what the name says
   * are refused. `bytes` may be used for something else afterwards.
   */
  async put(id: ChunkId, bytes: Uint8Array, computed = this.#hashing.sha256(bytes)): Promise<ChunkId> {
    if (computed !== id) {
      throw new AtollError(
        "digest-mismatch",
        `wanted a chunk with SHA-256 ${id}, got bytes with ${computed}`,
      );
    }
    await this.putVerified(id, bytes);
    return computed;
  }

  /** For whoever has just computed `id` from these very bytes. */
  async putVerified(id: ChunkId, bytes: Uint8Array): Promise<void> {
    this.storing(id);
    await this.#collecting.get(id);
    if (this.isSmall(bytes.length)) await this.#catalog.commit({ chunks: [{ id, bytes }] });
    else await this.#files.put(id, bytes);
    this.stored(id);
  }

  /** A small chunk is about to be made durable by a commit of the caller's: nobody may think it old any more. */
  storing(id: ChunkId): void {
    this.onStored(id);
  }

  /** It was. */
  stored(id: ChunkId): void {
    this.#known.set(id, true);
    this.#stored.add();
  }

  /** Verified bytes; a copy that fails is counted and put out of the way, and is then missing. */
  async get(id: ChunkId, sizeBytes?: number): Promise<Uint8Array | undefined> {
    if (sizeBytes === undefined || this.isSmall(sizeBytes)) {
      const bytes = await this.#catalog.chunk(id);
      if (bytes && this.#hashing.sha256(bytes) === id) return bytes;
      if (bytes) {
        this.#failed(id);
        await this.#catalog.deleteChunk(id);
      }
      if (sizeBytes !== undefined) return this.#missing(id);
    }
    const read = await this.#files.get(id);
    if (read.kind === "found") return read.bytes;
    if (read.kind === "corrupt") {
      this.#failed(id);
      await this.#files.setAside(id);
    }
    return this.#missing(id);
  }

  /** Whether a chunk of that size is kept in the catalog, and may travel with a vote. */
  isSmall(sizeBytes: number): boolean {
    return sizeBytes <= this.#smallBytes;
  }

  /** Whether it came lately; false says nothing. */
  isKnown(id: ChunkId): boolean {
    return this.#known.has(id);
  }

  async has(id: ChunkId): Promise<boolean> {
    await this.#collecting.get(id);
    if (await this.#files.has(id)) return true;
    const [small] = await this.#catalog.hasChunks([id]);
    return small === true;
  }

  /** `has` for whoever relies on it from now on: it counts as if it had just been stored. */
  async keeps(id: ChunkId): Promise<boolean> {
    this.storing(id);
    return await this.has(id);
  }

  /** Stored chunks in order of id, small ones and files alike. */
  async *all(batch = 256): AsyncGenerator<StoredChunk> {
    for (const source of [this.#files.list.bind(this.#files), this.#catalog.listChunks.bind(this.#catalog)]) {
      let after = "";
      for (let ended = false; !ended;) {
        const page = await source(after, batch);
        ended = page.length < batch;
        after = page.at(-1)?.id ?? after;
        yield* page;
      }
    }
  }

  /**
   * Takes a chunk away that nobody names. Whoever asks for it from now on waits, and finds it missing; `isWanted` is asked
   * at the last moment before which that is so.
   */
  async collect({ id, sizeBytes }: StoredChunk, isWanted: () => boolean): Promise<boolean> {
    this.#known.delete(id);
    if (isWanted() || this.#collecting.has(id)) return false;
    const deleted = this.isSmall(sizeBytes) ? this.#catalog.deleteChunk(id) : this.#files.delete(id);
    const collecting = deleted.then(() => {}, () => {}).finally(() => this.#collecting.delete(id));
    this.#collecting.set(id, collecting);
    await deleted;
    return true;
  }

  /** Whatever made it so, it is not remembered as being here. */
  #missing(id: ChunkId): undefined {
    this.#known.delete(id);
  }

  #failed(id: ChunkId): void {
    this.#known.delete(id);
    this.#corrupt.add();
  }
}
