/**
 * Chunks that readers are being sent, or are about to be: they are in memory in any case, so whoever else wants one has the
 * same bytes. However many readers are at a chunk, and however slow they are, it is in memory once.
 */
import type { ChunkId } from "../core/manifest.ts";

interface InUse {
  readonly bytes: Uint8Array;
  users: number;
}

export class ChunksInUse {
  readonly #chunks = new Map<ChunkId, InUse>();
  #bytes = 0;

  /** Of all together; each counts once. */
  get bytes(): number {
    return this.#bytes;
  }

  get(id: ChunkId): Uint8Array | undefined {
    return this.#chunks.get(id)?.bytes;
  }

  begin(id: ChunkId, bytes: Uint8Array): void {
    const chunk = this.#chunks.get(id);
    if (chunk) chunk.users++;
    else {
      this.#chunks.set(id, { bytes, users: 1 });
      this.#bytes += bytes.length;
    }
  }

  /** Once for each `begin`. */
  end(id: ChunkId): void {
    const chunk = this.#chunks.get(id)!;
    if (--chunk.users > 0) return;
    this.#chunks.delete(id);
    this.#bytes -= chunk.bytes.length;
  }
}
