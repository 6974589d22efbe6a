/** One reader's way through an object: its chunks in order, how many are fetched ahead of it, and how they are given back. */
import type { ChunkId } from "../core/manifest.ts";
import type { Audiences, Reader } from "./audiences.ts";
import type { Buffers, Lease } from "./buffer-budget.ts";
import type { FetchedChunk } from "./chunk-reader.ts";
import type { MemoryCache } from "./memory-cache.ts";

/**
 * Chunks fetched ahead of the one being sent: so many times as many each time that the reader had to wait, up to the most. At
 * first as many as there are other replicas, as a rule: far away, the first chunk of each takes several round trips, until TCP
 * has found out what the way carries.
 */
const AHEAD_MIN = 2;
const AHEAD_HERE = 1;
const AHEAD_MAX = 16;
const AHEAD_FACTOR = 4;
/** Chunks beyond those, of all readers together: who comes later than that goes on with the least. */
const AHEAD_ALL_MAX = 32;

/** Of a chunk that may have to be given back before all of it was taken. */
const SLICE_BYTES = 64 << 10;

export interface NamedChunk {
  readonly id: ChunkId;
  readonly chunk: FetchedChunk;
}

/** What the readers of one node have in common. */
export interface ReadingDeps {
  readonly memory: MemoryCache;
  readonly audiences: Audiences;
  readonly buffers: Buffers;
  /** Chunks on their way beyond each reader's first ones. */
  readonly ahead: { count: number };
}

export interface ReadingOf {
  readonly sha256: string;
  /** Chunks, both included. */
  readonly first: number;
  readonly last: number;
  readonly fetch: (index: number) => Promise<NamedChunk>;
  /** Bytes of that chunk. */
  readonly sizeOf: (index: number) => number;
}

/** A chunk on its way to a reader that is not there yet. */
interface Ahead {
  readonly found: Promise<NamedChunk>;
  readonly lease: Lease;
  readonly isCounted: boolean;
  /** From then on it is in use. */
  here?: NamedChunk;
  /** Nobody waits for it any more. */
  isDropped?: boolean;
}

export class Reading {
  readonly #deps: ReadingDeps;
  readonly #of: ReadingOf;
  readonly #ahead: Ahead[] = [];
  readonly #reader: Reader;
  #wanted = AHEAD_MIN;
  /** The one that the reader is being sent. */
  #current: (NamedChunk & { readonly lease: Lease }) | undefined;
  /** Called when the reader asks for more: what it has is needed again. */
  #endLoan = (): void => {};
  #isOver = false;

  constructor(deps: ReadingDeps, of: ReadingOf) {
    this.#deps = deps;
    this.#of = of;
    this.#reader = { next: of.first, last: of.last };
  }

