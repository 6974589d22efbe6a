/**
 * The ring: the hash circle in 1,024 equal partitions. Fixed partitions and a table of owners (Dynamo's third strategy)
 * spread load more evenly than random tokens do, and a repair or a move has a natural unit.
 */
import type { Name } from "./names.ts";

export const PARTITIONS = 1024;
/** Slots divide a partition further, by more bits of the same hash: the leaves of its tree of digests. */
export const SLOTS_PER_PARTITION = 64;
export const SLOTS = PARTITIONS * SLOTS_PER_PARTITION;

/**
 * The partition of a name: FNV-1a over its UTF-16 units, finished with MurmurHash3's mixer so that the upper bits, which
 * choose the partition, depend on every unit. Part of the on-disk and on-wire contract: never change it within a ring.
 */
export function partitionOf(name: Name): number {
  return hashOf(name) >>> 22;
}

/** Slots of partition p are those from p * SLOTS_PER_PARTITION on. The same contract as the partition's. */
export function slotOf(name: Name): number {
  return hashOf(name) >>> 16;
}

function hashOf(name: Name): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i);
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193);
    hash = Math.imul(hash ^ (unit >>> 8), 0x01000193);
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  hash ^= hash >>> 16;
  return hash >>> 0;
}
