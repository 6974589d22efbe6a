/**
 * A chunk in a file: its bytes, then a trailer of 24 bytes: "atl1", their length (32 bits, little-endian), their xxHash128.
 *
 * The file's name is the SHA-256, but to compute that on every read would cost three times as much as xxHash128, which
 * finds what disks do to bytes as surely. The trailer stands last so that the bytes can be handed on without a copy.
 */
import { Buffer } from "node:buffer";
import { createXXHash128, type IHasher } from "hash-wasm";

export const TRAILER_BYTES = 24;
const MAGIC = Buffer.from("atl1");

export class ChunkFormat {
  readonly #hasher: IHasher;

  constructor(hasher: IHasher) {
    this.#hasher = hasher;
  }

  trailer(bytes: Uint8Array): Uint8Array {
    const trailer = Buffer.alloc(TRAILER_BYTES);
    trailer.set(MAGIC);
    trailer.writeUInt32LE(bytes.length, MAGIC.length);
    trailer.set(this.#checksum(bytes), MAGIC.length + 4);
    return trailer;
  }

  /** The bytes within a file's content, not copied; undefined when they are not what was written. */
  open(content: Uint8Array): Uint8Array | undefined {
    const sizeBytes = content.length - TRAILER_BYTES;
    if (sizeBytes < 0) return undefined;
    const bytes = content.subarray(0, sizeBytes);
    return Buffer.compare(content.subarray(sizeBytes), this.trailer(bytes)) === 0 ? bytes : undefined;
  }

  #checksum(bytes: Uint8Array): Uint8Array {
    return this.#hasher.init().update(bytes).digest("binary");
  }
}

export async function createChunkFormat(): Promise<ChunkFormat> {
  return new ChunkFormat(await createXXHash128());
}
