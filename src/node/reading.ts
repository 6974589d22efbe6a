/** One reader's way through an object: its chunks in order, and how many of them are fetched ahead of it. */
import type { ChunkId } from "../core/manifest.ts";
import type { Audiences, Reader } from "./audiences.ts";
import type { FetchedChunk } from "./chunk-reader.ts";
import type { MemoryCache } from "./memory-cache.ts";

/**
 * Chunks fetched ahead of the one being sent: so many times as many each time that the reader had to wait, up to the most. At
 * first as many as there are other replicas, as a rule: far away, the first chunk of each takes several round trips, until TCP
 * has found out what the way carries.
 */
const AHEAD_MIN = 2;
const AHEAD_MAX = 16;
const AHEAD_FACTOR = 4;
/** Chunks beyond those, of all readers together: who comes later than that goes on with the least. */
const AHEAD_ALL_MAX = 32;
/** Of chunks in use; who comes to have some beyond that goes on with none ahead. */
const IN_USE_BYTES_MAX = 256 << 20;

export interface NamedChunk {
  readonly id: ChunkId;
  readonly chunk: FetchedChunk;
}

/** What the readers of one node have in common. */
export interface ReadingDeps {
  readonly memory: MemoryCache;
  readonly audiences: Audiences;
  /** Chunks on their way beyond each reader's first ones. */
  readonly ahead: { count: number };
}

export interface ReadingOf {
  readonly sha256: string;
  /** Chunks, both included. */
  readonly first: number;
  readonly last: number;
  readonly fetch: (index: number) => Promise<NamedChunk>;
}

/** A chunk on its way to a reader that is not there yet. */
interface Ahead {
  readonly found: Promise<NamedChunk>;
  readonly isCounted: boolean;
  /** From then on it is in use. */
  here?: NamedChunk;
}

export class Reading {
  readonly #deps: ReadingDeps;
  readonly #of: ReadingOf;
  readonly #ahead: Ahead[] = [];
  readonly #reader: Reader;
  #wanted = AHEAD_MIN;
  /** The one that the reader is being sent. */
  #current: ChunkId | undefined;
  #isOver = false;

  constructor(deps: ReadingDeps, of: ReadingOf) {
    this.#deps = deps;
    this.#of = of;
    this.#reader = { next: of.first, last: of.last };
  }

  /** The first chunk; those after it are on their way by then. Whoever begins has to end, unless this rejects. */
  async begin(): Promise<NamedChunk> {
    this.#deps.audiences.enter(this.#of.sha256, this.#reader);
    this.#ask();
    this.#fill();
    try {
      return await this.#ahead[0]!.found;
    } catch (error) {
      this.end();
      throw error;
    }
  }

  /** All in order; after `begin`. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    const { memory } = this.#deps;
    const { first, last } = this.#of;
    for (let index = first; index <= last && !this.#isOver; index++) {
      if (this.#ahead.length === 0) this.#ask();
      if (index > first) this.#fill();
      const ahead = this.#ahead[0]!;
      // For the first chunk the reader has waited before.
      const hadToWait = !ahead.here || index === first;
      const { id, chunk: { bytes, tier } } = await ahead.found;
      // What lies here already comes fast enough.
      if (hadToWait && (tier === "peer" || tier === "region")) {
        this.#wanted = Math.min(AHEAD_MAX, AHEAD_FACTOR * this.#wanted);
      }
      if (this.#isOver) return;
      this.#ahead.shift();
      if (ahead.isCounted) this.#deps.ahead.count--;
      this.#current = id;
      yield bytes;
      if (this.#current !== undefined) memory.endUse(this.#current);
      this.#current = undefined;
    }
  }

  /** Nobody reads any further; as often as one likes. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { memory, audiences, ahead } = this.#deps;
    audiences.leave(this.#of.sha256, this.#reader);
    if (this.#current !== undefined) memory.endUse(this.#current);
    this.#current = undefined;
    for (const { here, isCounted } of this.#ahead) {
      if (here) memory.endUse(here.id);
      if (isCounted) ahead.count--;
    }
  }

  #fill(): void {
    const { memory, ahead } = this.#deps;
    while (this.#reader.next <= this.#of.last && this.#ahead.length <= this.#wanted) {
      const isMore = this.#ahead.length > AHEAD_MIN;
      if (memory.inUseBytes >= IN_USE_BYTES_MAX || (isMore && ahead.count >= AHEAD_ALL_MAX)) return;
      this.#ask();
    }
  }

  #ask(): void {
    const isCounted = this.#ahead.length > AHEAD_MIN;
    if (isCounted) this.#deps.ahead.count++;
    const ahead: Ahead = { found: this.#of.fetch(this.#reader.next++), isCounted };
    this.#ahead.push(ahead);
    // What fails is met by whoever awaits it, unless the reader leaves before.
    ahead.found.then((found) => {
      if (this.#isOver) return;
      ahead.here = found;
      this.#deps.memory.beginUse(found.id, found.chunk.bytes);
    }, () => {});
  }
}
