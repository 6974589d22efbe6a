/**
 * The data directory: whose it is, of which format, and that one node has it at a time.
 *
 * The lock is an exclusive transaction on a small SQLite database: the kernel lets go of it with the process, however
 * that ends, so a killed node never stands in the way of its own restart.
 */
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { AtollError, messageOf } from "../errors.ts";
import { isMissing, makeDirectory, replaceFile } from "./disk-durability.ts";

export const DATA_FORMAT = 1;
const FORMAT_FILE = "format";
const NODE_ID_FILE = "node-id";
const LOCK_FILE = "lock.db";
const PROBE_FILE = ".probe";
/** What may lie in a directory that is not in use yet: a fresh volume's own folder, traces of a start that was cut off. */
const HARMLESS = new Set([
  "lost+found",
  PROBE_FILE,
  LOCK_FILE,
  `${LOCK_FILE}-journal`,
  `.${FORMAT_FILE}.tmp`,
]);
const SQLITE_BUSY = 5;
const NODE_ID = /^[\x21-\x7e]{1,128}$/;

export interface DataDirectory {
  /** The node's identity, once it was saved. */
  nodeId(): string | undefined;
  /** Durable when it resolves. */
  saveNodeId(id: string): Promise<void>;
  readonly chunkDirectory: string;
  readonly cacheDirectory: string;
  readonly catalogPath: string;
  /** Lets go of the lock; the last thing a node does. */
  close(): void;
}

/**
 * Opens a data directory for this process alone, making it (for its owner only) if there is none.
 * Rejects with `data-dir` when it is in use, not writable, of a newer format, or somebody else's.
 */
export async function openDataDirectory({ path }: { path: string }): Promise<DataDirectory> {
  const directory = resolve(path);
  await attempt(directory, "a directory that can be made or opened", () => makeDirectory(directory));
  // Before anything is written: a directory of somebody else's stays as it was.
  await hasFormat(directory);
  await attempt(directory, "a directory that can be written to", () => probe(directory));
  const lock = takeLock(directory);
  try {
    // Asked again, under the lock: of two first starts at once, both saw an empty directory.
    if (!await hasFormat(directory)) await save(directory, FORMAT_FILE, `atoll ${DATA_FORMAT}\n`);
    return handle(directory, lock, await readNodeId(directory));
  } catch (error) {
    lock.close();
    throw error;
  }
}

function handle(directory: string, lock: DatabaseSync, savedId: string | undefined): DataDirectory {
  let nodeId = savedId;
  return {
    nodeId: () => nodeId,
    async saveNodeId(id) {
      if (!NODE_ID.test(id)) {
        throw refusal(directory, "a node ID of 1 to 128 visible ASCII characters", JSON.stringify(id));
      }
      await save(directory, NODE_ID_FILE, `${id}\n`);
      nodeId = id;
    },
    chunkDirectory: join(directory, "chunks"),
    cacheDirectory: join(directory, "cache"),
    catalogPath: join(directory, "catalog.db"),
    close: () => {
      if (lock.isOpen) lock.close();
    },
  };
}

/** Whether the directory is ours already; false for an empty one. Throws for anything else. */
async function hasFormat(directory: string): Promise<boolean> {
  const wanted = `a directory of format ${DATA_FORMAT} or older`;
  const text = await readText(directory, FORMAT_FILE);
  if (text === undefined) {
    const stranger = (await attempt(directory, "a directory that can be read", () => readdir(directory)))
      .find((name) => !HARMLESS.has(name));
    if (stranger === undefined) return false;
    throw refusal(
      directory,
      "an empty directory or one of atoll's",
      `one without a format file that holds ${JSON.stringify(stranger)}`,
    );
  }
  const format = Number(/^atoll ([1-9]\d{0,8})\n?$/.exec(text)?.[1]);
  if (Number.isNaN(format)) {
    throw refusal(directory, wanted, `a format file that says ${JSON.stringify(text.slice(0, 80))}`);
  }
  if (format > DATA_FORMAT) {
    throw refusal(directory, wanted, `format ${format}: a newer atoll has written it`);
  }
  return true;
}

async function readNodeId(directory: string): Promise<string | undefined> {
  const text = await readText(directory, NODE_ID_FILE);
  const id = text?.replace(/\n$/, "");
  if (id === undefined || NODE_ID.test(id)) return id;
  throw refusal(directory, "a node ID of 1 to 128 visible ASCII characters", JSON.stringify(id.slice(0, 80)));
}

function takeLock(directory: string): DatabaseSync {
  let lock: DatabaseSync | undefined;
  try {
    lock = new DatabaseSync(join(directory, LOCK_FILE), { timeout: 0 });
    lock.prepare("BEGIN EXCLUSIVE").run();
    return lock;
  } catch (error) {
    lock?.close();
    if (error instanceof Error && "errcode" in error && error.errcode === SQLITE_BUSY) {
      throw new AtollError("data-dir", `data directory ${directory} is in use by a running node`, {
        cause: error,
      });
    }
    throw refusal(directory, "a directory that can be locked", messageOf(error), error);
  }
}

async function probe(directory: string): Promise<void> {
  const path = join(directory, PROBE_FILE);
  await writeFile(path, "");
  await rm(path);
}

function save(directory: string, name: string, text: string): Promise<void> {
  return attempt(directory, `to write ${name}`, () => replaceFile(directory, name, text));
}

async function readText(directory: string, name: string): Promise<string | undefined> {
  try {
    return await readFile(join(directory, name), "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw refusal(directory, `to read ${name}`, messageOf(error), error);
  }
}

async function attempt<T>(directory: string, wanted: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    throw refusal(directory, wanted, messageOf(error), error);
  }
}

function refusal(directory: string, wanted: string, got: string, cause?: unknown): AtollError {
  return new AtollError("data-dir", `data directory ${directory}: wanted ${wanted}, got ${got}`, { cause });
}
