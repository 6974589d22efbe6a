/** A closed catalog's file, damaged as a disk does it: bytes change where they lie, and SQLite is not asked. */
import type { Buffer } from "node:buffer";
import { readFileSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

/** "Database file format" on sqlite.org, section 1.6. */
const INTERIOR = 2;
const LEAF = 10;
const FILE_HEADER_BYTES = 100;

/** A b-tree of its own: a table without row IDs, or an index. */
type Tree = "registers" | "registers_slot" | "documents";

/**
 * Turns over `bits` of one byte of the only cell of that tree which holds `bytes`: the one `at` bytes from where they begin.
 * Throws where there is no such cell, or more than one.
 */
export function flip(path: string, tree: Tree, bytes: string, at: number, bits = 1): void {
  const { rootPage, pageBytes } = settled(path, tree);
  const file = readFileSync(path);
  const found = [...cells(file, rootPage, pageBytes)].flatMap((cell) => {
    const index = cell.indexOf(bytes);
    return index === -1 ? [] : [{ cell, index }];
  });
  const [only] = found;
  if (!only || found.length > 1) {
    throw new Error(`wanted one cell of ${tree} with ${JSON.stringify(bytes)}, got ${found.length}`);
  }
  only.cell[only.index + at]! ^= bits;
  writeFileSync(path, file);
}

/** The dividers of the tree's root, whole cells. */
export function dividersOf(path: string, tree: Tree): Buffer[] {
  const { rootPage, pageBytes } = settled(path, tree);
  const file = readFileSync(path);
  return pageOf(file, rootPage, pageBytes).kind === LEAF ? [] : [...ownCells(file, rootPage, pageBytes)];
}

/** With nothing left in the log. */
function settled(path: string, tree: Tree): { rootPage: number; pageBytes: number } {
  const database = new DatabaseSync(path);
  try {
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    const root = database.prepare("SELECT rootpage FROM sqlite_schema WHERE name = ?").get(tree);
    const size = database.prepare("PRAGMA page_size").get();
    return { rootPage: Number(root?.["rootpage"]), pageBytes: Number(size?.["page_size"]) };
  } finally {
    database.close();
  }
}

function* cells(file: Buffer, page: number, pageBytes: number): Generator<Buffer> {
  const { kind, header } = pageOf(file, page, pageBytes);
  for (const cell of ownCells(file, page, pageBytes)) {
    if (kind === INTERIOR) yield* cells(file, cell.readUInt32BE(0), pageBytes);
    yield cell;
  }
  if (kind === INTERIOR) yield* cells(file, header.readUInt32BE(8), pageBytes);
}

function* ownCells(file: Buffer, page: number, pageBytes: number): Generator<Buffer> {
  const { kind, header, whole } = pageOf(file, page, pageBytes);
  const pointers = kind === LEAF ? 8 : 12;
  const count = header.readUInt16BE(3);
  for (let index = 0; index < count; index++) {
    const start = header.readUInt16BE(pointers + 2 * index);
    const prefix = kind === LEAF ? 0 : 4;
    const { value, bytes } = varint(whole, start + prefix);
    // What overflows lies on other pages, and names do not.
    yield whole.subarray(start, Math.min(whole.length, start + prefix + bytes + value));
  }
}

function pageOf(file: Buffer, page: number, pageBytes: number) {
  const whole = file.subarray((page - 1) * pageBytes, page * pageBytes);
  const header = page === 1 ? whole.subarray(FILE_HEADER_BYTES) : whole;
  const kind = header[0]!;
  if (kind !== LEAF && kind !== INTERIOR) throw new Error(`wanted a page of an index, got kind ${kind}`);
  return { kind, header, whole };
}

function varint(bytes: Buffer, at: number): { value: number; bytes: number } {
  let value = 0;
  for (let length = 1; length <= 4; length++) {
    const byte = bytes[at + length - 1]!;
    value = value * 128 + (byte & 0x7f);
    if (byte < 0x80) return { value, bytes: length };
  }
  throw new Error("wanted a cell of a few megabytes at most");
}
