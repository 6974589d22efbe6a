/**
 * What an object is: its size, digest, chunks and headers.
 *
 * The smallest objects have no chunks: their content is part of the manifest, and so of the register's value. Whoever
 * holds the value holds the bytes, whichever way it came, so nothing needs to be stored before the value is accepted.
 *
 * Chunks are listed in the manifest up to `LISTED_CHUNKS_MAX`; beyond, their digests fill index chunks (32 bytes each,
 * end to end), which are stored like any other chunk, and the manifest lists those. A register so stays a few KiB
 * whatever the object's size, and an upload of any length holds at most one index chunk in memory.
 */
import { bytesOfBase64 } from "./base64.ts";
import { headersProblem } from "./stored-headers.ts";

/** Bytes of every chunk of an object but its last. */
export const CHUNK_BYTES = 1 << 20;
/** Up to here a row of the catalog costs less than a file of its own with its three syncs. */
export const SMALL_CHUNK_BYTES = 64 * 1024;
/** Up to here content is part of the manifest. It then travels with every vote, also to where it is known already. */
export const INLINE_BYTES = 4 * 1024;
export const DIGEST_BYTES = 32;
export const LISTED_CHUNKS_MAX = 64;
export const CHUNKS_PER_INDEX = CHUNK_BYTES / DIGEST_BYTES;
/** Without content in manifests. */
export const MANIFEST_FORMAT = 1;
/** With it. Every build there ever was reads both. */
export const MANIFEST_FORMAT_INLINE = 2;

/** How content is cut: the same at all nodes of a ring, for ever. Only simulations have other sizes than `CHUNK_SIZES`. */
export interface ChunkSizes {
  /** Bytes of every chunk of an object but its last; a multiple of `DIGEST_BYTES`. */
  readonly chunkBytes: number;
  /** Chunks up to here are rows of the catalog, larger ones files. */
  readonly smallBytes: number;
  /** Objects up to here need no chunk; not above `smallBytes`. */
  readonly inlineBytes: number;
  /** Chunks that a manifest lists itself. */
  readonly listedMax: number;
}

export const CHUNK_SIZES: ChunkSizes = {
  chunkBytes: CHUNK_BYTES,
  smallBytes: SMALL_CHUNK_BYTES,
  inlineBytes: INLINE_BYTES,
  listedMax: LISTED_CHUNKS_MAX,
};

/** SHA-256 in lower-case hex. */
export type ChunkId = string;

export interface Manifest {
  readonly format: typeof MANIFEST_FORMAT | typeof MANIFEST_FORMAT_INLINE;
  /** Bytes. */
  readonly size: number;
  /** SHA-256 of the whole content, lower-case hex: the ETag. */
  readonly sha256: string;
  /** `list`: the chunks themselves. `index`: chunks that hold the chunks' digests. `inline`: there are none. */
  readonly layout: "list" | "index" | "inline";
  readonly chunks: readonly ChunkId[];
  /** The whole content in base64 (RFC 4648 section 4), where the layout is `inline`. */
  readonly content?: string;
  /** What the client gave to keep, names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Ms since the epoch after which the object is absent. */
  readonly expiresMs?: number;
}

/** In memory, beside its characters. */
const HEADER_BYTES = 64;

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

/**
 * Why a manifest contradicts itself, or undefined. Checked before it is written and after it was read. Whether content
 * within it is what its digest says is another question: `inlineContent`.
 */
export function manifestProblem(manifest: Manifest, sizes = CHUNK_SIZES): string | undefined {
  const isInline = manifest.layout === "inline";
  const format = isInline ? MANIFEST_FORMAT_INLINE : MANIFEST_FORMAT;
  if (manifest.format !== format) return `wanted format ${format}, got ${manifest.format}`;
  if (!Number.isSafeInteger(manifest.size) || manifest.size < 0) return `size ${manifest.size}`;
  if (!isChunkId(manifest.sha256)) return `sha256 ${manifest.sha256}`;
  const bad = headersProblem(manifest.headers);
  if (bad !== undefined) return bad;
  if (isInline) return inlineProblem(manifest, sizes);
  if (manifest.content !== undefined) return `content beside ${manifest.chunks.length} chunks`;
  const count = chunkCount(manifest.size, sizes);
  const wanted = manifest.layout === "list" ? count : Math.ceil(count / chunksPerIndex(sizes));
  if (manifest.layout === "list" && count > sizes.listedMax) return `${count} chunks in one list`;
  if (manifest.chunks.length !== wanted) return `wanted ${wanted} chunks, got ${manifest.chunks.length}`;
  const badId = manifest.chunks.find((id) => !isChunkId(id));
  return badId === undefined ? undefined : `chunk id ${badId}`;
}

/** As far as can be said without decoding it. */
function inlineProblem({ size, chunks, content }: Manifest, { smallBytes }: ChunkSizes): string | undefined {
  if (chunks.length > 0) return `${chunks.length} chunks beside content`;
  if (size === 0 || size > smallBytes) return `wanted content of 1 to ${smallBytes} bytes, got ${size}`;
  const chars = 4 * Math.ceil(size / 3);
  return content?.length === chars
    ? undefined
    : `wanted ${chars} characters of content, got ${content?.length}`;
}

/** The bytes within a manifest; undefined where they are not those that its digest names. `hash`: SHA-256. */
export function inlineContent(
  { size, sha256, content = "" }: Manifest,
  hash: (bytes: Uint8Array) => string,
): Uint8Array | undefined {
  const bytes = bytesOfBase64(content);
  return bytes?.length === size && hash(bytes) === sha256 ? bytes : undefined;
}

/** Roughly what a manifest takes in memory. Of all that a client gives to keep, its headers may be the most. */
export function manifestBytes({ chunks, headers, content = "" }: Manifest): number {
  let headerBytes = 0;
  for (const name in headers) headerBytes += HEADER_BYTES + 2 * (name.length + headers[name]!.length);
  return 200 + 90 * chunks.length + content.length + headerBytes;
}

/** Whether the object has passed its time to live. */
export function isExpired(manifest: Manifest, nowMs: number): boolean {
  return manifest.expiresMs !== undefined && manifest.expiresMs <= nowMs;
}
