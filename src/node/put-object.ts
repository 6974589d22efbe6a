/**
 * An upload: the body as a stream, cut into chunks, hashed, made safe, and only then made visible by its register.
 * What is in memory of one: see chunk-pipeline.ts.
 */
import { base64Of } from "../core/base64.ts";
import {
  CHUNK_SIZES,
  type ChunkId,
  type ChunkSizes,
  type Manifest,
  MANIFEST_FORMAT,
  MANIFEST_FORMAT_INLINE,
  manifestProblem,
} from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import { assert, AtollError } from "../errors.ts";
import type { Clock, DigestAlgorithm, Hashing } from "../ports.ts";
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
  /**
   * Of a small object that is not within its manifest: its only chunk, which is not stored anywhere yet and travels with
   * the register's promise.
   */
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
    const wanted = new WantedDigests(this.#hashing, upload);
    const digests = this.#hashing.pieces(wanted.algorithms);
    const chunks = new ChunkPipeline(upload.name, upload.trace, {
      digests,
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
      only ??= chunks.takeSmall();
      const isInline = only !== undefined && size <= this.#sizes.inlineBytes;
      let sha256 = only ? wanted.check(wanted.digestsOf(only)) : "";
      const parts: Parts = only && isInline
        ? { format: MANIFEST_FORMAT_INLINE, layout: "inline", chunks: [], content: base64Of(only) }
        : only
        ? { format: MANIFEST_FORMAT, layout: "list", chunks: [sha256] }
        : { format: MANIFEST_FORMAT, ...await chunks.finish((whole) => sha256 = wanted.check(whole)) };
      const manifest: Manifest = {
        size,
        sha256,
        ...parts,
        headers: upload.headers,
        ...(upload.expiresMs !== undefined && { expiresMs: upload.expiresMs }),
      };
      const problem = manifestProblem(manifest, this.#sizes);
      assert(problem === undefined, `a manifest we made is sound: ${problem}`);
      return { manifest, ...(only && !isInline && { chunk: { id: sha256, bytes: only } }) };
    } finally {
      chunks.abandon();
      digests.close();
    }
  }

  #take(): Uint8Array | Promise<Uint8Array> {
    const lease = this.#buffers.takeSoon(this.#sizes.chunkBytes);
    return lease instanceof Promise ? lease.then((late) => this.#leased(late)) : this.#leased(lease);
  }

  #leased(lease: Lease): Uint8Array {
    // Shared with the threads that hash and write what is in it.
    const buffer = this.#free.pop() ?? new Uint8Array(new SharedArrayBuffer(this.#sizes.chunkBytes));
    this.#leases.set(buffer, lease);
    return buffer;
  }

  #release(buffer: Uint8Array): void {
    this.#leases.get(buffer)?.release();
    this.#leases.delete(buffer);
    if (this.#free.length < WINDOW_OF_ALL) this.#free.push(buffer);
  }
}

/** What a manifest says of where the content is. */
type Parts = Pick<Manifest, "format" | "layout" | "chunks" | "content">;

export function tooLarge(maxBytes: number, got: string): AtollError {
  return new AtollError("too-large", `wanted at most ${maxBytes} bytes, got ${got}`);
}

/** The digest of the whole that names the object, and those the client wants compared. */
class WantedDigests {
  readonly algorithms: readonly DigestAlgorithm[];
  readonly #hashing: Hashing;
  readonly #wanted: Upload["digests"];

  constructor(hashing: Hashing, { digests }: Upload) {
    this.#hashing = hashing;
    this.#wanted = digests;
    this.algorithms = [...new Set(["sha256" as const, ...digests.map(({ algorithm }) => algorithm)])];
  }

  /** At once; for what is small. */
  digestsOf(bytes: Uint8Array): Map<DigestAlgorithm, string> {
    return new Map(this.algorithms.map((algorithm) => {
      const digest = this.#hashing.running(algorithm);
      digest.update(bytes);
      return [algorithm, digest.digestHex()] as const;
    }));
  }

  /** The SHA-256 of all; throws `digest-mismatch`. */
  check(computed: ReadonlyMap<DigestAlgorithm, string>): string {
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
