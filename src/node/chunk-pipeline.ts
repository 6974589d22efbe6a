/**
 * From parts of any size to safe chunks: fills chunks, hashes them beside the event loop, and keeps a window of them on
 * their way. In memory are the chunk being filled, at most `WINDOW` on their way, and the digests of one index chunk.
 */
import {
  CHUNK_SIZES,
  type ChunkId,
  type ChunkSizes,
  chunksPerIndex,
  DIGEST_BYTES,
} from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import type { DigestAlgorithm, Hashing, PieceDigests } from "../ports.ts";
import type { ChunkWrite, ChunkWriter } from "./chunk-writer.ts";
import { defer, type Permits } from "./waiting.ts";

/** Chunks of one upload that replicas are still busy with before the client is slowed: enough to keep a disk syncing. */
const WINDOW = 10;

export interface ChunkPipelineDeps {
  /** Of this upload. */
  digests: PieceDigests;
  hashing: Hashing;
  writer: ChunkWriter;
  /** For chunks on their way, shared by all uploads. */
  permits: Permits;
  take: () => Uint8Array | Promise<Uint8Array>;
  release: (buffer: Uint8Array) => void;
  chunkSizes?: ChunkSizes | undefined;
}

export class ChunkPipeline {
  readonly #name: Name;
  readonly #trace: string | undefined;
  readonly #deps: ChunkPipelineDeps;
  readonly #sizes: ChunkSizes;
  #filling: Uint8Array | undefined;
  #filled = 0;
  /** In order of the object; each resolves with the chunk's id once it is safe. */
  readonly #safe: Promise<ChunkId>[] = [];
  #busy = 0;
  #wake: (() => void) | undefined;
  /** Rejected by the first chunk that cannot be made safe: then the others need not be waited for. */
  readonly #failed = defer<never>();
  #ids: ChunkId[] = [];
  readonly #indexes: Promise<ChunkId>[] = [];

  constructor(name: Name, trace: string | undefined, deps: ChunkPipelineDeps) {
    this.#name = name;
    this.#trace = trace;
    this.#deps = deps;
    this.#sizes = deps.chunkSizes ?? CHUNK_SIZES;
  }

  async add(part: Uint8Array): Promise<void> {
    const { chunkBytes } = this.#sizes;
    for (let at = 0; at < part.length;) {
      if (this.#filled === chunkBytes) await this.#send();
      if (!this.#filling) {
        const taken = this.#deps.take();
        this.#filling = taken instanceof Promise ? await taken : taken;
      }
      const taken = Math.min(part.length - at, chunkBytes - this.#filled);
      this.#filling.set(taken === part.length ? part : part.subarray(at, at + taken), this.#filled);
      this.#filled += taken;
      at += taken;
    }
  }

  /** The whole content, if it is small enough to travel with the promise. */
  takeSmall(): Uint8Array | undefined {
    if (this.#safe.length > 0 || this.#filled === 0 || this.#filled > this.#sizes.smallBytes) {
      return undefined;
    }
    return this.#filling!.slice(0, this.#filled);
  }

  /** `check` is shown the digests of the whole, and may throw, before the last chunk is sent. */
  async finish(
    check: (whole: ReadonlyMap<DigestAlgorithm, string>) => void,
  ): Promise<{ layout: "list" | "index"; chunks: ChunkId[] }> {
    const { digests } = this.#deps;
    const last = this.#filling?.subarray(0, this.#filled);
    const lastId = last && await this.#unlessFailed(digests.add(last));
    check(await this.#unlessFailed(digests.whole()));
    if (lastId !== undefined) await this.#send(lastId);
    while (this.#safe.length > 0) await this.#settleOldest();
    if (this.#indexes.length === 0 && this.#ids.length <= this.#sizes.listedMax) {
      return { layout: "list", chunks: this.#ids };
    }
    if (this.#ids.length > 0) this.#sendIndex();
    return { layout: "index", chunks: await this.#unlessFailed(Promise.all(this.#indexes)) };
  }

  /** The upload ended, well or not: what is not on its way is given back. */
  abandon(): void {
    if (this.#filling) this.#deps.release(this.#filling);
    this.#filling = undefined;
    this.#filled = 0;
  }

  async #send(knownId?: ChunkId): Promise<void> {
    while (this.#busy >= WINDOW) {
      await this.#unlessFailed(new Promise<void>((resolve) => (this.#wake = resolve)));
    }
    await this.#permit();
    const buffer = this.#filling!;
    const bytes = this.#filled === buffer.length ? buffer : buffer.subarray(0, this.#filled);
    this.#filling = undefined;
    this.#filled = 0;
    const id = knownId ?? this.#deps.digests.add(bytes);
    this.#push(this.#safe, bytes, id, () => this.#deps.permits.give(), () => this.#deps.release(buffer));
    // Ids leave the queue in order; those beyond the window are long known.
    while (this.#safe.length > 2 * WINDOW) await this.#settleOldest();
  }

  #unlessFailed<T>(promise: Promise<T>): Promise<T> {
    return Promise.race([this.#failed.promise, promise]);
  }

  /** One of all uploads' permits; given back if it comes after this upload has failed. */
  async #permit(): Promise<void> {
    const permit = this.#deps.permits.take();
    try {
      await this.#unlessFailed(permit);
    } catch (error) {
      void permit.then(() => this.#deps.permits.give());
      throw error;
    }
  }

  /** `onward`: the upload need not wait for it any more. `unused`: nobody reads the bytes any more. */
  #push(
    queue: Promise<ChunkId>[],
    bytes: Uint8Array,
    identified: ChunkId | Promise<ChunkId>,
    onward: () => void,
    unused: () => void,
  ): void {
    this.#busy++;
    const idle = (): void => {
      this.#busy--;
      onward();
      this.#wake?.();
      this.#wake = undefined;
    };
    const safe = (async () => {
      let write: ChunkWrite | undefined;
      try {
        const id = await identified;
        write = this.#deps.writer.write(this.#name, id, bytes, this.#trace);
        await write.safe;
        return id;
      } catch (error) {
        this.#failed.reject(error);
        throw error;
      } finally {
        void (write?.enough ?? Promise.resolve()).then(idle);
        void (write?.settled ?? Promise.resolve()).then(unused);
      }
    })();
    safe.catch(() => {}); // met by #settleOldest, unless the upload failed before
    queue.push(safe);
  }

  async #settleOldest(): Promise<void> {
    this.#ids.push(await this.#unlessFailed(this.#safe.shift()!));
    if (this.#ids.length === chunksPerIndex(this.#sizes)) this.#sendIndex();
  }

  #sendIndex(): void {
    const bytes = new Uint8Array(this.#ids.length * DIGEST_BYTES);
    for (const [i, id] of this.#ids.entries()) {
      for (let b = 0; b < DIGEST_BYTES; b++) {
        bytes[i * DIGEST_BYTES + b] = Number.parseInt(id.slice(2 * b, 2 * b + 2), 16);
      }
    }
    this.#ids = [];
    this.#push(this.#indexes, bytes, this.#deps.hashing.sha256(bytes), () => {}, () => {});
  }
}
