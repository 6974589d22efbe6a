/**
 * How a chunk becomes a file, durable: temporary, its sync, rename, sync of the directory. Runs in a thread of its own
 * (chunk-file-worker.ts). What the page cache answers is done on the spot there: each operation that goes through the
 * runtime's pool of threads costs more than most of these system calls do. What waits for the disk goes through the pool, so
 * that several chunks wait together.
 */
import { Buffer } from "node:buffer";
import { closeSync, fdatasync, openSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { ChunkId } from "../core/manifest.ts";
import { ChunkDirectories } from "./chunk-directories.ts";
import { type ChunkFormat, TRAILER_BYTES } from "./chunk-format.ts";
import { syncDirectory, writeWhole } from "./disk-durability.ts";

const syncContent = promisify(fdatasync);

export class ChunkFileWriter {
  readonly #directories: ChunkDirectories;
  readonly #temporary: string;
  readonly #format: ChunkFormat;
  #written = 0;

  /** `temporary`: a directory on the same file system, for files that are being written. */
  constructor(directory: string, temporary: string, format: ChunkFormat) {
    this.#directories = new ChunkDirectories(directory);
    this.#temporary = temporary;
    this.#format = format;
  }

  /** Durable when it resolves. Of one chunk one at a time. Rejects with the system's errors, `storage-full` for a cut write. */
  async put(id: ChunkId, bytes: Uint8Array): Promise<void> {
    if (this.#holds(id, bytes)) {
      // Its name may not be on disk yet: a put before this one may have failed, or crashed, between rename and sync.
      return await syncDirectory(await this.#directories.of(id));
    }
    const temporary = join(this.#temporary, `${id}.${++this.#written}`);
    const [made, written] = await Promise.allSettled([
      this.#directories.of(id),
      this.#write(temporary, [bytes, this.#format.trailer(id, bytes)]),
    ]);
    try {
      if (written.status === "rejected") throw written.reason;
      if (made.status === "rejected") throw made.reason;
      renameSync(temporary, join(made.value, id));
    } catch (error) {
      // What is left of it would make a full disk fuller.
      rmSync(temporary, { force: true });
      throw error;
    }
    await syncDirectory(made.value);
  }

  /** Whether the file is there and good: one that rotted has the right length too, and is written anew. */
  #holds(id: ChunkId, bytes: Uint8Array): boolean {
    const path = this.#directories.pathOf(id);
    if (statSync(path, { throwIfNoEntry: false })?.size !== bytes.length + TRAILER_BYTES) return false;
    const content = this.#format.open(id, readFileSync(path));
    return content !== undefined && Buffer.compare(content, bytes) === 0;
  }

  /** The content and all that is needed to read it again, its length above all (fdatasync(2)): times may be lost. */
  async #write(path: string, parts: readonly Uint8Array[]): Promise<void> {
    const file = openSync(path, "wx", 0o600);
    try {
      await writeWhole(file, parts);
      await syncContent(file);
    } finally {
      closeSync(file);
    }
  }
}
