/**
 * The catalog's SQLite, synchronous: it lives in the worker thread, where blocking hurts nobody.
 *
 * A commit with synchronous=FULL in WAL mode costs one sync of the log. Changes that wait together share it.
 */
import { Buffer } from "node:buffer";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { Name } from "../core/names.ts";
import { slotOf } from "../core/partitions.ts";
import { AtollError, DamagedRegister, messageOf } from "../errors.ts";
import { cellsChecksum, Contradiction, documentChecksum } from "./catalog-cells.ts";
import { mendRegisters } from "./catalog-mend.ts";
import type { CatalogWorkerOptions, ChangeCells, Fault, Mended } from "./catalog-messages.ts";
import { CatalogReads, chunkKey } from "./catalog-reads.ts";
import { prepareDatabase, prepareReading } from "./catalog-schema.ts";

/** In one life: a disk that goes on changing what it was given is not worth writing everything to again and again. */
const MENDS_MAX = 16;

export class CatalogStore {
  readonly reads: CatalogReads;
  readonly #database: DatabaseSync;
  readonly #sql: ReturnType<typeof statements>;
  /** Of the last change of a slot; greater for each. */
  #turn: number;
  readonly #onMended: (mended: Mended) => void;
  #mendsLeft = MENDS_MAX;

  /** Throws `data-dir` for a file that is not, or not yet, our catalog; `storage-full` when there is no room for one. */
  constructor(
    { path, access, maxBytes }: CatalogWorkerOptions,
    onMended: (mended: Mended) => void,
  ) {
    this.#onMended = onMended;
    let database: DatabaseSync | undefined;
    try {
      database = new DatabaseSync(path, { readOnly: access === "read" });
      if (access === "read") prepareReading(database);
      else prepareDatabase(database, maxBytes);
      this.#database = database;
      this.#sql = statements(database);
      this.#turn = Number(this.#sql.lastTurn.get()?.["turn"] ?? 0);
      this.reads = new CatalogReads(database);
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

  /** Makes the registers anew, see catalog-mend.ts; says why it failed, if it did. */
  mend(): Fault | undefined {
    if (this.#mendsLeft === 0) {
      return {
        code: "damaged",
        message:
          `the catalog's registers were made anew ${MENDS_MAX} times since the start, and are damaged again`,
      };
    }
    this.#mendsLeft--;
    try {
      this.#onMended(mendRegisters(this.#database));
      return undefined;
    } catch (error) {
      return faultOf(error);
    }
  }

  close(): void {
    this.#database.close();
  }

  /** SQLite neither replaces nor deletes a row whose entry it does not find in the index: then the registers are mended first. */
  #transact(changes: readonly ChangeCells[]): Fault | undefined {
    const error = this.#attempt(changes);
    if (error === undefined) return undefined;
    if (errorCodeOf(error) !== CORRUPT_INDEX) return faultOf(error);
    const fault = this.mend();
    if (fault) return fault;
    const again = this.#attempt(changes);
    return again === undefined ? undefined : faultOf(again);
  }

  /** Returns what was thrown. */
  #attempt(changes: readonly ChangeCells[]): unknown {
    try {
      this.#sql.begin.run();
      for (const change of changes) this.#apply(change);
      this.#sql.commit.run();
      return undefined;
    } catch (error) {
      // On a full disk SQLite has rolled back already, and a second rollback would be an error of its own.
      if (this.#database.isTransaction) this.#sql.rollback.run();
      return error;
    }
  }

  #apply(change: ChangeCells): void {
    for (const cells of change.registers) {
      const [name, ...rest] = cells;
      this.#sql.putRegister.run(Buffer.from(name), ...rest, cellsChecksum(cells), this.#mark(name));
    }
    for (const name of change.forgotten) {
      this.#sql.deleteRegister.run(Buffer.from(name));
      this.#mark(name);
    }
    for (const floor of change.floors) this.#sql.putFloor.run(...floor);
    for (const [id, bytes] of change.chunks) this.#sql.putChunk.run(chunkKey(id), new Uint8Array(bytes));
    for (const id of change.deletedChunks) this.#sql.deleteChunk.run(chunkKey(id));
    for (const [name, version] of change.incomplete) {
      if (version === null) this.#sql.deleteIncomplete.run(Buffer.from(name));
      else this.#sql.putIncomplete.run(Buffer.from(name), version);
    }
    for (const [node, name, chunk, settled] of change.owed) {
      const sql = settled ? this.#sql.deleteOwed : this.#sql.putOwed;
      sql.run(node, Buffer.from(name), chunkKey(chunk));
    }
    for (const [slot, digest, turn] of change.digests) this.#sql.setDigest.run(digest, turn, slot);
    for (const document of change.documents) {
      const [key, text] = document.map((part) => Buffer.from(part)) as [Buffer, Buffer];
      this.#sql.putDocument.run(key, text, documentChecksum(key, text));
    }
  }

