/**
 * The catalog in SQLite: one thread that commits, another that reads.
 *
 * In WAL mode readers do not wait for the writer, and a read that begins after a commit was answered sees it. With one
 * thread every read would stand behind the sync of whatever is being committed.
 */
import type { ChunkId } from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import type { AcceptorState, Floor } from "../core/register.ts";
import type { Catalog, CatalogChange, Owed, RegisterRow, ScanRange, StoredChunk } from "../ports.ts";
import { Contradiction } from "./catalog-cells.ts";
import {
  type CatalogExchanges,
  type ChangeCells,
  type Gets,
  type Mended,
  NO_CHANGE,
} from "./catalog-messages.ts";
import { fromCells, toCells } from "./catalog-rows.ts";
import { type CatalogThread, startCatalogThread } from "./catalog-thread.ts";
import { notePassedBytes } from "./short-lived-buffers.ts";

/**
 * Opens the catalog, making it if there is none. One process at a time may have it open: the data directory's lock sees
 * to that. Rejects with `data-dir` for a file of a newer version, or that is no catalog; with `storage-full`.
 */
export async function openSqliteCatalog(
  options: {
    path: string;
    /** Bound of the database file; beyond it commits reject with `storage-full`. */
    maxBytes?: number;
    /** Registers and their index contradicted each other, and were made anew: see catalog-mend.ts. */
    onMended?: (mended: Mended) => void;
  },
): Promise<Catalog> {
  const { onMended, ...where } = options;
  const writer = await startCatalogThread({ ...where, access: "write" });
  if (onMended) writer.onMended = onMended;
  try {
    return new SqliteCatalog(writer, await startCatalogThread({ ...where, access: "read" }));
  } catch (error) {
    await writer.close();
    throw error;
  }
}

class SqliteCatalog implements Catalog {
  readonly #writer: CatalogThread;
  readonly #reader: CatalogThread;
  #mending: Promise<boolean> | undefined;
  #mends = 0;

  constructor(writer: CatalogThread, reader: CatalogThread) {
    this.#writer = writer;
    this.#reader = reader;
  }

  async commit(change: CatalogChange): Promise<void> {
    const transfers: ArrayBuffer[] = [];
    await this.#writer.ask("commit", { change: changeCells(change, transfers) }, transfers);
  }

  async deleteChunk(id: ChunkId): Promise<void> {
    await this.#writer.ask("commit", { change: { ...NO_CHANGE, deletedChunks: [id] } });
  }

  async register(name: Name): Promise<AcceptorState | undefined> {
    const cells = await this.#registers("register", { name });
    return cells && fromCells(cells).state;
  }

  async scan(range: ScanRange, thorough = false): Promise<RegisterRow[]> {
    return (await this.#registers("scan", { range, thorough })).map(fromCells);
  }

  async chunk(id: ChunkId): Promise<Uint8Array | undefined> {
    const bytes = await this.#reader.ask("chunk", { chunk: id });
    if (!bytes) return undefined;
    notePassedBytes(bytes.byteLength);
    return new Uint8Array(bytes);
  }

  hasChunks(ids: readonly ChunkId[]): Promise<boolean[]> {
    return this.#reader.ask("has-chunks", { chunks: ids });
  }

  async incomplete(limit: number): Promise<{ name: Name; version: number }[]> {
    return (await this.#reader.ask("incomplete", { limit })).map(([name, version]) => ({ name, version }));
  }

  async listChunks(after: ChunkId, limit: number): Promise<StoredChunk[]> {
    const chunks = await this.#reader.ask("list-chunks", { after, limit });
    return chunks.map(([id, sizeBytes]) => ({ id, sizeBytes }));
  }

  async owedTo(node: string, what: "changes" | "chunks", limit: number): Promise<Owed[]> {
    const entries = await this.#reader.ask("owed-to", { node, what, limit });
    return entries.map(([name, chunk]) => ({ node, name, ...(chunk !== "" && { chunk }) }));
  }

  async owedCounts(): Promise<{ node: string; changes: number; chunks: number }[]> {
    const counts = await this.#reader.ask("owed-counts", {});
    return counts.map(([node, changes, chunks]) => ({ node, changes, chunks }));
  }

  areOwed(ids: readonly ChunkId[]): Promise<boolean[]> {
    return this.#reader.ask("are-owed", { chunks: ids });
  }

  async slotRows(slot: number, after: Name, limit: number, end = slot + 1): Promise<RegisterRow[]> {
    return (await this.#registers("slot-rows", { slot, after, limit, end })).map(fromCells);
  }

  async changedSlots(limit: number): Promise<{ slot: number; turn: number }[]> {
    return (await this.#reader.ask("changed-slots", { limit })).map(([slot, turn]) => ({ slot, turn }));
  }

  async digests(): Promise<{ slot: number; digest: string }[]> {
    return (await this.#reader.ask("digests", {})).map(([slot, digest]) => ({ slot, digest }));
  }

  async floors(): Promise<{ slot: number; floor: Floor }[]> {
    return (await this.#reader.ask("floors", {})).map(([slot, version, counter, node]) => ({
      slot,
      floor: { version, promised: { counter, node } },
    }));
  }

  document(key: string): Promise<string | undefined> {
    return this.#reader.ask("document", { key });
  }

  async close(): Promise<void> {
    // The writer lets go last: only it may fold the log into the database.
    await this.#writer.close(this.#reader.close());
  }

  /** Once more after a mend, which leaves only damage that is to be fetched from others. */
  async #registers<T extends "register" | "scan" | "slot-rows">(
    type: T,
    asks: CatalogExchanges[T]["asks"],
  ): Promise<Gets<T>> {
    const before = this.#mends;
    try {
      return await this.#reader.ask(type, asks);
    } catch (error) {
      if (!(error instanceof Contradiction)) throw error;
      // What could not be mended is damaged as it is.
      if (this.#mends === before && !await this.#mend()) throw error;
      return await this.#reader.ask(type, asks);
    }
  }

  /** One for all who met the same damage; false when it failed. */
  #mend(): Promise<boolean> {
    this.#mending ??= this.#writer.ask("mend", {}).then(() => {
      this.#mends++;
      return true;
    }, () => false).finally(() => (this.#mending = undefined));
    return this.#mending;
  }
}

function changeCells(change: CatalogChange, transfers: ArrayBuffer[]): ChangeCells {
  return {
    ...NO_CHANGE,
    registers: change.registers?.map(toCells) ?? [],
    chunks: change.chunks?.map(({ id, bytes }) => {
      // A copy, which may be transferred: the caller's own bytes may share their buffer with others' (a Buffer's pool).
      const { buffer } = new Uint8Array(bytes);
      notePassedBytes(2 * bytes.length); // what came, and the copy
      transfers.push(buffer);
      return [id, buffer];
    }) ?? [],
    incomplete: change.incomplete?.map(({ name, version }) => [name, version]) ?? [],
    documents: change.documents?.map(({ key, text }) => [key, text]) ?? [],
    forgotten: change.forgotten ?? [],
    floors: change.floors?.map((
      { slot, floor: { version, promised } },
    ) => [slot, version, promised.counter, promised.node]) ?? [],
    owed: change.owed?.map(({ node, name, chunk, settled }) => [node, name, chunk ?? "", settled]) ?? [],
    digests: change.digests?.map(({ slot, digest, turn }) => [slot, digest, turn]) ?? [],
  };
}
