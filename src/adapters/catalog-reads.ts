/** What is asked of the catalog's SQLite, synchronously, in one of its threads. */
import { Buffer } from "node:buffer";
import type { DatabaseSync, SQLOutputValue, StatementSync } from "node:sqlite";
import type { ChunkId } from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import { AtollError } from "../errors.ts";
import type { ScanRange } from "../ports.ts";
import { cellsChecksum, damagedRow, type RegisterCells } from "./catalog-cells.ts";
import type { CatalogExchanges, FloorCells, Question } from "./catalog-messages.ts";
import { stretchesOf } from "./catalog-ranges.ts";

const ROW = "name, promised_counter, promised_node, accepted_counter, accepted_node, value, checksum";
type SqlRow = Record<string, SQLOutputValue>;

export class CatalogReads {
  readonly #sql: ReturnType<typeof statements>;

  constructor(database: DatabaseSync) {
    this.#sql = statements(database);
  }

  /** Throws what SQLite throws, and `damaged`. */
  answer(question: Exclude<Question, Question<"commit" | "close">>): unknown {
    switch (question.type) {
      case "register":
        return this.#register(question.name);
      case "scan":
        return this.#scan(question.range);
      case "slot-rows":
        return this.#slotRows(question);
      case "chunk":
        return this.#chunk(question.chunk);
      case "has-chunks":
        return question.chunks.map((id) => this.#sql.hasChunk.get(chunkKey(id)) !== undefined);
      case "list-chunks":
        return this.#sql.listChunks.all(chunkKey(question.after), question.limit)
          .map((row) => [idOf(row["id"]), Number(row["size"])]);
      case "incomplete":
        return this.#sql.incomplete.all(question.limit)
          .map((row) => [textOf(row["name"]), Number(row["version"])]);
      case "owed-to": {
        const sql = question.what === "chunks" ? this.#sql.owedChunksTo : this.#sql.owedChangesTo;
        return sql.all(question.node, question.limit).map((row) => [textOf(row["name"]), idOf(row["chunk"])]);
      }
      case "owed-counts":
        return this.#sql.owedCounts.all()
          .map((row) => [String(row["node"]), Number(row["changes"]), Number(row["chunks"])]);
      case "are-owed":
        return question.chunks.map((id) => this.#sql.isOwed.get(chunkKey(id)) !== undefined);
      case "changed-slots":
        return this.#sql.changedSlots.all(question.limit)
          .map((row) => [Number(row["slot"]), Number(row["turn"])]);
      case "digests":
        return this.#sql.digests.all().map((row) => [Number(row["slot"]), String(row["digest"])]);
      case "floors":
        return this.#sql.floors.all().map(floorOf);
      case "document": {
        const row = this.#sql.document.get(Buffer.from(question.key));
        return row && textOf(row["text"]);
      }
    }
  }

  #register(name: Name): RegisterCells | undefined {
    const row = this.#sql.register.get(Buffer.from(name));
    return row && cellsOf(row);
  }

  #scan(range: ScanRange): RegisterCells[] {
    const rows: RegisterCells[] = [];
    for (const { from, to } of stretchesOf(range)) {
      const left = range.limit - rows.length;
      if (left <= 0) break;
      const found = to ? this.#sql.scanTo.all(from, to, left) : this.#sql.scanOn.all(from, left);
      for (const row of found) rows.push(cellsOf(row));
    }
    return rows;
  }

  #slotRows({ slot, after, limit, end }: CatalogExchanges["slot-rows"]["asks"]): RegisterCells[] {
    return this.#sql.slotRows.all(slot, Buffer.from(after), end, limit).map(cellsOf);
  }

  #chunk(id: ChunkId): ArrayBuffer | undefined {
    const row = this.#sql.chunk.get(chunkKey(id));
    return row && bareBuffer(bytesOf(row["bytes"]));
  }
}

function statements(database: DatabaseSync) {
  const prepare = (sql: string): StatementSync => database.prepare(sql);
  const scan = (upTo: string) =>
    `SELECT ${ROW} FROM registers WHERE name >= ? ${upTo} AND value IS NOT NULL ORDER BY name LIMIT ?`;
  const owedTo = (length: string) =>
    `SELECT name, chunk FROM owed WHERE node = ? AND length(chunk) ${length} ORDER BY turn LIMIT ?`;
  return {
    register: prepare(`SELECT ${ROW} FROM registers WHERE name = ?`),
    scanTo: prepare(scan("AND name < ?")),
    scanOn: prepare(scan("")),
    slotRows: prepare(
      `SELECT ${ROW} FROM registers INDEXED BY registers_slot
        WHERE (slot, name) > (?, ?) AND slot < ? ORDER BY slot, name LIMIT ?`,
    ),
    chunk: prepare("SELECT bytes FROM chunks WHERE id = ?"),
    hasChunk: prepare("SELECT 1 FROM chunks WHERE id = ?"),
    listChunks: prepare("SELECT id, length(bytes) AS size FROM chunks WHERE id > ? ORDER BY id LIMIT ?"),
    incomplete: prepare("SELECT name, version FROM incomplete ORDER BY turn LIMIT ?"),
    owedChangesTo: prepare(owedTo("= 0")),
    owedChunksTo: prepare(owedTo("> 0")),
    owedCounts: prepare(
      "SELECT node, sum(length(chunk) = 0) AS changes, sum(length(chunk) > 0) AS chunks FROM owed GROUP BY node",
    ),
    isOwed: prepare("SELECT 1 FROM owed WHERE chunk = ? AND length(chunk) > 0"),
    changedSlots: prepare("SELECT slot, turn FROM slots WHERE digested IS NOT turn ORDER BY turn LIMIT ?"),
    digests: prepare("SELECT slot, digest FROM slots WHERE digest IS NOT NULL AND digest <> ''"),
    floors: prepare("SELECT slot, version, promised_counter, promised_node FROM floors"),
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

function floorOf(row: SqlRow): FloorCells {
  return [
    Number(row["slot"]),
    Number(row["version"]),
    Number(row["promised_counter"]),
    String(row["promised_node"]),
  ];
}

export function chunkKey(id: ChunkId): Uint8Array {
  return Buffer.from(id, "hex");
}

function idOf(value: SQLOutputValue | undefined): ChunkId {
  return Buffer.from(bytesOf(value)).toString("hex");
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
