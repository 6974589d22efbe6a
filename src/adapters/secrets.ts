/** Secrets by `node:crypto`. */
import { Buffer } from "node:buffer";
import { createHmac, hash, timingSafeEqual } from "node:crypto";
import type { Secrets } from "../ports.ts";

export function createSecrets(): Secrets {
  return {
    digest: (secret) => hash("sha256", secret, "hex"),
    mac: (key, text) => createHmac("sha256", key).update(text).digest("hex"),
    isSame(a, b) {
      const [left, right] = [Buffer.from(a, "latin1"), Buffer.from(b, "latin1")];
      return left.length === right.length && timingSafeEqual(left, right);
    },
  };
}
