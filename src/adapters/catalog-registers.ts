/**
 * Reads of registers that do not take a damaged catalog's word for it.
 *
 * A row has a checksum, absence has none: one flipped bit in a key and the row is not found any more, nor perhaps others,
 * where the search was led astray. Two b-trees know every name, the table in order of name and the index in order of slot
 * and name, so absence is believed only as far as both agree:
 *
 * * A name that the table does not find is looked for in the index, and the other way round.
 * * A range is believed only with its neighbours on both sides: a key that was flipped ends a range early, or has the
 *   search step over what comes before it, only from next to it.
 *
 * A row that fails its checksum may have another's name. So what is damaged is first sorted out by `mendRegisters`, and
 * only what that has found to be lost is said to be.
 */
import { Buffer } from "node:buffer";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Name } from "../core/names.ts";
import { slotOf } from "../core/partitions.ts";
import type { ScanRange } from "../ports.ts";
import { cellsChecksum, contradiction, damagedRow, LOST, type RegisterCells } from "./catalog-cells.ts";
import type { CatalogExchanges } from "./catalog-messages.ts";
import { type Stretch, stretchesOf } from "./catalog-ranges.ts";
import { bytesOf, type SqlRow, textOf } from "./catalog-values.ts";

const COLUMNS = [
  "name",
  "promised_counter",
  "promised_node",
  "accepted_counter",
  "accepted_node",
  "value",
  "checksum",
].map((column) => `r.${column}`).join(", ");

export class RegisterReads {
  readonly #sql: ReturnType<typeof statements>;

  constructor(database: DatabaseSync) {
    this.#sql = statements(database);
  }

  /** Throws `DamagedRegister`, as the others do; a `Contradiction` where the registers are to be mended first. */
  register(name: Name): RegisterCells | undefined {
    const bytes = Buffer.from(name);
    const row = this.#sql.register.get(bytes);
    if (row) return believed(row);
    if (this.#sql.witness.get(slotOf(name), bytes)) throw contradiction(name, "only the index knows it");
    return undefined;
  }

  /** `thorough`: rows that the index does not know are found, at twice the cost. */
  scan(range: ScanRange, thorough: boolean): RegisterCells[] {
    const found: RegisterCells[] = [];
    for (const stretch of stretchesOf(range)) {
      if (found.length < range.limit) this.#scan(stretch, range.limit, thorough, found);
    }
    return found;
  }

  slotRows({ slot, after, limit, end }: CatalogExchanges["slot-rows"]["asks"]): RegisterCells[] {
    const { entryUpTo, entryAfter, inSlot, inSlots } = this.#sql;
    const bytes = Buffer.from(after);
    mustFit(entryUpTo.get(slot, bytes));
    const rows = inSlot.all(slot, bytes, limit);
    if (end > slot + 1 && rows.length < limit) rows.push(...inSlots.all(slot, end, limit - rows.length));
    const found = rows.map((row) => {
      mustFit(row);
      if (row["name"] === null) throw contradiction(textOf(row["entry"]), "only the index knows it");
      return believed(row);
    });
    const last = rows.at(-1) ?? { slot, entry: bytes };
    if (rows.length < limit) mustFit(entryAfter.get(last["slot"], last["entry"]));
    return found;
  }

  #scan({ from, to }: Stretch, limit: number, thorough: boolean, found: RegisterCells[]): void {
    const { rowBefore, rowFrom, plain, walk } = this.#sql;
    const sql = thorough ? walk : plain;
    mustHaveItsName(rowBefore.get(from));
    for (let at = from;;) {
      const wanted = limit - found.length;
      const rows = to ? sql.scanTo.all(at, to, wanted) : sql.scanOn.all(at, wanted);
      for (const row of rows) {
        const cells = believed(row);
        if (cells[5] !== null) found.push(cells);
      }
      const last = rows.at(-1);
      // The least name after it.
      if (last) at = Buffer.concat([bytesOf(last["name"]), Buffer.alloc(1)]);
      if (rows.length < wanted) return mustHaveItsName(rowFrom.get(at));
      if (found.length === limit) return;
    }
  }
}

