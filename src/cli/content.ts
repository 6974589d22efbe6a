/** Content by its digest: what was sent or came, against what the node says it is. */
import { createHash, type Hash } from "node:crypto";
import { EXIT, Failure } from "./failure.ts";

/** Hashes what passes. */
export class Digest {
  readonly #hash: Hash = createHash("sha256");
  bytes = 0;

  update(part: Uint8Array): void {
    this.#hash.update(part);
    this.bytes += part.length;
  }

  /** Lower case; once, at the end. */
  hex(): string {
    return this.#hash.digest("hex");
  }
}

/** The SHA-256 in an ETag (lower-case hex). Throws where there is none: then nothing could be checked. */
export function digestInEtag(etag: string | undefined): string {
  const [, hex] = /^"([0-9a-f]{64})"$/.exec(etag ?? "") ?? [];
  if (hex === undefined) {
    throw new Failure(EXIT.error, `wanted an ETag that is a SHA-256 in hex, got ${etag ?? "none"}`, {
      code: "not-atoll",
    });
  }
  return hex;
}

/** RFC 9530. */
export function reprDigestField(hex: string): string {
  return `sha-256=:${Buffer.from(hex, "hex").toString("base64")}:`;
}

export function mismatch(message: string): Failure {
  return new Failure(EXIT.error, message, { code: "digest-mismatch" });
}
