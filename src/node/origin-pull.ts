/**
 * One answer on its way from an origin: stored while it comes, and passed on to all who wait for it. Reading goes at the
 * pace of storing. A client that is slower is not waited for: once its share of memory is full it goes on from what was
 * stored. Where nothing is stored, or storing failed, the slowest client sets the pace.
 */
import type { Manifest } from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import { AtollError } from "../errors.ts";
import type { Copy } from "./origin-copies.ts";
import { defer } from "./waiting.ts";

/** Of one waiting client. */
const QUEUE_BYTES_MAX = 256 << 10;
/** From the beginning on, for those who come later; who comes later still waits until it is stored. */
const REPLAY_BYTES_MAX = 256 << 10;

export interface Stored {
  /** Undefined: it is for those only who wait for it already, as others must not have it any more. */
  readonly copy: Copy | undefined;
  readonly name: Name;
  readonly manifest: Manifest;
}

/** Reads the body to its end, or fails. */
export type Store = (body: AsyncIterable<Uint8Array>) => Promise<Stored>;
/** The rest of what was stored. */
export type Continue = (stored: Stored, from: number) => Promise<AsyncIterable<Uint8Array>>;

export class Pull {
  /** Of whoever asked for it. */
  readonly first: Reader;
  readonly #parts: AsyncIterator<Uint8Array>;
  readonly #continue: Continue;
  readonly #readers = new Set<Reader>();
  readonly #stored = defer<Stored | undefined>();
  /** When nothing of it goes on any more. */
  readonly over: Promise<void>;
  #begun: Uint8Array[] | undefined = [];
  /** Of the body, so far. */
  receivedBytes = 0;
  #storing: boolean;
  #ended = false;
  #fault: { readonly reason: unknown } | undefined;
  #room = defer<void>();

  /** `store` undefined: it is only passed on. */
  constructor(parts: AsyncIterator<Uint8Array>, store: Store | undefined, onward: Continue) {
    this.#parts = parts;
    this.#continue = onward;
    this.#storing = store !== undefined;
    this.first = this.join()!;
    this.over = this.#run(store);
  }

  /** All of it has come, and only storing it is not done yet. */
  get isWhole(): boolean {
    return this.#ended;
  }

  /** It is stored, or will not be. */
  get isStored(): boolean {
    return !this.#storing;
  }

  /** What came of storing it, once that is known; undefined: nothing that others may have. Never rejects. */
  readonly stored: Promise<Copy | undefined> = this.#stored.promise.then((stored) => stored?.copy);

  /** From the first byte on; undefined where that has gone by: then `stored` is to be waited for. */
  join(): Reader | undefined {
    if (!this.#begun) return undefined;
    const reader = new Reader({
      ended: () => this.#ended,
      fault: () => this.#fault,
      mayLag: () => this.#storing,
      rest: async (from) => {
        const stored = await this.#stored.promise;
        if (stored) return await this.#continue(stored, from);
        throw new AtollError(
          "origin-failed",
          "the answer could not be stored, and this reader was slower than it",
        );
      },
      moved: () => this.#room.resolve(),
      left: (leaving) => {
        this.#readers.delete(leaving);
        this.#room.resolve();
      },
    });
    for (const part of this.#begun) reader.offer(part, true);
    this.#readers.add(reader);
    return reader;
  }

  async #run(store: Store | undefined): Promise<void> {
    const stored = store && await store(this.#tee()).catch(() => undefined);
    this.#storing = false;
    this.#begun = undefined;
    this.#stored.resolve(stored);
    // Nobody may wait for what is only passed on: a client that left, or one that had no use for the body.
    while (!this.#ended && this.#fault === undefined && this.#readers.size > 0) {
      while ([...this.#readers].some((reader) => reader.isFull)) {
        this.#room = defer();
        await this.#room.promise;
      }
      await this.#next();
    }
    for (const reader of this.#readers) reader.wake();
    await this.#parts.return?.();
  }

  async *#tee(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const part = await this.#next();
      if (part) yield part;
      else if (this.#fault !== undefined) throw this.#fault.reason;
      else return;
    }
  }

  /** Undefined at the end, also at a bad one. */
  async #next(): Promise<Uint8Array | undefined> {
    try {
      const { done, value } = await this.#parts.next();
      if (done !== true) {
        this.#keep(value);
        for (const reader of this.#readers) reader.offer(value, false);
        return value;
      }
      this.#ended = true;
    } catch (error) {
      this.#fault = { reason: error };
    }
    for (const reader of this.#readers) reader.wake();
    return undefined;
  }

  #keep(part: Uint8Array): void {
    this.receivedBytes += part.length;
    if (!this.#begun || this.receivedBytes > REPLAY_BYTES_MAX) this.#begun = undefined;
    else this.#begun.push(part);
  }
}

interface Source {
  ended(): boolean;
  fault(): { readonly reason: unknown } | undefined;
  mayLag(): boolean;
  rest(from: number): Promise<AsyncIterable<Uint8Array>>;
  moved(): void;
  left(reader: Reader): void;
}

export class Reader {
  readonly #source: Source;
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #takenBytes = 0;
  #isLagging = false;
  #woken = defer<void>();

  constructor(source: Source) {
    this.#source = source;
  }

  get isFull(): boolean {
    return this.#queuedBytes >= QUEUE_BYTES_MAX;
  }

  /** `always`: whatever is queued already. */
  offer(part: Uint8Array, always: boolean): void {
    if (this.#isLagging) return;
    if (!always && this.isFull && this.#source.mayLag()) this.#isLagging = true;
    else {
      this.#queue.push(part);
      this.#queuedBytes += part.length;
    }
    this.wake();
  }

  wake(): void {
    this.#woken.resolve();
  }

  /** It is not read any further, or never was. */
  leave(): void {
    this.#queue.length = 0;
    this.#source.left(this);
  }

  /** All of it, in order, once. */
  async *bytes(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const part = this.#queue.shift();
        if (part) {
          this.#queuedBytes -= part.length;
          this.#takenBytes += part.length;
          this.#source.moved();
          yield part;
          continue;
        }
        if (this.#isLagging) {
          yield* await this.#source.rest(this.#takenBytes);
          return;
        }
        const fault = this.#source.fault();
        if (fault) throw fault.reason;
        if (this.#source.ended()) return;
        this.#woken = defer();
        await this.#woken.promise;
      }
    } finally {
      this.leave();
    }
  }
}