function believed(row: SqlRow): RegisterCells {
  if (row["known"] === null) throw contradiction(textOf(row["name"]), "the index does not know it");
  const cells = wholeCells(row);
  if (cells) return cells;
  const damaged = row["checksum"] === LOST ? damagedRow : contradiction;
  throw damaged(textOf(row["name"]), "its checksum does not match");
}

/** Lost or not, which is for those to say who ask for it. */
function mustHaveItsName(row: SqlRow | undefined): void {
  if (row && row["checksum"] !== LOST) believed(row);
}

/** Undefined for a row whose checksum does not match. */
export function wholeCells(row: SqlRow): RegisterCells | undefined {
  const { value } = row;
  const cells: RegisterCells = [
    textOf(row["name"]),
    Number(row["promised_counter"]),
    String(row["promised_node"]),
    Number(row["accepted_counter"]),
    String(row["accepted_node"]),
    value === null || value === undefined ? null : String(value),
  ];
  return cellsChecksum(cells) === row["checksum"] ? cells : undefined;
}

/** The slot is a checksum of the name, too. */
export function fits(entry: SqlRow): boolean {
  return slotOf(textOf(entry["entry"])) === entry["slot"];
}

function mustFit(entry: SqlRow | undefined): void {
  if (entry && !fits(entry)) {
    throw contradiction(textOf(entry["entry"]), "its slot in the index is another's");
  }
}

function statements(database: DatabaseSync) {
  const prepare = (sql: string): StatementSync => database.prepare(sql);
  const scans = (columns: string, table: string) => ({
    scanTo: prepare(
      `SELECT ${columns} FROM ${table} WHERE r.name >= ? AND r.name < ? ORDER BY r.name LIMIT ?`,
    ),
    scanOn: prepare(`SELECT ${columns} FROM ${table} WHERE r.name >= ? ORDER BY r.name LIMIT ?`),
  });
  const entries = `SELECT i.slot, i.name AS entry, ${COLUMNS}
    FROM registers AS i INDEXED BY registers_slot LEFT JOIN registers AS r ON r.name = i.name`;
  return {
    register: prepare(`SELECT ${COLUMNS} FROM registers AS r WHERE r.name = ?`),
    // In one statement: between two, a commit may have brought it.
    witness: prepare(
      `SELECT 1 FROM registers INDEXED BY registers_slot WHERE slot = ?1 AND name = ?2
        AND NOT EXISTS (SELECT 1 FROM registers AS r WHERE r.name = ?2)`,
    ),
    plain: scans(COLUMNS, "registers AS r"),
    walk: scans(
      `${COLUMNS}, i.slot AS known`,
      `registers AS r LEFT JOIN registers AS i INDEXED BY registers_slot ON i.slot = r.slot AND i.name = r.name`,
    ),
    rowBefore: prepare(
      `SELECT ${COLUMNS} FROM registers AS r WHERE r.name < ? ORDER BY r.name DESC LIMIT 1`,
    ),
    rowFrom: prepare(`SELECT ${COLUMNS} FROM registers AS r WHERE r.name >= ? ORDER BY r.name LIMIT 1`),
    // Not one with (slot, name) > (?, ?), which SQLite asks of every entry: it would pass over a wrong one in silence.
    inSlot: prepare(`${entries} WHERE i.slot = ? AND i.name > ? ORDER BY i.slot, i.name LIMIT ?`),
    inSlots: prepare(`${entries} WHERE i.slot > ? AND i.slot < ? ORDER BY i.slot, i.name LIMIT ?`),
    entryUpTo: prepare(
      `SELECT slot, name AS entry FROM registers INDEXED BY registers_slot
        WHERE (slot, name) <= (?, ?) ORDER BY slot DESC, name DESC LIMIT 1`,
    ),
    entryAfter: prepare(
      `SELECT slot, name AS entry FROM registers INDEXED BY registers_slot
        WHERE (slot, name) > (?, ?) ORDER BY slot, name LIMIT 1`,
    ),
  };
}
