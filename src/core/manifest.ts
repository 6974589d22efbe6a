/**
 * What an object is: its size, digest, chunks and headers.
 *
 * Chunks are listed in the manifest up to `LISTED_CHUNKS_MAX`; beyond, their digests fill index chunks (32 bytes each,
 * end to end), which are stored like any other chunk, and the manifest lists those. A register so stays a few KiB
 * whatever the object's size, and an upload of any length holds at most one index chunk in memory.
 */

/** Bytes of every chunk of an object but its last. */
export const CHUNK_BYTES = 1 << 20;
/** Up to here a row of the catalog costs less than a file of its own with its three syncs. */
export const SMALL_CHUNK_BYTES = 64 * 1024;
export const DIGEST_BYTES = 32;
export const LISTED_CHUNKS_MAX = 64;
export const CHUNKS_PER_INDEX = CHUNK_BYTES / DIGEST_BYTES;
export const MANIFEST_FORMAT = 1;

/** How content is cut: the same at all nodes of a ring, for ever. Only simulations have other sizes than `CHUNK_SIZES`. */
export interface ChunkSizes {
  /** Bytes of every chunk of an object but its last; a multiple of `DIGEST_BYTES`. */
  readonly chunkBytes: number;
  /** Chunks up to here are rows of the catalog, larger ones files. */
  readonly smallBytes: number;
  /** Chunks that a manifest lists itself. */
  readonly listedMax: number;
}

export const CHUNK_SIZES: ChunkSizes = {
  chunkBytes: CHUNK_BYTES,
  smallBytes: SMALL_CHUNK_BYTES,
  listedMax: LISTED_CHUNKS_MAX,
};

/** SHA-256 in lower-case hex. */
export type ChunkId = string;

export interface Manifest {
  readonly format: typeof MANIFEST_FORMAT;
  /** Bytes. */
  readonly size: number;
  /** SHA-256 of the whole content, lower-case hex: the ETag. */
  readonly sha256: string;
  /** `list`: the chunks themselves. `index`: chunks that hold the chunks' digests. */
  readonly layout: "list" | "index";
  readonly chunks: readonly ChunkId[];
  /** What the client gave to keep, names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Ms since the epoch after which the object is absent. */
  readonly expiresMs?: number;
}

const CHUNK_ID = /^[0-9a-f]{64}$/;

export function isChunkId(text: string): boolean {
  return CHUNK_ID.test(text);
}

export function chunkCount(size: number, { chunkBytes } = CHUNK_SIZES): number {
  return Math.ceil(size / chunkBytes);
}

/** Bytes of chunk `index` of an object of `size` bytes. */
export function chunkLength(size: number, index: number, { chunkBytes } = CHUNK_SIZES): number {
  return Math.min(chunkBytes, size - index * chunkBytes);
}

/** Digests that fill an index chunk. */
export function chunksPerIndex({ chunkBytes }: ChunkSizes): number {
  return chunkBytes / DIGEST_BYTES;
}

/** Why a manifest contradicts itself, or undefined. Checked before it is written and after it was read. */
export function manifestProblem(manifest: Manifest, sizes = CHUNK_SIZES): string | undefined {
  if (manifest.format !== MANIFEST_FORMAT) return `wanted format ${MANIFEST_FORMAT}, got ${manifest.format}`;
  if (!Number.isSafeInteger(manifest.size) || manifest.size < 0) return `size ${manifest.size}`;
  if (!isChunkId(manifest.sha256)) return `sha256 ${manifest.sha256}`;
  const count = chunkCount(manifest.size, sizes);
  const wanted = manifest.layout === "list" ? count : Math.ceil(count / chunksPerIndex(sizes));
  if (manifest.layout === "list" && count > sizes.listedMax) return `${count} chunks in one list`;
  if (manifest.chunks.length !== wanted) return `wanted ${wanted} chunks, got ${manifest.chunks.length}`;
  const bad = manifest.chunks.find((id) => !isChunkId(id));
  return bad === undefined ? undefined : `chunk id ${bad}`;
}

/** Whether the object has passed its time to live. */
export function isExpired(manifest: Manifest, nowMs: number): boolean {
  return manifest.expiresMs !== undefined && manifest.expiresMs <= nowMs;
}