  /**
   * The first chunk; those after it are on their way by then. Whoever begins has to end, unless this rejects: also with
   * `overloaded`, when there is no memory for it for too long.
   */
  async begin(): Promise<NamedChunk> {
    this.#deps.audiences.enter(this.#of.sha256, this.#reader);
    try {
      this.#ask(await this.#room(false));
      this.#fill();
      const found = await this.#ahead[0]!.found;
      if (!this.#isOver) this.#lend(() => this.#dropAhead(this.#of.first));
      return found;
    } catch (error) {
      this.end();
      throw error;
    }
  }

  /**
   * All in order, in pieces of any size; after `begin`. Where memory is short they are copies of a part, as the whole must not be
   * in anybody's hands when it is given back, not even in a variable of a generator that waits.
   */
  async *chunks(): AsyncGenerator<Uint8Array> {
    const { first, last, sizeOf } = this.#of;
    for (let index = first; index <= last; index++) {
      if (!await this.#take(index)) return;
      if (this.#deps.buffers.isTight && sizeOf(index) > SLICE_BYTES) yield* this.#slices(index);
      else {
        this.#lend(() => this.#dropAhead(index + 1));
        yield this.#current!.chunk.bytes;
      }
      this.#endCurrent();
    }
  }

  async *#slices(index: number): AsyncGenerator<Uint8Array> {
    const sizeBytes = this.#of.sizeOf(index);
    for (let at = 0; at < sizeBytes; at += SLICE_BYTES) {
      if (!this.#current && !await this.#take(index)) return;
      this.#lend(() => {
        this.#endCurrent();
        this.#dropAhead(at + SLICE_BYTES < sizeBytes ? index : index + 1);
      });
      yield this.#current!.chunk.bytes.slice(at, at + SLICE_BYTES);
      this.#endLoan();
      if (this.#isOver) return;
    }
  }

  /** Has that chunk in hand, which is the next one that was asked for or is to be. False: it is over. */
  async #take(index: number): Promise<boolean> {
    const { first } = this.#of;
    this.#endLoan();
    if (this.#isOver) return false;
    // With nothing in hand, so that whoever waits for memory keeps none.
    if (this.#ahead.length === 0) {
      const lease = await this.#room(true);
      if (this.#isOver) {
        lease.release();
        return false;
      }
      this.#ask(lease);
    }
    if (index > first) this.#fill();
    const ahead = this.#ahead[0]!;
    // For the first chunk the reader has waited before.
    const hadToWait = !ahead.here || index === first;
    const found = await ahead.found;
    const { tier } = found.chunk;
    const isFar = tier === "peer" || tier === "region";
    // What lies here already comes fast enough, and takes memory.
    if (!isFar) this.#wanted = AHEAD_HERE;
    else if (hadToWait) this.#wanted = Math.min(AHEAD_MAX, AHEAD_FACTOR * this.#wanted);
    if (this.#isOver) return false;
    this.#ahead.shift();
    if (ahead.isCounted) this.#deps.ahead.count--;
    this.#current = { ...found, lease: ahead.lease };
    return true;
  }

  /** Nobody reads any further; as often as one likes. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#deps.audiences.leave(this.#of.sha256, this.#reader);
    this.#endLoan();
    this.#endCurrent();
    this.#dropAhead(this.#reader.next);
  }

  #lend(giveBack: () => void): void {
    this.#endLoan = this.#deps.buffers.lend(giveBack);
  }

  /** From chunk `next` on they will be asked for again, if ever. */
  #dropAhead(next: number): void {
    for (const ahead of this.#ahead.splice(0)) {
      ahead.isDropped = true;
      if (ahead.here) {
        this.#deps.memory.endUse(ahead.here.id);
        ahead.lease.release(); // what still comes is in memory until it is here
      }
      if (ahead.isCounted) this.#deps.ahead.count--;
    }
    this.#reader.next = next;
  }

  #endCurrent(): void {
    if (!this.#current) return;
    this.#deps.memory.endUse(this.#current.id);
    this.#current.lease.release();
    this.#current = undefined;
  }

  /** For the next chunk. */
  async #room(hasBegun: boolean): Promise<Lease> {
    return await this.#deps.buffers.takeSoon(this.#of.sizeOf(this.#reader.next), hasBegun);
  }

  #fill(): void {
    const { buffers, ahead } = this.#deps;
    while (this.#reader.next <= this.#of.last && this.#ahead.length <= this.#wanted) {
      const isMore = this.#ahead.length > AHEAD_MIN;
      if (isMore && ahead.count >= AHEAD_ALL_MAX) return;
      const lease = buffers.take(this.#of.sizeOf(this.#reader.next));
      if (!lease) return;
      this.#ask(lease);
    }
  }

  #ask(lease: Lease): void {
    const isCounted = this.#ahead.length > AHEAD_MIN;
    if (isCounted) this.#deps.ahead.count++;
    const ahead: Ahead = { found: this.#of.fetch(this.#reader.next++), lease, isCounted };
    this.#ahead.push(ahead);
    // What fails is met by whoever awaits it, unless the reader leaves before.
    ahead.found.then((found) => {
      if (ahead.isDropped) return lease.release();
      ahead.here = found;
      lease.isFor(found.chunk.bytes);
      this.#deps.memory.beginUse(found.id, found.chunk.bytes);
    }, () => lease.release());
  }
}
