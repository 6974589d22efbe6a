/**
 * Registers made anew from what can be believed of them, where a row fails its checksum or table and index disagree.
 *
 * SQLite has no such repair: a row under a wrong name is found by no search, so nothing replaces or deletes it, and where
 * the index lacks a row's entry it refuses to. So both are written anew, read as they lie there and not by searching:
 *
 * * rows whose checksum is right, of several under one name the latest (searches led astray may have doubled it);
 * * for each other name that the index knows, a row that no checksum fits: it is damaged, and will be fetched anew.
 *
 * A row that fails its checksum is not taken: the name on it may be another's, even one that exists.
 */
import type { DatabaseSync } from "node:sqlite";
import { slotOf } from "../core/partitions.ts";
import { cellsChecksum, LOST } from "./catalog-cells.ts";
import type { Mended } from "./catalog-messages.ts";
import { REGISTERS_INDEX, REGISTERS_TABLE } from "./catalog-schema.ts";
import { fits, wholeCells } from "./catalog-registers.ts";
import { bytesOf } from "./catalog-values.ts";

/**
 * Durable when it returns; takes the time and the room of writing all registers once, some 50 µs for each. Reads go on
 * meanwhile. Throws what SQLite throws, and then nothing has changed.
 */
export function mendRegisters(database: DatabaseSync): Mended {
  database.exec("BEGIN IMMEDIATE");
  try {
    database.exec(`ALTER TABLE registers RENAME TO registers_damaged; ${REGISTERS_TABLE}`);
    const rows = takeRows(database);
    const damaged = takeNames(database);
    database.exec(`DROP TABLE registers_damaged; ${REGISTERS_INDEX} COMMIT`);
    return { rows, damaged };
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
}

function takeRows(database: DatabaseSync): number {
  const put = database.prepare(
    `INSERT INTO registers (name, promised_counter, promised_node, accepted_counter, accepted_node, value, checksum, slot)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET (promised_counter, promised_node, accepted_counter, accepted_node, value, checksum) =
        (excluded.promised_counter, excluded.promised_node, excluded.accepted_counter, excluded.accepted_node,
         excluded.value, excluded.checksum)
      WHERE (excluded.promised_counter, excluded.promised_node, excluded.accepted_counter, excluded.accepted_node) >
        (promised_counter, promised_node, accepted_counter, accepted_node)`,
  );
  let count = 0;
  for (const row of database.prepare("SELECT * FROM registers_damaged NOT INDEXED").iterate()) {
    const cells = wholeCells(row);
    if (!cells) continue;
    const [name, ...rest] = cells;
    count += Number(put.run(bytesOf(row["name"]), ...rest, cellsChecksum(cells), slotOf(name)).changes);
  }
  return count;
}

function takeNames(database: DatabaseSync): number {
  const put = database.prepare(
    `INSERT INTO registers (name, promised_counter, promised_node, accepted_counter, accepted_node, value, checksum, slot)
      VALUES (?, 0, '', 0, '', '', ${LOST}, ?) ON CONFLICT DO NOTHING`,
  );
  let count = 0;
  const entries = database.prepare(
    "SELECT slot, name AS entry FROM registers_damaged INDEXED BY registers_slot",
  );
  for (const entry of entries.iterate()) {
    if (fits(entry)) count += Number(put.run(bytesOf(entry["entry"]), entry["slot"]!).changes);
  }
  return count;
}
