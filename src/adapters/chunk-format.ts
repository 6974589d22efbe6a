/**
 * A chunk in a file: its bytes, then a trailer of 24 bytes: "atl2", their length (32 bits, little-endian), the xxHash128
 * of them and of the file's name: a disk that put a good file's content under another name is found out.
 *
 * The file's name is the SHA-256, but to compute that on every read would cost three times as much as xxHash128, which
 * finds what disks do to bytes as surely. The trailer stands last so that the bytes can be handed on without a copy.
 */
import { Buffer } from "node:buffer";
import { createXXHash128, type IHasher } from "hash-wasm";
import type { ChunkId } from "../core/manifest.ts";

export const TRAILER_BYTES = 24;
const MAGIC = Buffer.from("atl2");

export class ChunkFormat {
  readonly #hasher: IHasher;

  constructor(hasher: IHasher) {
    this.#hasher = hasher;
  }

  trailer(id: ChunkId, bytes: Uint8Array): Uint8Array {
    const trailer = Buffer.alloc(TRAILER_BYTES);
    trailer.set(MAGIC);
    trailer.writeUInt32LE(bytes.length, MAGIC.length);
    trailer.set(this.#checksum(id, bytes), MAGIC.length + 4);
    return trailer;
  }

  /** The bytes within the content of a chunk's file, not copied; undefined when they are not what was written there. */
  open(id: ChunkId, content: Uint8Array): Uint8Array | undefined {
    const sizeBytes = content.length - TRAILER_BYTES;
    if (sizeBytes < 0) return undefined;
    const bytes = content.subarray(0, sizeBytes);
    return Buffer.compare(content.subarray(sizeBytes), this.trailer(id, bytes)) === 0 ? bytes : undefined;
  }

  #checksum(id: ChunkId, bytes: Uint8Array): Uint8Array {
    return this.#hasher.init().update(bytes).update(id).digest("binary");
  }
}

export async function createChunkFormat(): Promise<ChunkFormat> {
  return new ChunkFormat(await createXXHash128());
}
