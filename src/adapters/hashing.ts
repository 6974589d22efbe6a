/** Digests by `node:crypto`, which uses the processor's own SHA instructions on both runtimes. */
import { createHash, hash } from "node:crypto";
import type { DigestAlgorithm, Hashing } from "../ports.ts";

/**
 * All on the event loop; for uploads beside it, see hash-worker.ts. Web Crypto would hash beside it as well, but takes a copy
 * of every chunk first, and knows no running digests.
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
    pieces(algorithms) {
      const pieces = new Pieces(algorithms);
      return {
        add: async (piece) => pieces.add(piece),
        whole: async () => pieces.whole(),
        close: () => {},
      };
    },
  };
}

/** See `PieceDigests`. */
export class Pieces {
  readonly #whole = createHash("sha256");
  readonly #others: readonly (readonly [DigestAlgorithm, ReturnType<typeof createHash>])[];
  #isFirst = true;

  constructor(algorithms: readonly DigestAlgorithm[]) {
    this.#others = algorithms
      .filter((algorithm) => algorithm !== "sha256")
      .map((algorithm) => [algorithm, createHash(algorithm)] as const);
  }

  add(piece: Uint8Array): string {
    this.#whole.update(piece);
    for (const [, digest] of this.#others) digest.update(piece);
    // So far the first piece is the whole: an object of one chunk is hashed once.
    const id = this.#isFirst ? this.#whole.copy().digest("hex") : hash("sha256", piece, "hex");
    this.#isFirst = false;
    return id;
  }

  whole(): Map<DigestAlgorithm, string> {
    return new Map([
      ["sha256", this.#whole.digest("hex")],
      ...this.#others.map(([algorithm, digest]) => [algorithm, digest.digest("hex")] as const),
    ]);
  }
}
