/**
 * The catalog's tables, and the settings under which SQLite keeps what it acknowledged.
 *
 * Names are BLOBs: they hold NUL, at which Deno cuts TEXT, and their order must be that of the bytes.
 */
import type { DatabaseSync } from "node:sqlite";
import { slotOf } from "../core/partitions.ts";
import { AtollError } from "../errors.ts";
import { documentChecksum } from "./catalog-cells.ts";

export const SCHEMA_VERSION = 3;
const PAGE_BYTES = 4096;
const PAGE_CACHE_BYTES = 16 << 20;
/** The log is folded into the database at this size, and cut back to it after a burst. A larger one merges more writes. */
const LOG_BYTES = 16 << 20;

export const REGISTERS_TABLE = `
  -- Clustered by name: a scan reads neighbours.
  CREATE TABLE registers (
    name BLOB PRIMARY KEY,
    promised_counter INTEGER NOT NULL,
    promised_node TEXT NOT NULL,
    accepted_counter INTEGER NOT NULL,
    accepted_node TEXT NOT NULL,
    value TEXT,
    checksum INTEGER NOT NULL,
    slot INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`;

/** The second witness of every name: see catalog-registers.ts. */
export const REGISTERS_INDEX = `
  -- In order of name within a slot, since the table is clustered by name.
  CREATE INDEX registers_slot ON registers (slot);
`;

const TABLES = `
  ${REGISTERS_TABLE}
  -- Rows of many KiB would make a clustered key deep: the index stays apart.
  CREATE TABLE chunks (id BLOB PRIMARY KEY NOT NULL, bytes BLOB NOT NULL) STRICT;
  CREATE TABLE incomplete (turn INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, version INTEGER NOT NULL) STRICT;
  CREATE TABLE documents (key BLOB PRIMARY KEY, text BLOB NOT NULL) STRICT, WITHOUT ROWID;
`;

/** What version 2 added: who is owed what, and what replicas compare. */
const TABLES_2 = `
  ${REGISTERS_INDEX}
  -- chunk: empty for a change of the register itself.
  CREATE TABLE owed (
    turn INTEGER PRIMARY KEY,
    node TEXT NOT NULL,
    name BLOB NOT NULL,
    chunk BLOB NOT NULL,
    UNIQUE (node, name, chunk)
  ) STRICT;
  CREATE INDEX owed_node ON owed (node, turn);
  CREATE INDEX owed_chunk ON owed (chunk) WHERE length(chunk) > 0;
  -- turn: of the last change; digested: the turn that the digest was made at.
  CREATE TABLE slots (slot INTEGER PRIMARY KEY, turn INTEGER NOT NULL, digested INTEGER, digest TEXT) STRICT;
  CREATE INDEX slots_changed ON slots (turn) WHERE digested IS NOT turn;
  CREATE TABLE floors (
    slot INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    promised_counter INTEGER NOT NULL,
    promised_node TEXT NOT NULL
  ) STRICT;
`;

/** What version 3 added. Where the checksum is null, the text is not checked. */
const TABLES_3 = `
  ALTER TABLE documents ADD COLUMN checksum INTEGER;
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/** A second connection: the settings that are not kept in the file. */
export function prepareReading(database: DatabaseSync): void {
  database.exec(`PRAGMA busy_timeout = 1000; PRAGMA cache_size = ${-PAGE_CACHE_BYTES / 1024}`);
}

/** Throws `data-dir` for a database of a newer version or of somebody else. */
export function prepareDatabase(database: DatabaseSync, maxBytes: number | undefined): void {
  database.exec(`
    PRAGMA busy_timeout = 0;
    PRAGMA page_size = ${PAGE_BYTES};
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA cache_size = ${-PAGE_CACHE_BYTES / 1024};
    PRAGMA wal_autocheckpoint = ${LOG_BYTES / PAGE_BYTES};
    PRAGMA journal_size_limit = ${LOG_BYTES};
    PRAGMA temp_store = MEMORY;
  `);
  if (maxBytes !== undefined) database.exec(`PRAGMA max_page_count = ${Math.ceil(maxBytes / PAGE_BYTES)}`);
  const version = Number(database.prepare("PRAGMA user_version").get()?.["user_version"]);
  if (version === SCHEMA_VERSION) return;
  if (version === 1 || version === 2) return migrate(database, version);
  if (version !== 0) {
    throw new AtollError(
      "data-dir",
      `wanted a catalog of version ${SCHEMA_VERSION} or older, got version ${version}`,
    );
  }
  const tables = Number(database.prepare("SELECT count(*) AS tables FROM sqlite_schema").get()?.["tables"]);
  if (tables > 0) {
    throw new AtollError(
      "data-dir",
      `wanted a catalog, got a database with ${tables} tables of another kind`,
    );
  }
  database.exec(`BEGIN; ${TABLES} ${TABLES_2} ${TABLES_3} COMMIT`);
}

/** In one transaction. */
function migrate(database: DatabaseSync, from: number): void {
  database.exec("BEGIN");
  if (from < 2) addSlots(database);
  database.exec(TABLES_3);
  const setChecksum = database.prepare("UPDATE documents SET checksum = ? WHERE key = ?");
  for (const { key, text } of database.prepare("SELECT key, text FROM documents").all()) {
    setChecksum.run(documentChecksum(key as Uint8Array, text as Uint8Array), key!);
  }
  database.exec("COMMIT");
}

/** Every slot begins as changed, so that its digest is made. */
function addSlots(database: DatabaseSync): void {
  database.exec(`ALTER TABLE registers ADD COLUMN slot INTEGER NOT NULL DEFAULT 0; ${TABLES_2}`);
  const setSlot = database.prepare("UPDATE registers SET slot = ? WHERE name = ?");
  const markSlot = database.prepare("INSERT OR REPLACE INTO slots (slot, turn) VALUES (?, 0)");
  for (const { name } of database.prepare("SELECT name FROM registers").all()) {
    const bytes = name as Uint8Array;
    const slot = slotOf(new TextDecoder().decode(bytes));
    setSlot.run(slot, bytes);
    markSlot.run(slot);
  }
}
