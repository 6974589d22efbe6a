/** Base64 by the engine itself (ECMAScript 2026), which the compiler's library does not know of yet. */

interface Encoding {
  toBase64(): string;
}

interface Decoding {
  fromBase64(text: string, options: { lastChunkHandling: "strict" }): Uint8Array<ArrayBuffer>;
}

/** With padding (RFC 4648 section 4). */
export function base64Of(bytes: Uint8Array): string {
  return (bytes as unknown as Encoding).toBase64();
}

/** Undefined for what is no base64, or lacks its padding. */
export function bytesOfBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return (Uint8Array as unknown as Decoding).fromBase64(text, { lastChunkHandling: "strict" });
  } catch {
    return undefined;
  }
}
