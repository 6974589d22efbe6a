/**
 * The catalog's SQLite, synchronous: it lives in the worker thread, where blocking hurts nobody.
 *
 * A commit with synchronous=FULL in WAL mode costs one sync of the log. Changes that wait together share it.
 */
import { Buffer } from "node:buffer";
import { DatabaseSync, type SQLOutputValue, type StatementSync } from "node:sqlite";
import type { ChunkId } from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import { AtollError, messageOf } from "../errors.ts";
import type { ScanRange } from "../ports.ts";
import type { CatalogWorkerOptions, ChangeCells, Fault } from "./catalog-messages.ts";
import { stretchesOf } from "./catalog-ranges.ts";
import { cellsChecksum, damagedRow, type RegisterCells } from "./catalog-cells.ts";
import { prepareDatabase, prepareReading } from "./catalog-schema.ts";

const ROW = "name, promised_counter, promised_node, accepted_counter, accepted_node, value, checksum";
type SqlRow = Record<string, SQLOutputValue>;

export class CatalogStore {
  readonly #database: DatabaseSync;
  readonly #sql: ReturnType<typeof statements>;

  /** Throws `data-dir` for a file that is not, or not yet, our catalog; `storage-full` when there is no room for one. */
  constructor({ path, access, maxBytes }: CatalogWorkerOptions) {
    let database: DatabaseSync | undefined;
    try {
      database = new DatabaseSync(path, { readOnly: access === "read" });
      if (access === "read") prepareReading(database);
      else prepareDatabase(database, maxBytes);
      this.#database = database;
      this.#sql = statements(database);
    } catch (error) {
      database?.close();
      if (error instanceof AtollError) throw error;
      const { code, message } = faultOf(error);
      throw new AtollError(
        code === "storage-full" ? code : "data-dir",
        `wanted to open the catalog ${path}: ${message}`,
        {
          cause: error,
        },
      );
    }
  }

  /**
   * Applies all changes with one sync, and says for each why it failed, if it did. When they cannot commit together,
   * each is tried on its own, so that a bad one harms no other.
   */
  commit(changes: readonly ChangeCells[]): (Fault | undefined)[] {
    const fault = this.#transact(changes);
    if (fault === undefined) return changes.map(() => undefined);
    if (changes.length === 1) return [fault];
    return changes.map((change) => this.#transact([change]));
  }

  #transact(changes: readonly ChangeCells[]): Fault | undefined {
    try {
      this.#sql.begin.run();
      for (const change of changes) this.#apply(change);
      this.#sql.commit.run();
      return undefined;
    } catch (error) {
      // On a full disk SQLite has rolled back already, and a second rollback would be an error of its own.
      if (this.#database.isTransaction) this.#sql.rollback.run();
      return faultOf(error);
    }
  }

  #apply(change: ChangeCells): void {
    for (const cells of change.registers) {
      const [name, ...rest] = cells;
      this.#sql.putRegister.run(Buffer.from(name), ...rest, cellsChecksum(cells));
    }
    for (const [id, bytes] of change.chunks) this.#sql.putChunk.run(chunkKey(id), new Uint8Array(bytes));
    for (const id of change.deletedChunks) this.#sql.deleteChunk.run(chunkKey(id));
    for (const [name, version] of change.incomplete) {
      if (version === null) this.#sql.deleteIncomplete.run(Buffer.from(name));
      else this.#sql.putIncomplete.run(Buffer.from(name), version);
    }
    for (const [key, text] of change.documents) {
      this.#sql.putDocument.run(Buffer.from(key), Buffer.from(text));
    }
  }

  register(name: Name): RegisterCells | undefined {
    const row = this.#sql.register.get(Buffer.from(name));
    return row && cellsOf(row);
  }

  scan(range: ScanRange): RegisterCells[] {
    const rows: RegisterCells[] = [];
    for (const { from, to } of stretchesOf(range)) {
      const left = range.limit - rows.length;
      if (left <= 0) break;
      const found = to ? this.#sql.scanTo.all(from, to, left) : this.#sql.scanOn.all(from, left);
      for (const row of found) rows.push(cellsOf(row));
    }
    return rows;
  }

