/**
 * A thread that does one kind of work beside the event loop: the near end, which asks, and the far end, which answers.
 *
 * The module of the work starts its own thread, found by its own address. A bundle of one file carries that module a second
 * time, on its own and as text: at the bundle's address the thread would load, and keep in memory, all the rest as well.
 * Only plain values, text and bare buffers cross: see catalog-messages.ts.
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { AtollError, type ErrorCode, isAtollError, messageOf } from "../errors.ts";

/** Questions are small and the bytes they speak of lie outside the heap: see short-lived-buffers.ts. */
const YOUNG_GENERATION_MB = 1;

interface Fault {
  readonly code: ErrorCode;
  readonly message: string;
}

interface Answer {
  readonly number: number;
  readonly value?: unknown;
  readonly fault?: Fault;
}

export interface WorkThreadOptions {
  /** What the thread is for; its far end looks for it. */
  readonly role: string;
  /** The module that serves it. */
  readonly module: string;
  /** That module as one piece of JavaScript, where the build has put it. */
  readonly bundled: string | undefined;
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: AtollError) => void;
}

/** Started when first asked, and again after it has died. It keeps the process alive while it is asked something, no longer. */
export class WorkThread<Question extends object, Value> {
  readonly #options: WorkThreadOptions;
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | undefined;
  #last = 0;

  constructor(options: WorkThreadOptions) {
    this.#options = options;
  }

  /** Whoever asks sees to it that few wait at a time. Rejects with the fault that was named; `internal` when the thread dies. */
  ask(question: Question, transfers: readonly ArrayBuffer[] = []): Promise<Value> {
    const worker = this.#worker ??= this.#start();
    const number = ++this.#last;
    return new Promise<Value>((resolve, reject) => {
      if (this.#pending.size === 0) worker.ref();
      this.#pending.set(number, { resolve: (value) => resolve(value as Value), reject });
      worker.postMessage({ number, question }, transfers);
    });
  }

  /** Said without an answer; a thread that is not there has nothing to do about it. */
  tell(question: Question): void {
    this.#worker?.postMessage({ number: 0, question });
  }

  #start(): Worker {
    const { role, module, bundled } = this.#options;
    const url = bundled === undefined ? module : `data:text/javascript,${encodeURIComponent(bundled)}`;
    const worker = new Worker(new URL(url), {
      workerData: { role },
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    });
    worker.unref();
    worker.on("message", (answer: Answer) => this.#answered(worker, answer));
    worker.on(
      "messageerror",
      (error) => this.#died(worker, `it said what cannot be read: ${messageOf(error)}`),
    );
    worker.on("error", (error) => this.#died(worker, messageOf(error)));
    worker.on("exit", (code) => this.#died(worker, `it ended with code ${code}`));
    return worker;
  }

  #answered(worker: Worker, { number, value, fault }: Answer): void {
    const pending = this.#pending.get(number);
    this.#pending.delete(number);
    if (this.#pending.size === 0) worker.unref();
    if (fault) pending?.reject(new AtollError(fault.code, fault.message));
    else pending?.resolve(value);
  }

  #died(worker: Worker, why: string): void {
    if (worker !== this.#worker) return;
    this.#worker = undefined;
    const fault = new AtollError("internal", `wanted an answer of the thread ${this.#options.role}: ${why}`);
    for (const pending of this.#pending.values()) pending.reject(fault);
    this.#pending.clear();
    void worker.terminate();
  }
}

/** The far end: serves if this is the thread of that role. Answers come in the order in which `answer` has them. */
export function serveWork(role: string, answer: (question: never) => unknown): void {
  if (isMainThread || !parentPort || !isOf(role, workerData)) return;
  const port = parentPort;
  const say = (said: Answer): void => {
    if (said.number > 0) port.postMessage(said);
  };
  port.on("message", ({ number, question }: { number: number; question: never }) => {
    try {
      const value = answer(question);
      if (!(value instanceof Promise)) return say({ number, value });
      value.then((later: unknown) => say({ number, value: later }), (error: unknown) => {
        say({ number, fault: faultOf(error) });
      });
    } catch (error) {
      say({ number, fault: faultOf(error) });
    }
  });
}

function isOf(role: string, data: unknown): boolean {
  return typeof data === "object" && data !== null && "role" in data && data.role === role;
}

function faultOf(error: unknown): Fault {
  return isAtollError(error)
    ? { code: error.code, message: error.message }
    : { code: "internal", message: messageOf(error) };
}

/** Bytes as they cross: memory that both ends see, or a copy. */
export interface CrossingBytes {
  readonly buffer: ArrayBufferLike;
  readonly from: number;
  readonly length: number;
}

/** Nobody may change shared bytes before the answer. `transfers`: what goes over and is no longer here. */
export function crossing(bytes: Uint8Array): { bytes: CrossingBytes; transfers: ArrayBuffer[] } {
  const { buffer, byteOffset: from, length } = bytes;
  if (buffer instanceof SharedArrayBuffer) return { bytes: { buffer, from, length }, transfers: [] };
  const copy = bytes.slice().buffer;
  return { bytes: { buffer: copy, from: 0, length }, transfers: [copy] };
}

export function crossed({ buffer, from, length }: CrossingBytes): Uint8Array {
  return new Uint8Array(buffer, from, length);
}
