/** A large file of random bytes, whose every MiB can be made new in a moment. */
import { randomFillSync } from "node:crypto";
import { open, writeFile } from "node:fs/promises";

const PIECE_BYTES = 1 << 20;
const STAMP_BYTES = 16;

export async function makeSampleFile(path: string, sizeBytes: number): Promise<void> {
  await writeFile(path, "");
  const file = await open(path, "r+");
  try {
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    for (let at = 0; at < sizeBytes; at += PIECE_BYTES) {
      await file.write(randomFillSync(piece), 0, PIECE_BYTES, at);
    }
  } finally {
    await file.close();
  }
}

/** A store that names chunks by their content would find all of the same file there already. */
export async function stampSampleFile(path: string, sizeBytes: number): Promise<void> {
  const file = await open(path, "r+");
  try {
    const stamp = Buffer.allocUnsafe(STAMP_BYTES);
    for (let at = 0; at < sizeBytes; at += PIECE_BYTES) {
      await file.write(randomFillSync(stamp), 0, STAMP_BYTES, at);
    }
  } finally {
    await file.close();
  }
}
