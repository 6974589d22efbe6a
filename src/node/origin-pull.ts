/**
 * One answer on its way from an origin: stored while it comes, and passed on to all who wait for it. Where it is sure to be
 * stored if nothing fails, reading goes at the pace of storing, and a client that is slower is not waited for: once its share
 * of memory is full it goes on from what was stored. Where it may turn out to be too much, or nothing is stored, or storing
 * failed, the slowest client sets the pace, as nobody could give it what it left out.
 */
import { AtollError } from "../errors.ts";
import type { Clock } from "../ports.ts";
import type { Copy } from "./origin-copies.ts";
import { defer, within } from "./waiting.ts";

/** Of one waiting client. */
const QUEUE_BYTES_MAX = 256 << 10;
/** From the beginning on, for those who come later; who comes later still waits until it is stored, or held up. */
const REPLAY_BYTES_MAX = 256 << 10;
/** Ms that storing waits for clients, of all its time, until others need no longer wait for it. */
const HELD_UP_MS = 5_000;
/** Ms that it waits within so many bytes, until it is given up: the memory that it holds meanwhile is others', too. */
const PATIENCE_MS = 20_000;
const PATIENCE_BYTES = 1 << 20;

export interface Kept {
  /** Undefined: overtaken, it is not what stands there. */
  readonly copy: Copy | undefined;
  /** From that byte on, to the end. */
  readonly open: (from: number) => Promise<AsyncIterable<Uint8Array>>;
}

/** Reads the body to its end, or fails; undefined: it was not stored. */
export type Store = (body: AsyncIterable<Uint8Array>) => Promise<Kept | undefined>;

export interface PullDeps {
  readonly clock: Clock;
  /** Undefined: it is only passed on. */
  readonly store: Store | undefined;
  /** It is known to be no more than may be stored. */
  readonly isSure: boolean;
}

export class Pull {
  /** Of whoever asked for it. */
  readonly first: Reader;
  readonly #parts: AsyncIterator<Uint8Array>;
  readonly #deps: PullDeps;
  readonly #readers = new Set<Reader>();
  readonly #kept = defer<Kept | undefined>();
  readonly #heldUp = defer<undefined>();
  /** When nothing of it goes on any more. */
  readonly over: Promise<void>;
  #begun: Uint8Array[] | undefined = [];
  /** Of the body, so far. */
  receivedBytes = 0;
  #storing: boolean;
  #ended = false;
  #fault: { readonly reason: unknown } | undefined;
  #room = defer<void>();

  constructor(parts: AsyncIterator<Uint8Array>, deps: PullDeps) {
    this.#parts = parts;
    this.#deps = deps;
    this.#storing = deps.store !== undefined;
    this.first = this.join()!;
    this.over = this.#run(deps.store);
  }

  /** All of it has come, and only storing it is not done yet. */
  get isWhole(): boolean {
    return this.#ended;
  }

  /** It is stored, or will not be. */
  get isStored(): boolean {
    return !this.#storing;
  }

  /** What came of storing it, once that is known; undefined: nothing. Never rejects. */
  get stored(): Promise<Copy | undefined> {
    return this.#kept.promise.then((kept) => kept?.copy);
  }

  /** As `stored`, but undefined as well, while it is not stored, once slow clients have held that up. */
  get soon(): Promise<Copy | undefined> {
    return Promise.race([this.stored, this.#heldUp.promise]);
  }

  /** From the first byte on; undefined where that has gone by: then `stored` is to be waited for. */
  join(): Reader | undefined {
    if (!this.#begun) return undefined;
    const reader = new Reader({
      ended: () => this.#ended,
      fault: () => this.#fault,
      mayLag: () => this.#storing && this.#deps.isSure,
      rest: async (from) => {
        const kept = await this.#kept.promise;
        if (kept) return await kept.open(from);
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
    const kept = store && await store(this.#tee()).catch(() => undefined);
    this.#storing = false;
    this.#begun = undefined;
    this.#kept.resolve(kept);
    // Nobody may wait for what is only passed on: a client that left, or one that had no use for the body.
    while (!this.#ended && this.#fault === undefined && this.#readers.size > 0) {
      while (this.#isFull) {
        this.#room = defer();
        await this.#room.promise;
      }
      await this.#next();
    }
    for (const reader of this.#readers) reader.wake();
    await this.#parts.return?.();
  }

  get #isFull(): boolean {
    return [...this.#readers].some((reader) => reader.isFull);
  }

  async *#tee(): AsyncGenerator<Uint8Array> {
    let [waitedMs, inAllMs, sinceBytes] = [0, 0, 0];
    for (;;) {
      while (!this.#deps.isSure && this.#isFull) {
        const took = await this.#pause(Math.min(PATIENCE_MS - waitedMs, HELD_UP_MS - inAllMs || PATIENCE_MS));
        waitedMs += took;
        inAllMs = Math.min(HELD_UP_MS, inAllMs + took);
        if (inAllMs === HELD_UP_MS) this.#heldUp.resolve(undefined);
        if (waitedMs >= PATIENCE_MS) {
          throw new AtollError(
            "overloaded",
            `wanted 1 MiB read within ${PATIENCE_MS} ms, its readers are slower`,
          );
        }
      }
      if (this.receivedBytes - sinceBytes >= PATIENCE_BYTES) {
        [waitedMs, sinceBytes] = [0, this.receivedBytes];
      }
      const part = await this.#next();
      if (part) yield part;
      else if (this.#fault !== undefined) throw this.#fault.reason;
      else return;
    }
  }

  /** Until a reader took something or left, and no longer than that; the ms it was. */
  async #pause(mostMs: number): Promise<number> {
    const { clock } = this.#deps;
    const beganMs = clock.monotonicMs();
    this.#room = defer();
    const moved = await within(clock, mostMs, this.#room.promise);
    return moved ? Math.min(mostMs, clock.monotonicMs() - beganMs) : mostMs;
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
