/**
 * An upload: the body as a stream, cut into chunks, hashed, made safe, and only then made visible by its register.
 * What is in memory of one: see chunk-pipeline.ts.
 */
import {
  CHUNK_SIZES,
  type ChunkId,
  type ChunkSizes,
  type Manifest,
  MANIFEST_FORMAT,
  manifestProblem,
} from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import { assert, AtollError } from "../errors.ts";
import type { Clock, DigestAlgorithm, Hashing, RunningDigest } from "../ports.ts";
import { type Buffers, type Lease, UNBOUNDED } from "./buffer-budget.ts";
import { ChunkPipeline } from "./chunk-pipeline.ts";
import type { ChunkWriter } from "./chunk-writer.ts";
import { Permits } from "./waiting.ts";

/** Chunks of all uploads together on their way; with those that are being filled they are what `buffers` bounds. */
const WINDOW_OF_ALL = 16;

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

export interface UploadsDeps {
  hashing: Hashing;
  writer: ChunkWriter;
  clock: Clock;
  buffers?: Buffers | undefined;
  /** Ms from the first byte to the last: after longer, the first chunks may have been collected as nobody's. */
  uploadMaxMs: number;
  chunkSizes?: ChunkSizes | undefined;
}

export class Uploads {
  readonly #hashing: Hashing;
  readonly #writer: ChunkWriter;
  readonly #buffers: Buffers;
  readonly #free: Uint8Array[] = [];
  readonly #leases = new Map<Uint8Array, Lease>();
  readonly #permits = new Permits(WINDOW_OF_ALL);
  readonly #clock: Clock;
  readonly #uploadMaxMs: number;
  readonly #sizes: ChunkSizes;

  constructor(deps: UploadsDeps) {
    this.#hashing = deps.hashing;
    this.#writer = deps.writer;
    this.#clock = deps.clock;
    this.#buffers = deps.buffers ?? UNBOUNDED;
    this.#uploadMaxMs = deps.uploadMaxMs;
    this.#sizes = deps.chunkSizes ?? CHUNK_SIZES;
  }

  /**
   * Reads the body to its end. When it resolves, every chunk is safe (but a small one, see `Uploaded.chunk`), and nothing
   * is visible. Rejects with `too-large`, `digest-mismatch`, `incomplete-body`, `no-quorum`, `storage-full`.
   */
  async receive(upload: Upload): Promise<Uploaded> {
    const digests = new WantedDigests(this.#hashing, upload);
    const chunks = new ChunkPipeline(upload.name, upload.trace, {
      hashing: this.#hashing,
      writer: this.#writer,
      permits: this.#permits,
      take: () => this.#take(),
      release: (buffer) => this.#release(buffer),
      chunkSizes: this.#sizes,
    });
    const begunMs = this.#clock.monotonicMs();
    let size = 0;
    let only: Uint8Array | undefined;
    try {
      for await (const part of upload.body) {
        if (part.length === 0) continue;
        size += part.length;
        if (size > upload.maxBytes) throw tooLarge(upload.maxBytes, `more than that`);
        digests.update(part);
        // The whole of a small body in one piece needs no copy.
        if (size === part.length && size === upload.sizeBytes && size <= this.#sizes.smallBytes) only = part;
        else {
          assert(!only, "no bytes after the announced end");
          await chunks.add(part);
        }
      }
      if (upload.sizeBytes !== undefined && size !== upload.sizeBytes) {
        throw new AtollError("incomplete-body", `wanted ${upload.sizeBytes} bytes, got ${size}`);
      }
      const tookMs = this.#clock.monotonicMs() - begunMs;
      if (tookMs > this.#uploadMaxMs) {
        throw new AtollError(
          "incomplete-body",
          `wanted an upload to end within ${Math.round(this.#uploadMaxMs / 1_000)} s, it took ${
            Math.round(tookMs / 1_000)
          } s`,
        );
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
      const problem = manifestProblem(manifest, this.#sizes);
      assert(problem === undefined, `a manifest we made is sound: ${problem}`);
      return { manifest, ...(only && { chunk: { id: sha256, bytes: only } }) };
    } finally {
      chunks.abandon();
    }
  }

  #take(): Uint8Array | Promise<Uint8Array> {
    const lease = this.#buffers.takeSoon(this.#sizes.chunkBytes);
    return lease instanceof Promise ? lease.then((late) => this.#leased(late)) : this.#leased(lease);
  }

  #leased(lease: Lease): Uint8Array {
    const buffer = this.#free.pop() ?? new Uint8Array(this.#sizes.chunkBytes);
    this.#leases.set(buffer, lease);
    return buffer;
  }

  #release(buffer: Uint8Array): void {
    this.#leases.get(buffer)?.release();
    this.#leases.delete(buffer);
    if (this.#free.length < WINDOW_OF_ALL) this.#free.push(buffer);
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
    for (
      const algorithm of new Set([
        "sha256" as const,
        ...upload.digests.map((digest) => digest.algorithm),
      ])
    ) {
      this.#running.set(algorithm, hashing.running(algorithm));
    }
  }

  update(bytes: Uint8Array): void {
    for (const digest of this.#running.values()) digest.update(bytes);
  }

  /** The SHA-256 of all; rejects with `digest-mismatch`. */
  check(): string {
    const computed = new Map(
      [...this.#running].map(([algorithm, digest]) => [algorithm, digest.digestHex()]),
    );
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