  /** The slot of a name that is changed. */
  #mark(name: Name): number {
    const slot = slotOf(name);
    this.#sql.markSlot.run(slot, ++this.#turn);
    return slot;
  }
}

function statements(database: DatabaseSync) {
  const prepare = (sql: string): StatementSync => database.prepare(sql);
  return {
    begin: prepare("BEGIN IMMEDIATE"),
    commit: prepare("COMMIT"),
    rollback: prepare("ROLLBACK"),
    lastTurn: prepare("SELECT max(turn) AS turn FROM slots"),
    putRegister: prepare(
      `INSERT OR REPLACE INTO registers (name, promised_counter, promised_node, accepted_counter, accepted_node, value,
       checksum, slot) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    deleteRegister: prepare("DELETE FROM registers WHERE name = ?"),
    markSlot: prepare(
      "INSERT INTO slots (slot, turn) VALUES (?, ?) ON CONFLICT DO UPDATE SET turn = excluded.turn",
    ),
    // Of a turn that is over, it leaves the slot marked.
    setDigest: prepare("UPDATE slots SET digest = ?, digested = ? WHERE slot = ?"),
    putFloor: prepare(
      `INSERT INTO floors (slot, version, promised_counter, promised_node) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET version = max(version, excluded.version),
         (promised_counter, promised_node) = (
           SELECT counter, node FROM (
             SELECT promised_counter AS counter, promised_node AS node
             UNION ALL SELECT excluded.promised_counter, excluded.promised_node
           ) ORDER BY counter DESC, node DESC LIMIT 1
         )`,
    ),
    putChunk: prepare("INSERT INTO chunks (id, bytes) VALUES (?, ?) ON CONFLICT DO NOTHING"),
    deleteChunk: prepare("DELETE FROM chunks WHERE id = ?"),
    // Replacing gives the name a new, greatest turn: whatever is put again goes to the end of the line.
    putIncomplete: prepare("INSERT OR REPLACE INTO incomplete (name, version) VALUES (?, ?)"),
    deleteIncomplete: prepare("DELETE FROM incomplete WHERE name = ?"),
    putOwed: prepare("INSERT INTO owed (node, name, chunk) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"),
    deleteOwed: prepare("DELETE FROM owed WHERE node = ? AND name = ? AND chunk = ?"),
    putDocument: prepare("INSERT OR REPLACE INTO documents (key, text, checksum) VALUES (?, ?, ?)"),
  };
}

/** SQLITE_FULL, and SQLITE_IOERR_SHMSIZE: no room to grow the log's index. */
const FULL_CODES: readonly unknown[] = [13, 4874];
/** SQLITE_CORRUPT with its kinds, and SQLITE_NOTADB. */
const DAMAGED_CODES: readonly unknown[] = [11, 26];
const CORRUPT_INDEX = 779;

export function faultOf(error: unknown): Fault {
  if (error instanceof DamagedRegister) {
    const { code, message, register } = error;
    return { code, message, register, contradicts: error instanceof Contradiction };
  }
  if (error instanceof AtollError) return { code: error.code, message: error.message };
  const errcode = errorCodeOf(error);
  const reason = messageOf(error);
  if (FULL_CODES.includes(errcode)) {
    return { code: "storage-full", message: `the catalog's database failed: ${reason}` };
  }
  if (DAMAGED_CODES.includes(typeof errcode === "number" ? errcode & 0xff : errcode)) {
    return { code: "damaged", message: `the catalog's file is damaged: ${reason}` };
  }
  return { code: "internal", message: `the catalog's database failed: ${reason}` };
}

function errorCodeOf(error: unknown): unknown {
  return error instanceof Error && "errcode" in error ? error.errcode : undefined;
}
