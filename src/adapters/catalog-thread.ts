/** The near end of a catalog thread: it packs questions, hands out answers, and says so when the thread is gone. */
import { setImmediate } from "node:timers";
import type { Worker } from "node:worker_threads";
import { AtollError, DamagedRegister, messageOf } from "../errors.ts";
import { Contradiction } from "./catalog-cells.ts";
import type {
  Answer,
  CatalogExchanges,
  CatalogWorkerOptions,
  Fault,
  Gets,
  Mended,
  Notice,
  Opened,
  Question,
  QuestionType,
} from "./catalog-messages.ts";
import { spawnCatalogWorker } from "./catalog-worker.ts";

/** Questions that may wait for answers; one more is `overloaded`, so that a stalled disk cannot fill the memory. */
const PENDING_MAX = 16_384;

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: AtollError) => void;
}

/** Resolves when the thread has the database open; rejects with why it has not. */
export async function startCatalogThread(options: CatalogWorkerOptions): Promise<CatalogThread> {
  const worker = spawnCatalogWorker(options);
  try {
    await opened(worker);
  } catch (error) {
    await worker.terminate();
    throw error;
  }
  return new CatalogThread(worker);
}

function opened(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    const died = (why: string) =>
      reject(new AtollError("internal", `wanted to start a catalog thread: ${why}`));
    worker.once("message", ({ fault }: Opened) => {
      if (fault) reject(new AtollError(fault.code, fault.message));
      else resolve();
    });
    worker.once("error", (error) => died(messageOf(error)));
    worker.once("exit", (code) => died(`it ended with code ${code}`));
  });
}

export class CatalogThread {
  /** Told when the registers were made anew, asked for or not. */
  onMended: (mended: Mended) => void = () => {};
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #outbox: Question[] = [];
  #transfers: ArrayBuffer[] = [];
  #over: AtollError | undefined;
  #dead = false;
  #closed: Promise<void> | undefined;

  /** A worker that has said it is open. */
  constructor(worker: Worker) {
    this.#worker = worker;
    worker.on("message", (said: Answer[] | Notice) => {
      if ("mended" in said) this.onMended(said.mended);
      else this.#answered(said);
    });
    worker.on("messageerror", (error) => this.#end(`it said what cannot be read: ${messageOf(error)}`));
    worker.on("error", (error) => this.#end(messageOf(error)));
    worker.on("exit", (code) => this.#end(`it ended with code ${code}`));
  }

  /** Rejects with the fault the thread named; `internal` once it has died or was closed. */
  ask<T extends QuestionType>(
    type: T,
    asks: CatalogExchanges[T]["asks"],
    transfers: ArrayBuffer[] = [],
  ): Promise<Gets<T>> {
    if (this.#over) return Promise.reject(this.#over);
    if (this.#pending.size >= PENDING_MAX) {
      const message = `wanted fewer than ${PENDING_MAX} questions waiting for the catalog, got one more`;
      return Promise.reject(new AtollError("overloaded", message));
    }
    return this.#post(type, asks, transfers);
  }

  /** Refuses questions from now on, waits for those asked before and for `others`, then ends the thread. */
  close(others?: Promise<void>): Promise<void> {
    this.#closed ??= this.#close(others);
    return this.#closed;
  }

  async #close(others: Promise<void> | undefined): Promise<void> {
    this.#over ??= new AtollError("internal", "wanted an open catalog, got one that was closed");
    try {
      await others;
      if (!this.#dead) await this.#post("close", {});
    } finally {
      await this.#worker.terminate();
    }
  }

  #post<T extends QuestionType>(
    type: T,
    asks: CatalogExchanges[T]["asks"],
    transfers: ArrayBuffer[] = [],
  ): Promise<Gets<T>> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve: (value) => resolve(value as Gets<T>), reject });
      // All that is asked in one turn of the event loop crosses in one message: messages, which wake a thread, are what costs.
      if (this.#outbox.length === 0) setImmediate(() => this.#send());
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
      if (fault) pending?.reject(errorOf(fault));
      else pending?.resolve(value);
    }
  }

  #end(why: string): void {
    this.#dead = true;
    const over = this.#over ??= new AtollError("internal", `wanted an answer of a catalog thread: ${why}`);
    for (const pending of this.#pending.values()) pending.reject(over);
    this.#pending.clear();
  }
}

function errorOf({ code, message, register, contradicts }: Fault): AtollError {
  if (register === undefined) return new AtollError(code, message);
  return contradicts === true ? new Contradiction(register, message) : new DamagedRegister(register, message);
}
