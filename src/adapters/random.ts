/** The machine's randomness. */
import { randomBytes } from "node:crypto";
import type { Random } from "../ports.ts";

export function createRandom(): Random {
  return {
    hex: (bytes) => randomBytes(bytes).toString("hex"),
    // Spreads retries and choices; nothing secret hangs on it.
    fraction: () => Math.random(),
  };
}
