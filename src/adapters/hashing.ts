/** Digests by `node:crypto`, which uses the processor's own SHA instructions on both runtimes. */
import { createHash, hash } from "node:crypto";
import type { Hashing } from "../ports.ts";

/**
 * All on the event loop. Web Crypto hashes beside it, but takes a copy of every chunk first: on two cores an upload was no
 * quicker with it.
 */
export function createHashing(): Hashing {
  const sha256 = (bytes: Uint8Array) => hash("sha256", bytes, "hex");
  return {
    sha256,
    running(algorithm) {
      const digest = createHash(algorithm);
      return {
        update: (bytes) => void digest.update(bytes),
        digestHex: () => digest.digest("hex"),
      };
    },
  };
}
