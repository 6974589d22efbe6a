/**
 * Chunks as they arrive from peers: into buffers that are used again, and hashed on the way, piece by piece while the
 * bytes are still in the processor's cache. A fresh mebibyte per chunk, and a pass over it afterwards, cost a busy
 * replica a third of its time.
 */
import { createHash } from "node:crypto";
import { CHUNK_BYTES, type ChunkId } from "../core/manifest.ts";
import { AtollError } from "../errors.ts";
import { eachPart, type PeerEnv } from "./peer-connection.ts";

/** Buffers kept for the next chunks; more may be in use. */
const FREE_MAX = 16;

export interface IncomingChunk {
  readonly bytes: Uint8Array;
  /** SHA-256 of what came, lower-case hex. */
  readonly computed: ChunkId;
  /** To be called once nobody uses the bytes any more. */
  readonly release: () => void;
}

export class IncomingChunks {
  readonly #max: number;
  readonly #onFull: () => void;
  readonly #free: Uint8Array[] = [];
  #used = 0;

  /** `maxBytes`: of all chunks on their way, from the first byte until nobody uses them any more. */
  constructor(maxBytes: number, onFull: () => void) {
    this.#max = Math.max(1, Math.floor(maxBytes / CHUNK_BYTES));
    this.#onFull = onFull;
  }

  /**
   * Throws `overloaded` when there is no memory for it, `too-large` as soon as that is known, `incomplete-body` when the
   * sender went away before the end.
   */
  async read(request: Request, env: PeerEnv): Promise<IncomingChunk> {
    if (this.#used >= this.#max) {
      this.#onFull();
      throw new AtollError(
        "overloaded",
        `wanted at most ${this.#max} chunks of other nodes at a time, got one more`,
      );
    }
    this.#used++;
    // Shared with the thread that writes it to disk, which would be sent a copy otherwise.
    const buffer = this.#free.pop() ?? new Uint8Array(new SharedArrayBuffer(CHUNK_BYTES));
    const hash = createHash("sha256");
    let size = 0;
    const release = (): void => {
      this.#used--;
      if (this.#free.length < FREE_MAX) this.#free.push(buffer);
    };
    try {
      await eachPart(request, env, CHUNK_BYTES, (part) => {
        if (size + part.length > CHUNK_BYTES) {
          throw new AtollError("too-large", `wanted at most ${CHUNK_BYTES} bytes, got ${size + part.length}`);
        }
        buffer.set(part, size);
        hash.update(part);
        size += part.length;
      });
    } catch (error) {
      release();
      throw error;
    }
    return { bytes: buffer.subarray(0, size), computed: hash.digest("hex"), release };
  }
}
