/** The disk cache: chunk files that nobody has to sync, and that give way to newer ones. */
import { mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { LRUCache } from "lru-cache";
import { type ChunkId, isChunkId } from "../core/manifest.ts";
import type { ChunkCache } from "../ports.ts";
import { type ChunkFormat, createChunkFormat, TRAILER_BYTES } from "./chunk-format.ts";
import { diskFault, isMissing, makeDirectory, writeNewFile } from "./disk-durability.ts";
import { DiskGate, Turns } from "./disk-turns.ts";

const OPERATIONS_AT_ONCE = 16;
/** What a file system gives out at least; counting it bounds the number of files, and so the index in memory. */
const BLOCK_BYTES = 4096;
const FAN_OUT = /^[0-9a-f]{2}$/;

/** Bytes that a copy of `sizeBytes` takes of the cache's bound. */
export function cacheCharge(sizeBytes: number): number {
  return Math.ceil((sizeBytes + TRAILER_BYTES) / BLOCK_BYTES) * BLOCK_BYTES;
}

/**
 * Opens `directory`, with whatever an earlier run left in it, the least recently written first to go. A disk that fails
 * makes it miss; it never rejects, but for a directory that cannot be made.
 */
export async function openDiskCache(
  { directory, maxBytes }: { directory: string; maxBytes: number },
): Promise<ChunkCache> {
  try {
    await rm(join(directory, "tmp"), { recursive: true, force: true });
    await makeDirectory(join(directory, "tmp"));
    const cache = new DiskCache(directory, maxBytes, await createChunkFormat());
    await cache.load();
    return cache;
  } catch (error) {
    throw diskFault(error, `open the cache directory ${directory}`);
  }
}

class DiskCache implements ChunkCache {
  readonly #directory: string;
  readonly #maxBytes: number;
  readonly #format: ChunkFormat;
  /** Charges of the files that are there, or are being written. */
  readonly #index: LRUCache<ChunkId, number>;
  readonly #gate = new DiskGate(OPERATIONS_AT_ONCE);
  readonly #turns = new Turns();
  #evicted: ChunkId[] = [];
  #written = 0;

  constructor(directory: string, maxBytes: number, format: ChunkFormat) {
    this.#directory = directory;
    this.#maxBytes = maxBytes;
    this.#format = format;
    this.#index = new LRUCache({
      maxSize: Math.max(1, maxBytes),
      sizeCalculation: (chargeBytes) => chargeBytes,
      dispose: (_charge, id, reason) => {
        if (reason === "evict") this.#evicted.push(id);
      },
    });
  }

  get usedBytes(): number {
    return this.#index.calculatedSize;
  }

  has(id: ChunkId): boolean {
    return this.#index.peek(id) !== undefined;
  }

  hasRoomFor(sizeBytes: number): boolean {
    return this.usedBytes + cacheCharge(sizeBytes) <= this.#maxBytes;
  }

  /** Rebuilds the index from the files, oldest first. */
  async load(): Promise<void> {
    const files: { id: ChunkId; chargeBytes: number; writtenMs: number }[] = [];
    for (const outer of await readdir(this.#directory)) {
      if (!FAN_OUT.test(outer)) continue;
      const ids = (await readdir(join(this.#directory, outer))).filter(isChunkId);
      for (let start = 0; start < ids.length; start += OPERATIONS_AT_ONCE) {
        const some = ids.slice(start, start + OPERATIONS_AT_ONCE);
        files.push(
          ...await Promise.all(some.map(async (id) => {
            const { size, mtimeMs } = await stat(this.#pathOf(id));
            return { id, chargeBytes: cacheCharge(size - TRAILER_BYTES), writtenMs: mtimeMs };
          })),
        );
      }
    }
    files.sort((a, b) => a.writtenMs - b.writtenMs);
    for (const { id, chargeBytes } of files) {
      if (chargeBytes > this.#maxBytes) this.#evicted.push(id);
      else this.#index.set(id, chargeBytes);
    }
    await this.#removeEvicted();
  }

  async put(id: ChunkId, bytes: Uint8Array): Promise<void> {
    const chargeBytes = cacheCharge(bytes.length);
    if (chargeBytes > this.#maxBytes || this.#index.get(id) !== undefined) return;
    this.#index.set(id, chargeBytes);
    // Room first, so that the bound holds on the disk too.
    await this.#removeEvicted();
    await this.#inTurn(id, () => this.#write(id, bytes));
  }

  async #write(id: ChunkId, bytes: Uint8Array): Promise<void> {
    if (this.#index.peek(id) === undefined) return; // evicted while it waited
    const temporary = join(this.#directory, "tmp", `${id}.${++this.#written}`);
    try {
      await writeNewFile(temporary, [bytes, this.#format.trailer(id, bytes)]);
      await this.#moveIntoPlace(temporary, id);
    } catch {
      this.#index.delete(id); // a disk that fails or is full makes the cache miss
      await this.#remove(temporary);
    }
  }

  async #moveIntoPlace(temporary: string, id: ChunkId): Promise<void> {
    try {
      await rename(temporary, this.#pathOf(id));
    } catch (error) {
      if (!isMissing(error)) throw error;
      await mkdir(join(this.#directory, id.slice(0, 2)), { recursive: true, mode: 0o700 });
      await rename(temporary, this.#pathOf(id));
    }
  }

  async get(id: ChunkId): Promise<Uint8Array | undefined> {
    if (this.#index.get(id) === undefined) return undefined;
    return await this.#inTurn(id, () => this.#read(id));
  }

  async #read(id: ChunkId): Promise<Uint8Array | undefined> {
    if (this.#index.peek(id) === undefined) return undefined;
    const content = await readFile(this.#pathOf(id)).catch(() => undefined); // unreadable counts as damaged
    const bytes = content && this.#format.open(id, content);
    if (!bytes) {
      this.#index.delete(id);
      await this.#remove(this.#pathOf(id));
    }
    return bytes;
  }

  async #removeEvicted(): Promise<void> {
    const ids = this.#evicted;
    this.#evicted = [];
    await Promise.all(ids.map((id) =>
      this.#inTurn(id, async () => {
        // Put again meanwhile: its write comes after this turn, or found the file still there.
        if (this.#index.peek(id) === undefined) await this.#remove(this.#pathOf(id));
      })
    ));
  }

  /** A file that will not go stays unindexed, and is counted again at the next start. */
  async #remove(path: string): Promise<void> {
    await rm(path, { force: true }).catch(() => undefined);
  }

  #inTurn<T>(id: ChunkId, operation: () => Promise<T>): Promise<T> {
    return this.#turns.run(id, () => this.#gate.run(operation));
  }

  #pathOf(id: ChunkId): string {
    return join(this.#directory, id.slice(0, 2), id);
  }
}
