/**
 * An upload: the body as a stream, cut into chunks, hashed, made safe, and only then made visible by its register.
 * Memory per upload: the chunk being filled, `WINDOW` chunks on their way to the replicas, one index chunk.
 */
import {
  CHUNK_BYTES,
  type ChunkId,
  CHUNKS_PER_INDEX,
  DIGEST_BYTES,
  LISTED_CHUNKS_MAX,
  type Manifest,
  MANIFEST_FORMAT,
  manifestProblem,
} from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import { AtollError, assert } from "../errors.ts";
import type { DigestAlgorithm, Hashing, RunningDigest } from "../ports.ts";
import { SMALL_CHUNK_BYTES } from "./chunk-store.ts";
import type { ChunkWriter } from "./chunk-writer.ts";

/** Chunks of one upload that replicas are still busy with before the client is slowed. */
const WINDOW = 3;
const FREE_BUFFERS_MAX = 32;

export interface Upload {
  readonly name: Name;
  readonly body: AsyncIterable<Uint8Array>;
  /** Bytes the client announced, if it did. */
  readonly sizeBytes?: number | undefined;
  readonly maxBytes: number;
  /** What the client says the whole hashes to. */
  readonly digests: readonly { field: string; algorithm: DigestAlgorithm; hex: string }[];
  readonly headers: Readonly<Record<string, string>>;
  readonly expiresMs?: number | undefined;
  readonly trace?: string | undefined;
}

export interface Uploaded {
  readonly manifest: Manifest;
  /** Of a small object: its only chunk, which is not stored anywhere yet and travels with the register's promise. */
  readonly chunk?: { id: ChunkId; bytes: Uint8Array } | undefined;
}

export class Uploads {
  readonly #hashing: Hashing;
  readonly #writer: ChunkWriter;
  readonly #free: Uint8Array[] = [];

  constructor(deps: { hashing: Hashing; writer: ChunkWriter }) {
    this.#hashing = deps.hashing;
    this.#writer = deps.writer;
  }

  /**
   * Reads the body to its end. When it resolves, every chunk is safe (but a small one, see `Uploaded.chunk`), and nothing
   * is visible. Rejects with `too-large`, `digest-mismatch`, `incomplete-body`, `no-quorum`, `storage-full`.
   */
  async receive(upload: Upload): Promise<Uploaded> {
    const digests = new WantedDigests(this.#hashing, upload);
    const chunks = new ChunkPipeline(upload, this.#hashing, this.#writer, () => this.#buffer(), (b) => this.#release(b));
    let size = 0;
    let only: Uint8Array | undefined;
    try {
      for await (const part of upload.body) {
        if (part.length === 0) continue;
        size += part.length;
        if (size > upload.maxBytes) throw tooLarge(upload.maxBytes, `more than that`);
        digests.update(part);
        // The whole of a small body in one piece needs no copy.
        if (size === part.length && size === upload.sizeBytes && size <= SMALL_CHUNK_BYTES) only = part;
        else {
          assert(!only, "no bytes after the announced end");
          await chunks.add(part);
        }
      }
      if (upload.sizeBytes !== undefined && size !== upload.sizeBytes) {
        throw new AtollError("incomplete-body", `wanted ${upload.sizeBytes} bytes, got ${size}`);
      }
      const sha256 = digests.check();
      only ??= chunks.takeSmall();
      const listed = only ? { layout: "list" as const, chunks: [sha256] } : await chunks.finish(sha256);
      const manifest: Manifest = {
        format: MANIFEST_FORMAT,
        size,
        sha256,
        layout: listed.layout,
        chunks: listed.chunks,
        headers: upload.headers,
        ...(upload.expiresMs !== undefined && { expiresMs: upload.expiresMs }),
      };
      const problem = manifestProblem(manifest);
      assert(problem === undefined, `a manifest we made is sound: ${problem}`);
      return { manifest, ...(only && { chunk: { id: sha256, bytes: only } }) };
    } finally {
      chunks.abandon();
    }
  }

  #buffer(): Uint8Array {
    return this.#free.pop() ?? new Uint8Array(CHUNK_BYTES);
  }

  #release(buffer: Uint8Array): void {
    if (this.#free.length < FREE_BUFFERS_MAX) this.#free.push(buffer);
  }
}

export function tooLarge(maxBytes: number, got: string): AtollError {
  return new AtollError("too-large", `wanted at most ${maxBytes} bytes, got ${got}`);
}

/** The digest of the whole that names the object, and those the client wants compared. */
class WantedDigests {
  readonly #wanted: Upload["digests"];
  readonly #running = new Map<DigestAlgorithm, RunningDigest>();

  constructor(hashing: Hashing, upload: Upload) {
    this.#wanted = upload.digests;
    for (const algorithm of new Set(["sha256" as const, ...upload.digests.map((digest) => digest.algorithm)])) {
      this.#running.set(algorithm, hashing.running(algorithm));
    }
  }

