/**
 * How bytes become durable, and what a disk's errors mean.
 *
 * A file's sync covers its bytes, not its name: after a power cut a renamed file may be gone unless its directory was
 * synced as well (fsync(2)).
 */
import { Buffer } from "node:buffer";
import { closeSync, fsync, open as openByCallback, openSync, writev } from "node:fs";
import { mkdir, open, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { AtollError, messageOf } from "../errors.ts";

const openFile = promisify(openByCallback) as (path: string, flags: string, mode?: number) => Promise<number>;
const syncFile = promisify(fsync);
const writeParts = promisify(writev) as (
  file: number,
  parts: readonly Uint8Array[],
  position: number,
) => Promise<{ bytesWritten: number }>;

/**
 * Writes the parts end to end into a new file, and syncs nothing. By descriptor, closed at once: every operation that goes
 * through the runtime's threads costs more than most of these system calls do.
 */
export async function writeNewFile(path: string, parts: readonly Uint8Array[]): Promise<void> {
  const file = await openFile(path, "wx", 0o600);
  try {
    await writeWhole(file, parts);
  } finally {
    closeSync(file);
  }
}

/** Writes the parts end to end from the file's beginning; rejects with `storage-full` when there is not room for all. */
export async function writeWhole(file: number, parts: readonly Uint8Array[]): Promise<void> {
  const wanted = parts.reduce((sum, part) => sum + part.length, 0);
  const { bytesWritten } = await writeParts(file, parts, 0);
  // A disk that fills up in the middle cuts a write short instead of failing it.
  if (bytesWritten < wanted) await writeRest(file, parts, bytesWritten);
}

async function writeRest(file: number, parts: readonly Uint8Array[], written: number): Promise<void> {
  const bytes = Buffer.concat(parts);
  while (written < bytes.length) {
    const { bytesWritten } = await writeParts(file, [bytes.subarray(written)], written);
    if (bytesWritten === 0) {
      throw new AtollError("storage-full", `wanted to write ${bytes.length} bytes, got to ${written}`);
    }
    written += bytesWritten;
  }
}

/** Makes the names in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  // On the spot: a directory that is being written to is in memory.
  const directory = openSync(path, "r");
  try {
    await syncFile(directory);
  } finally {
    closeSync(directory);
  }
}

/** Makes a directory and whichever of its parents are missing; durable. */
export async function makeDirectory(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) await syncDirectory(dirname(made));
}

/** A small file, replaced as a whole: a reader, or a node after a crash, sees the old text or the new. Durable. */
export async function replaceFile(directory: string, name: string, text: string): Promise<void> {
  const temporary = join(directory, `.${name}.tmp`);
  const file = await open(temporary, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, join(directory, name));
  await syncDirectory(directory);
}

export function isMissing(error: unknown): boolean {
  return codeOf(error) === "ENOENT";
}

/** A fault of the disk: `storage-full` when there is no room, else `internal`. `doing` completes "wanted to". */
export function diskFault(error: unknown, doing: string): AtollError {
  if (error instanceof AtollError) return error;
  const full = ["ENOSPC", "EDQUOT"].includes(codeOf(error) ?? "");
  return new AtollError(full ? "storage-full" : "internal", `wanted to ${doing}, got ${messageOf(error)}`, {
    cause: error,
  });
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
