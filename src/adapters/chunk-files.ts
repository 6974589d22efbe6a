/** Chunks as files, durable. See chunk-format.ts for what is in them. */
import { access, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ChunkId } from "../core/manifest.ts";
import type { ChunkFiles, StoredChunk } from "../ports.ts";
import { ChunkDirectories } from "./chunk-directories.ts";
import { ChunkFileThread } from "./chunk-file-worker.ts";
import { type ChunkFormat, createChunkFormat, TRAILER_BYTES } from "./chunk-format.ts";
import { diskFault, isMissing, makeDirectory } from "./disk-durability.ts";
import { DiskGate, Turns } from "./disk-turns.ts";
import { notePassedBytes } from "./short-lived-buffers.ts";

/** Reads and writes wait apart, so that no reader stands behind a row of syncs. */
const READS_AT_ONCE = 16;
const WRITES_AT_ONCE = 8;
const QUARANTINE_MAX = 64;

/**
 * Opens `directory`, making it if there is none. Corrupt files go to a directory `quarantine` beside it. One process at
 * a time may have it open: what crashed writes left behind is removed here.
 */
export async function openChunkFiles({ directory }: { directory: string }): Promise<ChunkFiles> {
  const temporary = join(directory, "tmp");
  const quarantine = join(dirname(directory), "quarantine");
  try {
    await rm(temporary, { recursive: true, force: true });
    await makeDirectory(temporary);
    await makeDirectory(quarantine);
  } catch (error) {
    throw diskFault(error, `open the chunk directory ${directory}`);
  }
  return new DiskChunkFiles(directory, temporary, quarantine, await createChunkFormat());
}

class DiskChunkFiles implements ChunkFiles {
  readonly #directories: ChunkDirectories;
  readonly #thread: ChunkFileThread;
  readonly #quarantine: string;
  readonly #format: ChunkFormat;
  readonly #reads = new DiskGate(READS_AT_ONCE);
  readonly #writes = new DiskGate(WRITES_AT_ONCE);
  readonly #turns = new Turns();
  /** Puts under way that nothing was asked after, for others of the same chunk to join. */
  readonly #putting = new Map<ChunkId, Promise<void>>();
  #setAside = 0;

  constructor(directory: string, temporary: string, quarantine: string, format: ChunkFormat) {
    this.#directories = new ChunkDirectories(directory);
    this.#thread = new ChunkFileThread(directory, temporary);
    this.#quarantine = quarantine;
    this.#format = format;
  }

  put(id: ChunkId, bytes: Uint8Array): Promise<void> {
    const under = this.#putting.get(id);
    if (under) return under;
    const put = this.#change(id, "write", () => this.#thread.put(id, bytes)).finally(() => {
      if (this.#putting.get(id) === put) this.#putting.delete(id);
      notePassedBytes(bytes.length);
    });
    this.#putting.set(id, put);
    return put;
  }

  async get(id: ChunkId): ReturnType<ChunkFiles["get"]> {
    try {
      const content = await this.#reads.run(() => readFile(this.#directories.pathOf(id)));
      const bytes = this.#format.open(id, content);
      notePassedBytes(content.length);
      return bytes ? { kind: "found", bytes } : { kind: "corrupt" };
    } catch (error) {
      if (isMissing(error)) return { kind: "missing" };
      throw diskFault(error, `read chunk ${id}`);
    }
  }

  async has(id: ChunkId): Promise<boolean> {
    try {
      await this.#reads.run(() => access(this.#directories.pathOf(id)));
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw diskFault(error, `look for chunk ${id}`);
    }
  }

  setAside(id: ChunkId): Promise<void> {
    return this.#change(id, "set aside", async () => {
      // Between the read that failed and now, a repair may have put a good file there: that one stays.
      if ((await this.get(id)).kind !== "corrupt") return;
      await rename(this.#directories.pathOf(id), this.#quarantinePath(id));
      await this.#thinQuarantine();
    });
  }

  /** In order of names is in order of time. */
  #quarantinePath(id: ChunkId): string {
    const turn = String(++this.#setAside).padStart(6, "0");
    return join(this.#quarantine, `${Date.now()}.${turn}.${id}`);
  }

  async #thinQuarantine(): Promise<void> {
    const names = (await readdir(this.#quarantine)).toSorted();
    const surplus = names.slice(0, Math.max(0, names.length - QUARANTINE_MAX));
    for (const name of surplus) await rm(join(this.#quarantine, name), { force: true });
  }

  delete(id: ChunkId): Promise<void> {
    return this.#change(id, "delete", () => rm(this.#directories.pathOf(id), { force: true }));
  }

  async list(after: ChunkId, limit: number): Promise<StoredChunk[]> {
    const found: StoredChunk[] = [];
    try {
      for await (const id of this.#directories.ids(after)) {
        const sizeBytes = await this.#sizeOf(id);
        if (sizeBytes !== undefined) found.push({ id, sizeBytes });
        if (found.length >= limit) break;
      }
      return found;
    } catch (error) {
      throw diskFault(error, "list the chunks");
    }
  }

  /** Undefined for one that went away meanwhile. */
  async #sizeOf(id: ChunkId): Promise<number | undefined> {
    try {
      const { size } = await this.#reads.run(() => stat(this.#directories.pathOf(id)));
      return Math.max(0, size - TRAILER_BYTES);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async #change(id: ChunkId, doing: string, operation: () => Promise<void>): Promise<void> {
    this.#putting.delete(id);
    try {
      await this.#turns.run(id, () => this.#writes.run(operation));
    } catch (error) {
      throw diskFault(error, `${doing} chunk ${id}`);
    }
  }
}
