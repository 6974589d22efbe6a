/** Bodies of uploads whose reading can be watched. */
import { CHUNK_BYTES } from "../../src/core/manifest.ts";

export interface WatchedBody {
  readonly body: AsyncIterable<Uint8Array>;
  /** Bytes that were asked for so far. */
  readonly pulledBytes: () => number;
  /** Whether the reader has let go of it, at its end or before. */
  readonly isClosed: () => boolean;
}

/** `sizeBytes` in parts of `partBytes`; byte i of chunk n is n-th of its kind, so that no two chunks are alike. */
export function watchedBody(sizeBytes: number, partBytes = 256 << 10): WatchedBody {
  let pulledBytes = 0;
  let closed = false;
  async function* parts(): AsyncGenerator<Uint8Array> {
    try {
      while (pulledBytes < sizeBytes) {
        const part = contentAt(pulledBytes, Math.min(partBytes, sizeBytes - pulledBytes));
        pulledBytes += part.length;
        yield part;
      }
    } finally {
      closed = true;
    }
  }
  return { body: parts(), pulledBytes: () => pulledBytes, isClosed: () => closed };
}

/** The same bytes wherever they are asked for. */
export function contentAt(first: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const chunk = Math.floor((first + done) / CHUNK_BYTES);
    const end = Math.min(length, (chunk + 1) * CHUNK_BYTES - first);
    bytes.fill(1 + (chunk % 250), done, end);
    // What tells chunk 0 from chunk 250 stands at a chunk's first bytes.
    for (let i = 0; i < 4; i++) {
      const at = chunk * CHUNK_BYTES + i - first;
      if (at >= 0 && at < length) bytes[at] = (chunk >>> (8 * i)) & 0xff;
    }
    done = end;
  }
  return bytes;
}