  chunk(id: ChunkId): ArrayBuffer | undefined {
    const row = this.#sql.chunk.get(chunkKey(id));
    return row && bareBuffer(bytesOf(row["bytes"]));
  }

  hasChunks(ids: readonly ChunkId[]): boolean[] {
    return ids.map((id) => this.#sql.hasChunk.get(chunkKey(id)) !== undefined);
  }

  incomplete(limit: number): [Name, number][] {
    return this.#sql.incomplete.all(limit).map((row) => [textOf(row["name"]), Number(row["version"])]);
  }

  document(key: string): string | undefined {
    const row = this.#sql.document.get(Buffer.from(key));
    return row && textOf(row["text"]);
  }

  close(): void {
    this.#database.close();
  }
}

function statements(database: DatabaseSync) {
  const prepare = (sql: string): StatementSync => database.prepare(sql);
  const scan = (upTo: string) =>
    `SELECT ${ROW} FROM registers WHERE name >= ? ${upTo} AND value IS NOT NULL ORDER BY name LIMIT ?`;
  return {
    begin: prepare("BEGIN IMMEDIATE"),
    commit: prepare("COMMIT"),
    rollback: prepare("ROLLBACK"),
    putRegister: prepare(`INSERT OR REPLACE INTO registers (${ROW}) VALUES (?, ?, ?, ?, ?, ?, ?)`),
    register: prepare(`SELECT ${ROW} FROM registers WHERE name = ?`),
    scanTo: prepare(scan("AND name < ?")),
    scanOn: prepare(scan("")),
    putChunk: prepare("INSERT INTO chunks (id, bytes) VALUES (?, ?) ON CONFLICT DO NOTHING"),
    deleteChunk: prepare("DELETE FROM chunks WHERE id = ?"),
    chunk: prepare("SELECT bytes FROM chunks WHERE id = ?"),
    hasChunk: prepare("SELECT 1 FROM chunks WHERE id = ?"),
    // Replacing gives the name a new, greatest turn: whatever is put again goes to the end of the line.
    putIncomplete: prepare("INSERT OR REPLACE INTO incomplete (name, version) VALUES (?, ?)"),
    deleteIncomplete: prepare("DELETE FROM incomplete WHERE name = ?"),
    incomplete: prepare("SELECT name, version FROM incomplete ORDER BY turn LIMIT ?"),
    putDocument: prepare("INSERT OR REPLACE INTO documents (key, text) VALUES (?, ?)"),
    document: prepare("SELECT text FROM documents WHERE key = ?"),
  };
}

function cellsOf(row: SqlRow): RegisterCells {
  const name = textOf(row["name"]);
  const { value } = row;
  const cells: RegisterCells = [
    name,
    Number(row["promised_counter"]),
    String(row["promised_node"]),
    Number(row["accepted_counter"]),
    String(row["accepted_node"]),
    value === null || value === undefined ? null : String(value),
  ];
  if (cellsChecksum(cells) !== row["checksum"]) throw damagedRow(name, "its checksum does not match");
  return cells;
}

function chunkKey(id: ChunkId): Uint8Array {
  return Buffer.from(id, "hex");
}

function bytesOf(value: SQLOutputValue | undefined): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new AtollError(
    "internal",
    `wanted bytes in the catalog, got ${value === null ? "null" : typeof value}`,
  );
}

function textOf(value: SQLOutputValue | undefined): string {
  return Buffer.from(bytesOf(value)).toString();
}

function bareBuffer(bytes: Uint8Array): ArrayBuffer {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer && buffer.byteLength === bytes.length
    ? buffer
    : new Uint8Array(bytes).buffer;
}

/** SQLITE_FULL, and SQLITE_IOERR_SHMSIZE: no room to grow the log's index. */
const FULL_CODES: readonly unknown[] = [13, 4874];

export function faultOf(error: unknown): Fault {
  if (error instanceof AtollError) return { code: error.code, message: error.message };
  const full = error instanceof Error && "errcode" in error && FULL_CODES.includes(error.errcode);
  return {
    code: full ? "storage-full" : "internal",
    message: `the catalog's database failed: ${messageOf(error)}`,
  };
}
