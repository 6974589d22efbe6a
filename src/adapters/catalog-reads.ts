/** What is asked of the catalog's SQLite, synchronously, in one of its threads. */
import { Buffer } from "node:buffer";
import type { DatabaseSync, SQLOutputValue, StatementSync } from "node:sqlite";
import type { ChunkId } from "../core/manifest.ts";
import { damagedDocument, documentChecksum } from "./catalog-cells.ts";
import type { FloorCells, Question } from "./catalog-messages.ts";
import { RegisterReads } from "./catalog-registers.ts";
import { bytesOf, type SqlRow, textOf } from "./catalog-values.ts";

export type ReadQuestion = Exclude<Question, Question<"commit" | "mend" | "close">>;

export class CatalogReads {
  readonly #sql: ReturnType<typeof statements>;
  readonly #registers: RegisterReads;

  constructor(database: DatabaseSync) {
    this.#sql = statements(database);
    this.#registers = new RegisterReads(database);
  }

  /** Throws what SQLite throws, and `damaged`. */
  answer(question: ReadQuestion): unknown {
    switch (question.type) {
      case "register":
        return this.#registers.register(question.name);
      case "scan":
        return this.#registers.scan(question.range, question.thorough);
      case "slot-rows":
        return this.#registers.slotRows(question);
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
      case "document":
        return this.#document(question.key);
    }
  }

  /** One that is not found may lie there under a key that was damaged: there are few, so all are looked at. */
  #document(key: string): string | undefined {
    const row = this.#sql.document.get(Buffer.from(key));
    if (row) return documentText(row);
    for (const other of this.#sql.documents.all()) documentText(other);
    return undefined;
  }

  #chunk(id: ChunkId): ArrayBuffer | undefined {
    const row = this.#sql.chunk.get(chunkKey(id));
    return row && bareBuffer(bytesOf(row["bytes"]));
  }
}

function statements(database: DatabaseSync) {
  const prepare = (sql: string): StatementSync => database.prepare(sql);
  const owedTo = (length: string) =>
    `SELECT name, chunk FROM owed WHERE node = ? AND length(chunk) ${length} ORDER BY turn LIMIT ?`;
  return {
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
    document: prepare("SELECT key, text, checksum FROM documents WHERE key = ?"),
    documents: prepare("SELECT key, text, checksum FROM documents"),
  };
}

function documentText(row: SqlRow): string {
  const [key, text] = [bytesOf(row["key"]), bytesOf(row["text"])];
  const checksum = row["checksum"];
  if (checksum !== null && checksum !== documentChecksum(key, text)) throw damagedDocument(textOf(key));
  return textOf(text);
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

function bareBuffer(bytes: Uint8Array): ArrayBuffer {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer && buffer.byteLength === bytes.length
    ? buffer
    : new Uint8Array(bytes).buffer;
}
