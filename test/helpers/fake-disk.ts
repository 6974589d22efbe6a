/**
 * A disk that outlives the process on it: what was committed is there after a crash, what was not is gone. It takes its
 * time, can be full, and tells a dead process nothing.
 */
import { AtollError } from "../../src/errors.ts";
import { pause } from "../../src/node/waiting.ts";
import type { Catalog, CatalogChange, ChunkCache, ChunkFiles, Clock } from "../../src/ports.ts";
import { createMemoryCatalog } from "./memory-catalog.ts";
import { createMemoryChunkCache, createMemoryChunkFiles } from "./memory-chunk-files.ts";

/** Room for a few chunks. */
const CACHE_BYTES = 8 << 20;

export class FakeDisk {
  readonly #clock: Clock;
  readonly #delayMs: () => number;
  readonly #catalog = createMemoryCatalog();
  readonly #files = createMemoryChunkFiles();
  readonly #cache = createMemoryChunkCache(CACHE_BYTES);
  /** Refuses what adds to it, as a full disk does. */
  isFull = false;
  /** Commits so far. */
  commits = 0;

  constructor(clock: Clock, delayMs: () => number = () => 0) {
    this.#clock = clock;
    this.#delayMs = delayMs;
  }

  /** What is on the platters, for the test to look at and to damage. */
  get catalog(): Catalog {
    return this.#catalog;
  }

  get chunkFiles(): ChunkFiles & { flip(id: string): void } {
    return this.#files;
  }

  get chunkCache(): ChunkCache & { flip(id: string): void } {
    return this.#cache;
  }

  /** The catalog as one life of a process sees it. */
  openCatalog(isAlive: () => boolean): Catalog {
    return this.#seenBy(isAlive, this.#catalog, {
      commit: (change) => this.#write(isAlive, () => this.#commit(change)),
      deleteChunk: (id) => this.#write(isAlive, () => this.#catalog.deleteChunk(id)),
      close: async () => {},
    });
  }

  openChunkFiles(isAlive: () => boolean): ChunkFiles {
    const inner = this.#files;
    return this.#seenBy<ChunkFiles>(isAlive, inner, {
      put: (id, bytes) =>
        this.#write(isAlive, async () => {
          this.#mustHaveRoom();
          await inner.put(id, bytes);
        }),
      setAside: (id) => this.#write(isAlive, () => inner.setAside(id)),
      delete: (id) => this.#write(isAlive, () => inner.delete(id)),
    });
  }

  /** A store as one life of a process sees it: writes as given, everything else is a read. */
  #seenBy<S extends object>(isAlive: () => boolean, store: S, writes: Partial<S>): S {
    return new Proxy(store, {
      get: (target, name) => {
        if (Object.hasOwn(writes, name)) return writes[name as keyof S];
        const read = target[name as keyof S];
        if (typeof read !== "function") return read;
        return async (...args: unknown[]) => {
          const answer: unknown = await read.apply(target, args);
          return isAlive() ? answer : await forever();
        };
      },
    });
  }

  /** Half the time before it is durable, half before anybody is told: a crash may come in either. */
  async #write(isAlive: () => boolean, write: () => Promise<void>): Promise<void> {
    if (!isAlive()) return await forever();
    const delayMs = this.#delayMs();
    if (delayMs > 0) await pause(this.#clock, delayMs / 2);
    if (!isAlive()) return await forever();
    await write();
    if (delayMs > 0) await pause(this.#clock, delayMs / 2);
    if (!isAlive()) await forever();
  }

  async #commit(change: CatalogChange): Promise<void> {
    if (change.registers || change.chunks) this.#mustHaveRoom();
    this.commits++;
    await this.#catalog.commit(change);
  }

  #mustHaveRoom(): void {
    if (this.isFull) throw new AtollError("storage-full", "wanted room on the disk, got none");
  }
}

function forever<T>(): Promise<T> {
  return new Promise(() => {});
}
