/** Digests by `node:crypto`, which uses the processor's own SHA instructions on both runtimes. */
import { Buffer } from "node:buffer";
import { createHash, hash, webcrypto } from "node:crypto";
import type { Hashing } from "../ports.ts";

/** Below, the way to another thread and back costs more of this one than the hash does (20 against 15 µs at 32 KiB). */
const ASIDE_BYTES_MIN = 32 << 10;

export function createHashing(): Hashing {
  const sha256 = (bytes: Uint8Array) => hash("sha256", bytes, "hex");
  return {
    sha256,
    async sha256Aside(bytes) {
      if (bytes.length < ASIDE_BYTES_MIN) return sha256(bytes);
      // Web Crypto takes no shared memory, and nothing here hands any out.
      const digest = await webcrypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
      return Buffer.from(digest).toString("hex");
    },
    running(algorithm) {
      const digest = createHash(algorithm);
      return {
        update: (bytes) => void digest.update(bytes),
        digestHex: () => digest.digest("hex"),
      };
    },
  };
}
