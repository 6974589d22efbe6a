/** The chunk stores' twins in memory. */
import type { ChunkId } from "../../src/core/manifest.ts";
import type { ChunkCache, ChunkFiles } from "../../src/ports.ts";

/** What a copy of so many bytes takes of a cache's bound: whole blocks of 4 KiB, as files with their trailer do. */
const BLOCK_BYTES = 4096;
const TRAILER_BYTES = 24;

/** What a test may do to the files behind everybody's back. */
export interface Damage {
  /** A bit of it. */
  flip(id: ChunkId): void;
  /** It was never there, whatever `put` said. */
  lose(id: ChunkId): void;
  /** Its bytes lie where another one's were, which are gone. The name is part of the checksum. */
  misdirect(id: ChunkId, to: ChunkId): void;
}

export function createMemoryChunkFiles(): ChunkFiles & Damage {
  const files = new Map<ChunkId, { bytes: Uint8Array; good: boolean }>();
  return {
    async put(id, bytes) {
      if (!files.get(id)?.good) files.set(id, { bytes: new Uint8Array(bytes), good: true });
    },
    async get(id) {
      const file = files.get(id);
      if (!file) return { kind: "missing" };
      return file.good ? { kind: "found", bytes: new Uint8Array(file.bytes) } : { kind: "corrupt" };
    },
    async has(id) {
      return files.has(id);
    },
    async setAside(id) {
      if (files.get(id)?.good === false) files.delete(id);
    },
    async delete(id) {
      files.delete(id);
    },
    async list(after, limit) {
      const ids = [...files.keys()].filter((id) => id > after).sort().slice(0, limit);
      return ids.map((id) => ({ id, sizeBytes: files.get(id)!.bytes.length }));
    },
    flip(id) {
      const file = files.get(id);
      if (!file) throw new Error(`wanted a chunk to damage, ${id} is not there`);
      file.good = false;
    },
    lose(id) {
      files.delete(id);
    },
    misdirect(id, to) {
      const file = files.get(id);
      if (!file || id === to) return;
      files.set(to, { bytes: file.bytes, good: false });
      files.delete(id);
    },
  };
}

export function createMemoryChunkCache(maxBytes: number): ChunkCache & { flip(id: ChunkId): void } {
  /** In order of use. */
  const copies = new Map<ChunkId, { bytes: Uint8Array; good: boolean }>();
  let usedBytes = 0;
  const drop = (id: ChunkId, sizeBytes: number) => {
    if (copies.delete(id)) usedBytes -= charge(sizeBytes);
  };
  return {
    get usedBytes() {
      return usedBytes;
    },
    has: (id) => copies.has(id),
    hasRoomFor: (sizeBytes) => usedBytes + charge(sizeBytes) <= maxBytes,
    async put(id, bytes) {
      const known = copies.get(id);
      if (known) {
        copies.delete(id);
        copies.set(id, known);
        return;
      }
      if (charge(bytes.length) > maxBytes) return;
      usedBytes += charge(bytes.length);
      for (const [oldest, copy] of copies) {
        if (usedBytes <= maxBytes) break;
        drop(oldest, copy.bytes.length);
      }
      copies.set(id, { bytes: new Uint8Array(bytes), good: true });
    },
    async get(id) {
      const copy = copies.get(id);
      if (!copy) return undefined;
      if (!copy.good) {
        drop(id, copy.bytes.length);
        return undefined;
      }
      copies.delete(id);
      copies.set(id, copy);
      return new Uint8Array(copy.bytes);
    },
    flip(id) {
      const copy = copies.get(id);
      if (!copy) throw new Error(`wanted a copy to damage, ${id} is not there`);
      copy.good = false;
    },
  };
}

function charge(sizeBytes: number): number {
  return Math.ceil((sizeBytes + TRAILER_BYTES) / BLOCK_BYTES) * BLOCK_BYTES;
}
