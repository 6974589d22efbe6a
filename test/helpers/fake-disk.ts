/**
 * A disk that outlives the process on it: what was committed is there after a crash, what was not is gone. It takes its
 * time, can be full, and tells a dead process nothing.
 */
import type { ChunkId } from "../../src/core/manifest.ts";
import type { Name } from "../../src/core/names.ts";
import { AtollError, DamagedRegister } from "../../src/errors.ts";
import { pause } from "../../src/node/waiting.ts";
import type { Catalog, CatalogChange, ChunkCache, ChunkFiles, Clock, RegisterRow } from "../../src/ports.ts";
import { createMemoryCatalog } from "./memory-catalog.ts";
import { createMemoryChunkCache, createMemoryChunkFiles, type Damage } from "./memory-chunk-files.ts";

/** Room for a few chunks. */
const CACHE_BYTES = 8 << 20;

export class FakeDisk {
  readonly #delayMs: () => number;
  readonly #catalog = createMemoryCatalog();
  readonly #files = createMemoryChunkFiles();
  readonly #cache: ReturnType<typeof createMemoryChunkCache>;
  /** Refuses what adds to it, as a full disk does. */
  isFull = false;
  /** Commits so far. */
  commits = 0;
  /** Whether this read of a running process fails. */
  readFails: () => boolean = () => false;
  /** Registers whose rows no checksum fits any more, until they are written again. */
  readonly damagedRows = new Set<Name>();
  /** Small chunks that have rotted, until they are gone. */
  readonly rottenChunks = new Set<ChunkId>();

  constructor(delayMs: () => number = () => 0, cacheBytes = CACHE_BYTES) {
    this.#cache = createMemoryChunkCache(cacheBytes);
    this.#delayMs = delayMs;
  }

  /** What is on the platters, for the test to look at and to damage. */
  get catalog(): Catalog {
    return this.#catalog;
  }

  get chunkFiles(): ChunkFiles & Damage {
    return this.#files;
  }

  get chunkCache(): ChunkCache & { flip(id: string): void } {
    return this.#cache;
  }

  /** The catalog as one life of a process sees it; `clock`: its own. */
  openCatalog(isAlive: () => boolean, clock: Clock): Catalog {
    return this.#seenBy<Catalog>(isAlive, this.#catalog, {
      commit: (change) => this.#write(isAlive, clock, () => this.#commit(change)),
      deleteChunk: (id) =>
        this.#write(isAlive, clock, async () => {
          this.rottenChunks.delete(id);
          await this.#catalog.deleteChunk(id);
        }),
      register: (name) =>
        this.#read(isAlive, () => {
          this.#mustBeWhole(name);
          return this.#catalog.register(name);
        }),
      scan: (range) => this.#read(isAlive, () => this.#wholeRows(this.#catalog.scan(range))),
      slotRows: (slot, after, limit, end) =>
        this.#read(isAlive, () => this.#wholeRows(this.#catalog.slotRows(slot, after, limit, end))),
      chunk: (id) =>
        this.#read(isAlive, async () => {
          const bytes = await this.#catalog.chunk(id);
          if (bytes && this.rottenChunks.has(id)) bytes[bytes.length >> 1]! ^= 1;
          return bytes;
        }),
      close: async () => {},
    });
  }

  openChunkFiles(isAlive: () => boolean, clock: Clock): ChunkFiles {
    const inner = this.#files;
    return this.#seenBy<ChunkFiles>(isAlive, inner, {
      put: (id, bytes) =>
        this.#write(isAlive, clock, async () => {
          this.#mustHaveRoom();
          await inner.put(id, bytes);
        }),
      setAside: (id) => this.#write(isAlive, clock, () => inner.setAside(id)),
      delete: (id) => this.#write(isAlive, clock, () => inner.delete(id)),
    });
  }

  async #read<T>(isAlive: () => boolean, read: () => Promise<T>): Promise<T> {
    if (this.readFails()) throw new AtollError("internal", "wanted to read from the disk, got an I/O error");
    const answer = await read();
    return isAlive() ? answer : await forever();
  }

  #mustBeWhole(name: Name): void {
    if (this.damagedRows.has(name)) throw new DamagedRegister(name, "wanted a row whose checksum fits");
  }

  async #wholeRows(rows: Promise<RegisterRow[]>): Promise<RegisterRow[]> {
    for (const { name } of await rows) this.#mustBeWhole(name);
    return await rows;
  }

  /** A store as one life of a process sees it: as given, and where nothing is given a read. */
  #seenBy<S extends object>(isAlive: () => boolean, store: S, own: Partial<S>): S {
    return new Proxy(store, {
      get: (target, name) => {
        if (Object.hasOwn(own, name)) return own[name as keyof S];
        const read = target[name as keyof S];
        if (typeof read !== "function") return read;
        return (...args: unknown[]) => this.#read<unknown>(isAlive, async () => read.apply(target, args));
      },
    });
  }

  /**
   * What was being written when the process died is there whole, or not at all: a file is renamed into place after its sync,
   * a commit is a transaction, and what a torn write left in a temporary nobody reads. Half the time before it is durable, half
   * before anybody is told: a crash may come in either.
   */
  async #write(isAlive: () => boolean, clock: Clock, write: () => Promise<void>): Promise<void> {
    if (!isAlive()) return await forever();
    const delayMs = this.#delayMs();
    if (delayMs > 0) await pause(clock, delayMs / 2);
    if (!isAlive()) return await forever();
    await write();
    if (delayMs > 0) await pause(clock, delayMs / 2);
    if (!isAlive()) await forever();
  }

  async #commit(change: CatalogChange): Promise<void> {
    if (change.registers || change.chunks) this.#mustHaveRoom();
    this.commits++;
    await this.#catalog.commit(change);
    for (const { name } of change.registers ?? []) this.damagedRows.delete(name);
    for (const name of change.forgotten ?? []) this.damagedRows.delete(name);
  }

  #mustHaveRoom(): void {
    if (this.isFull) throw new AtollError("storage-full", "wanted room on the disk, got none");
  }
}

function forever<T>(): Promise<T> {
  return new Promise(() => {});
}
