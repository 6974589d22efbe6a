/** Scan ranges as stretches of UTF-8 bytes, so that the database seeks to each and filters nothing. */
import { Buffer } from "node:buffer";
import type { ScanRange } from "../ports.ts";

/** From `from` on and before `to`; without `to`, to the end. */
export interface Stretch {
  readonly from: Uint8Array;
  readonly to: Uint8Array | undefined;
}

/** In order; two when names in the middle are passed over. An empty `afterPrefix` passes over nothing. */
export function stretchesOf({ prefix, after, afterPrefix }: ScanRange): Stretch[] {
  const prefixBytes = Buffer.from(prefix);
  // The least byte string greater than x is x followed by a zero byte.
  const from = after === "" ? prefixBytes : later(prefixBytes, Buffer.from(`${after}\0`));
  const to = endOfPrefix(prefixBytes);
  if (!afterPrefix) return nonEmpty([{ from, to }]);
  const gap = Buffer.from(afterPrefix);
  const gapEnd = endOfPrefix(gap);
  const before: Stretch = { from, to: to && Buffer.compare(to, gap) < 0 ? to : gap };
  return nonEmpty(gapEnd ? [before, { from: later(from, gapEnd), to }] : [before]);
}

/** The least byte string greater than all that begin with `prefix`; undefined when there is none. */
export function endOfPrefix(prefix: Uint8Array): Buffer | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return undefined;
  const end = Buffer.from(prefix.subarray(0, length));
  end[length - 1]! += 1;
  return end;
}

function later(a: Buffer, b: Buffer): Buffer {
  return Buffer.compare(a, b) < 0 ? b : a;
}

function nonEmpty(stretches: Stretch[]): Stretch[] {
  return stretches.filter(({ from, to }) => to === undefined || Buffer.compare(from, to) < 0);
}
