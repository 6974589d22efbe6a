/** The catalog in SQLite, seen from the main thread: it packs questions, and waits. */
import type { Worker } from "node:worker_threads";
import { AtollError, messageOf } from "../errors.ts";
import type { Catalog, CatalogChange } from "../ports.ts";
import type {
  Answer,
  CatalogExchanges,
  ChangeCells,
  Gets,
  Opened,
  Question,
  QuestionType,
} from "./catalog-messages.ts";
import { fromCells, toCells } from "./catalog-rows.ts";
import { spawnCatalogWorker } from "./catalog-worker.ts";

/** Questions that may wait for answers; one more is `overloaded`, so that a stalled disk cannot fill the memory. */
const PENDING_MAX = 16_384;

interface Pending {
  resolve(value: unknown): void;
  reject(error: AtollError): void;
}

/**
 * Opens the catalog, making it if there is none. One process at a time may have it open: the data directory's lock sees
 * to that. Rejects with `data-dir` for a file of a newer version, or that is no catalog; with `storage-full`.
 */
export async function openSqliteCatalog(
  options: {
    path: string;
    /** Bound of the database file; beyond it commits reject with `storage-full`. */
    maxBytes?: number;
  },
): Promise<Catalog> {
  const worker = spawnCatalogWorker(options);
  try {
    await opened(worker);
  } catch (error) {
    await worker.terminate();
    throw error;
  }
  return new SqliteCatalog(worker);
}

function opened(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    const died = (why: string) =>
      reject(new AtollError("internal", `wanted to start the catalog's thread: ${why}`));
    worker.once("message", ({ fault }: Opened) => {
      if (fault) reject(new AtollError(fault.code, fault.message));
      else resolve();
    });
    worker.once("error", (error) => died(messageOf(error)));
    worker.once("exit", (code) => died(`it ended with code ${code}`));
  });
}

class SqliteCatalog implements Catalog {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #outbox: Question[] = [];
  #transfers: ArrayBuffer[] = [];
  #over: AtollError | undefined;
  #closed: Promise<void> | undefined;

  constructor(worker: Worker) {
    this.#worker = worker;
    worker.on("message", (answers: Answer[]) => this.#answered(answers));
    worker.on("messageerror", (error) => this.#end(`it said what cannot be read: ${messageOf(error)}`));
    worker.on("error", (error) => this.#end(messageOf(error)));
    worker.on("exit", (code) => this.#end(`it ended with code ${code}`));
  }

  async commit(change: CatalogChange): Promise<void> {
    const transfers: ArrayBuffer[] = [];
    await this.#ask("commit", { change: changeCells(change, transfers) }, transfers);
  }

  async deleteChunk(id: string): Promise<void> {
    const change: ChangeCells = {
      registers: [],
      chunks: [],
      deletedChunks: [id],
      incomplete: [],
      documents: [],
    };
    await this.#ask("commit", { change });
  }

  async register(name: string): ReturnType<Catalog["register"]> {
    const cells = await this.#ask("register", { name });
    return cells && fromCells(cells).state;
  }

  async scan(range: Parameters<Catalog["scan"]>[0]): ReturnType<Catalog["scan"]> {
    return (await this.#ask("scan", { range })).map(fromCells);
  }

  async chunk(id: string): Promise<Uint8Array | undefined> {
    const bytes = await this.#ask("chunk", { chunk: id });
    return bytes && new Uint8Array(bytes);
  }

  hasChunks(ids: readonly string[]): Promise<boolean[]> {
    return this.#ask("has-chunks", { chunks: ids });
  }

  async incomplete(limit: number): ReturnType<Catalog["incomplete"]> {
    return (await this.#ask("incomplete", { limit })).map(([name, version]) => ({ name, version }));
  }

  document(key: string): Promise<string | undefined> {
    return this.#ask("document", { key });
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    // The worker takes questions in order, so this one is answered after all before it.
    const answered = this.#over ? undefined : this.#ask("close", {});
    this.#over ??= new AtollError("internal", "wanted an open catalog, got one that was closed");
    try {
      await answered;
    } finally {
      await this.#worker.terminate();
    }
  }

  #ask<T extends QuestionType>(
    type: T,
    asks: CatalogExchanges[T]["asks"],
    transfers: ArrayBuffer[] = [],
  ): Promise<Gets<T>> {
    if (this.#over) return Promise.reject(this.#over);
    if (this.#pending.size >= PENDING_MAX && type !== "close") {
      const message = `wanted fewer than ${PENDING_MAX} questions waiting for the catalog, got one more`;
      return Promise.reject(new AtollError("overloaded", message));
    }
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve: resolve as Pending["resolve"], reject });
      // All that is asked in one go crosses in one message: messages are what costs.
      if (this.#outbox.length === 0) queueMicrotask(() => this.#send());
      this.#outbox.push({ id, type, ...asks as object } as Question);
      this.#transfers.push(...transfers);
    });
  }

  #send(): void {
    const questions = this.#outbox;
    const transfers = this.#transfers;
    this.#outbox = [];
    this.#transfers = [];
    this.#worker.postMessage(questions, transfers);
  }

  #answered(answers: readonly Answer[]): void {
    for (const { id, value, fault } of answers) {
      const pending = this.#pending.get(id);
      this.#pending.delete(id);
      if (fault) pending?.reject(new AtollError(fault.code, fault.message));
      else pending?.resolve(value);
    }
  }

  #end(why: string): void {
    this.#over ??= new AtollError("internal", `wanted an answer of the catalog's thread: ${why}`);
    for (const { reject } of this.#pending.values()) reject(this.#over);
    this.#pending.clear();
  }
}

function changeCells(change: CatalogChange, transfers: ArrayBuffer[]): ChangeCells {
  return {
    registers: change.registers?.map(toCells) ?? [],
    chunks: change.chunks?.map(({ id, bytes }) => {
      // A copy, which may be transferred: the caller's own bytes may share their buffer with others' (a Buffer's pool).
      const { buffer } = new Uint8Array(bytes);
      transfers.push(buffer);
      return [id, buffer];
    }) ?? [],
    deletedChunks: [],
    incomplete: change.incomplete?.map(({ name, version }) => [name, version]) ?? [],
    documents: change.documents?.map(({ key, text }) => [key, text]) ?? [],
  };
}
