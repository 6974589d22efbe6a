/** What the machine itself can do: no upload that is hashed twice and synced can be quicker. */
import { createHash, randomFillSync } from "node:crypto";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { median } from "./medians.ts";

const PIECE_BYTES = 1 << 20;

export interface Machine {
  /** Bytes a second on one core, each byte hashed twice: once in its chunk, once in the whole. */
  readonly hashTwice: number;
  /** Bytes a second of 1 MiB writes to a new file, then one sync. */
  readonly diskSync: number;
}

export async function measureMachine(directory: string, sizeBytes: number, rounds: number): Promise<Machine> {
  const hashes: number[] = [];
  const syncs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    hashes.push(hashTwice(sizeBytes));
    syncs.push(await writeAndSync(join(directory, "sync"), sizeBytes));
  }
  return { hashTwice: median(hashes), diskSync: median(syncs) };
}

function hashTwice(sizeBytes: number): number {
  const piece = randomFillSync(Buffer.allocUnsafe(PIECE_BYTES));
  const startedMs = performance.now();
  const whole = createHash("sha256");
  for (let done = 0; done < sizeBytes; done += PIECE_BYTES) {
    createHash("sha256").update(piece).digest();
    whole.update(piece);
  }
  whole.digest();
  return sizeBytes / ((performance.now() - startedMs) / 1000);
}

async function writeAndSync(path: string, sizeBytes: number): Promise<number> {
  const piece = randomFillSync(Buffer.allocUnsafe(PIECE_BYTES));
  const file = await open(path, "w");
  try {
    const startedMs = performance.now();
    for (let done = 0; done < sizeBytes; done += PIECE_BYTES) await file.write(piece);
    await file.sync();
    return sizeBytes / ((performance.now() - startedMs) / 1000);
  } finally {
    await file.close();
    await rm(path);
  }
}
