/**
 * A download until it is whole and verified: a file beside the target whose name carries the content's digest. So
 * whoever goes on with it later knows which content it is a part of, whatever the object has become, and a target never
 * holds half of anything.
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Digest } from "./content.ts";
import { localFailure } from "./failure.ts";

const SUFFIX = ".atoll-part";
/** File systems take 255 bytes; the digest, the random part and the suffix need 85 of them. */
const NAME_BYTES_MAX = 160;
const PIECE_BYTES = 256 << 10;

export class PartFile {
  readonly path: string;
  /** Of the whole content. */
  readonly sha256: string;
  readonly #target: string;
  readonly #handle: FileHandle;
  /** How much of the content is in it. */
  sizeBytes: number;

  private constructor(target: string, path: string, sha256: string, handle: FileHandle, sizeBytes: number) {
    this.#target = target;
    this.path = path;
    this.sha256 = sha256;
    this.#handle = handle;
    this.sizeBytes = sizeBytes;
  }

  static async create(target: string, sha256: string): Promise<PartFile> {
    const path = freshPath(target, sha256);
    const handle = await open(path, "wx+").catch((error: unknown) => {
      throw localFailure("write", target, error);
    });
    return new PartFile(target, path, sha256, handle, 0);
  }

  /**
   * The largest part there is of what was once to become `target`; undefined when there is none. It gets a new name, so
   * that of two who go on with it only one does; a download that is still at it fails at its end, loudly.
   */
  static async claim(target: string): Promise<PartFile | undefined> {
    const found = await partsOf(target);
    for (const { path, sha256 } of found) {
      const claimed = freshPath(target, sha256);
      try {
        await rename(path, claimed);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") continue; // somebody else was faster
        throw localFailure("rename", path, error);
      }
      const handle = await open(claimed, "r+").catch((error: unknown) => {
        throw localFailure("write", claimed, error);
      });
      return new PartFile(target, claimed, sha256, handle, (await handle.stat()).size);
    }
    return undefined;
  }

  async hashInto(digest: Digest): Promise<void> {
    const buffer = Buffer.allocUnsafe(PIECE_BYTES);
    for (let at = 0; at < this.sizeBytes;) {
      const { bytesRead } = await this.#handle.read(buffer, 0, PIECE_BYTES, at).catch((error: unknown) => {
        throw localFailure("read", this.path, error);
      });
      if (bytesRead === 0) break;
      digest.update(buffer.subarray(0, bytesRead));
      at += bytesRead;
    }
  }

  async append(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const { bytesWritten } = await this.#handle.write(bytes, at, bytes.length - at, this.sizeBytes)
        .catch((error: unknown) => {
          throw localFailure("write", this.path, error);
        });
      at += bytesWritten;
      this.sizeBytes += bytesWritten;
    }
  }

  /** Durable first: a target that was there before must not be replaced by what a power cut empties. */
  async commit(): Promise<void> {
    try {
      await this.#handle.sync();
      await this.#handle.close();
      await rename(this.path, this.#target);
    } catch (error) {
      throw localFailure("write", this.#target, error);
    }
  }

  async discard(): Promise<void> {
    await this.close();
    await rm(this.path, { force: true });
  }

  /** Leaves it for a later attempt. */
  async close(): Promise<void> {
    await this.#handle.close().catch(() => undefined); // closed before
  }
}

function freshPath(target: string, sha256: string): string {
  return join(dirname(target), `${stem(target)}.${sha256}-${randomBytes(4).toString("hex")}${SUFFIX}`);
}

/** Names that were cut may meet; their digests then tell them apart. */
function stem(target: string): string {
  let name = basename(target);
  while (Buffer.byteLength(name) > NAME_BYTES_MAX) name = Array.from(name).slice(0, -1).join("");
  return name;
}

/** The largest first. */
async function partsOf(target: string): Promise<{ path: string; sha256: string; sizeBytes: number }[]> {
  const directory = dirname(target);
  const prefix = `${stem(target)}.`;
  const found: { path: string; sha256: string; sizeBytes: number }[] = [];
  const names = await readdir(directory).catch((error: unknown) => {
    throw localFailure("read", directory, error);
  });
  for (const name of names) {
    if (!name.startsWith(prefix)) continue;
    const [, sha256] = /^([0-9a-f]{64})-[0-9a-f]{8}\.atoll-part$/.exec(name.slice(prefix.length)) ?? [];
    if (sha256 === undefined) continue;
    const path = join(directory, name);
    const entry = await stat(path).catch(() => undefined); // gone meanwhile
    if (entry?.isFile()) found.push({ path, sha256, sizeBytes: entry.size });
  }
  return found.sort((a, b) => b.sizeBytes - a.sizeBytes);
}