  update(bytes: Uint8Array): void {
    for (const digest of this.#running.values()) digest.update(bytes);
  }

  /** The SHA-256 of all; rejects with `digest-mismatch`. */
  check(): string {
    const computed = new Map([...this.#running].map(([algorithm, digest]) => [algorithm, digest.digestHex()]));
    for (const { field, algorithm, hex } of this.#wanted) {
      if (computed.get(algorithm) !== hex) {
        throw new AtollError(
          "digest-mismatch",
          `wanted content with ${algorithm} ${hex} as ${field} says, got ${computed.get(algorithm)}`,
        );
      }
    }
    return computed.get("sha256")!;
  }
}

/** Fills chunks, hashes them beside the event loop, and keeps a window of them on their way. */
class ChunkPipeline {
  readonly #upload: Upload;
  readonly #hashing: Hashing;
  readonly #writer: ChunkWriter;
  readonly #take: () => Uint8Array;
  readonly #release: (buffer: Uint8Array) => void;
  #filling: Uint8Array | undefined;
  #filled = 0;
  /** In order of the object; each resolves with the chunk's id once it is safe. */
  readonly #safe: Promise<ChunkId>[] = [];
  #busy = 0;
  #wake: (() => void) | undefined;
  #failure: { error: unknown } | undefined;
  #ids: ChunkId[] = [];
  readonly #indexes: Promise<ChunkId>[] = [];

  constructor(
    upload: Upload,
    hashing: Hashing,
    writer: ChunkWriter,
    take: () => Uint8Array,
    release: (buffer: Uint8Array) => void,
  ) {
    this.#upload = upload;
    this.#hashing = hashing;
    this.#writer = writer;
    this.#take = take;
    this.#release = release;
  }

  async add(part: Uint8Array): Promise<void> {
    for (let at = 0; at < part.length;) {
      if (this.#filled === CHUNK_BYTES) await this.#send();
      this.#filling ??= this.#take();
      const taken = Math.min(part.length - at, CHUNK_BYTES - this.#filled);
      this.#filling.set(taken === part.length ? part : part.subarray(at, at + taken), this.#filled);
      this.#filled += taken;
      at += taken;
    }
  }

  /** The whole content, if it is small enough to travel with the promise. */
  takeSmall(): Uint8Array | undefined {
    if (this.#safe.length > 0 || this.#filled === 0 || this.#filled > SMALL_CHUNK_BYTES) return undefined;
    return this.#filling!.slice(0, this.#filled);
  }

  /** `sha256`: of the whole, which is also the name of an only chunk. */
  async finish(sha256: string): Promise<{ layout: "list" | "index"; chunks: ChunkId[] }> {
    if (this.#filled > 0) await this.#send(this.#safe.length === 0 && this.#ids.length === 0 ? sha256 : undefined);
    while (this.#safe.length > 0) await this.#settleOldest();
    if (this.#indexes.length === 0 && this.#ids.length <= LISTED_CHUNKS_MAX) return { layout: "list", chunks: this.#ids };
    if (this.#ids.length > 0) this.#sendIndex();
    return { layout: "index", chunks: await Promise.all(this.#indexes) };
  }

  /** The upload ended, well or not: what is not on its way is given back. */
  abandon(): void {
    if (this.#filling) this.#release(this.#filling);
    this.#filling = undefined;
    this.#filled = 0;
  }

  async #send(knownId?: ChunkId): Promise<void> {
    while (this.#busy >= WINDOW) await new Promise<void>((resolve) => (this.#wake = resolve));
    if (this.#failure) throw this.#failure.error;
    const buffer = this.#filling!;
    const bytes = this.#filled === CHUNK_BYTES ? buffer : buffer.subarray(0, this.#filled);
    this.#filling = undefined;
    this.#filled = 0;
    this.#push(this.#safe, bytes, knownId, () => this.#release(buffer));
    // Ids leave the queue in order; those beyond the window are long known.
    while (this.#safe.length > 2 * WINDOW) await this.#settleOldest();
  }

  #push(queue: Promise<ChunkId>[], bytes: Uint8Array, knownId: ChunkId | undefined, done: () => void): void {
    this.#busy++;
    const idle = (): void => {
      this.#busy--;
      done();
      this.#wake?.();
      this.#wake = undefined;
    };
    const safe = (async () => {
      let settled: Promise<void> | undefined;
      try {
        const id = knownId ?? await this.#hashing.sha256Aside(bytes);
        const write = this.#writer.write(this.#upload.name, id, bytes, this.#upload.trace);
        settled = write.settled;
        await write.safe;
        return id;
      } catch (error) {
        this.#failure ??= { error };
        throw error;
      } finally {
        if (settled) void settled.then(idle);
        else idle();
      }
    })();
    safe.catch(() => {}); // met by #settleOldest, unless the upload failed before
    queue.push(safe);
  }

  async #settleOldest(): Promise<void> {
    this.#ids.push(await this.#safe.shift()!);
    if (this.#ids.length === CHUNKS_PER_INDEX) this.#sendIndex();
  }

  #sendIndex(): void {
    const bytes = new Uint8Array(this.#ids.length * DIGEST_BYTES);
    for (const [i, id] of this.#ids.entries()) {
      for (let b = 0; b < DIGEST_BYTES; b++) {
        bytes[i * DIGEST_BYTES + b] = Number.parseInt(id.slice(2 * b, 2 * b + 2), 16);
      }
    }
    this.#ids = [];
    this.#push(this.#indexes, bytes, undefined, () => {});
  }
}
