/** One reader's way through an object: its chunks in order, and how many of them are fetched ahead of it. */
import type { ChunkId } from "../core/manifest.ts";
import type { Audiences, Reader } from "./audiences.ts";
import type { FetchedChunk } from "./chunk-reader.ts";
import type { MemoryCache } from "./memory-cache.ts";

/** Chunks fetched ahead of the one being sent: so many times as many each time that the reader had to wait, up to the most. */
const AHEAD_MIN = 1;
const AHEAD_MAX = 16;
const AHEAD_FACTOR = 4;
/** Chunks beyond the first ahead, of all readers together: who comes later than that goes on with one. */
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
  /** Chunks beyond each reader's first ahead. */
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
  here?: NamedChunk;
  isInUse: boolean;
}

export class Reading {
  readonly #deps: ReadingDeps;
  readonly #of: ReadingOf;
  readonly #ahead: Ahead[] = [];
  readonly #reader: Reader;
  #wanted = AHEAD_MIN;
  /** From the first chunk being asked for by the stream to its end. Whoever never reads has nothing to give back. */
  #isReading = false;

  constructor(deps: ReadingDeps, of: ReadingOf) {
    this.#deps = deps;
    this.#of = of;
    this.#reader = { next: of.first, last: of.last };
  }

  /** The first chunk; the second one is on its way by then. */
  begin(): Promise<NamedChunk> {
    this.#ask();
    this.#fill();
    return this.#ahead[0]!.found;
  }

  /** All in order; after `begin`. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    const { memory, audiences } = this.#deps;
    const { sha256, first, last } = this.#of;
    this.#isReading = true;
    audiences.enter(sha256, this.#reader);
    for (const ahead of this.#ahead) this.#use(ahead);
    let current: ChunkId | undefined;
    try {
      for (let index = first; index <= last; index++) {
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
        current = id;
        this.#ahead.shift();
        if (ahead.isCounted) this.#deps.ahead.count--;
        yield bytes;
        memory.endUse(id);
        current = undefined;
      }
    } finally {
      this.#isReading = false;
      audiences.leave(sha256, this.#reader);
      if (current !== undefined) memory.endUse(current);
      for (const { here, isInUse, isCounted } of this.#ahead) {
        if (isInUse) memory.endUse(here!.id);
        if (isCounted) this.#deps.ahead.count--;
      }
    }
  }

  #fill(): void {
    const { memory, ahead } = this.#deps;
    while (this.#reader.next <= this.#of.last && this.#ahead.length <= this.#wanted) {
      const isFirst = this.#ahead.length <= AHEAD_MIN;
      if (memory.inUseBytes >= IN_USE_BYTES_MAX || (!isFirst && ahead.count >= AHEAD_ALL_MAX)) return;
      this.#ask();
    }
  }

  #ask(): void {
    const isCounted = this.#ahead.length > AHEAD_MIN;
    if (isCounted) this.#deps.ahead.count++;
    const ahead: Ahead = { found: this.#of.fetch(this.#reader.next++), isCounted, isInUse: false };
    this.#ahead.push(ahead);
    // What fails is met by whoever awaits it, unless the reader leaves before.
    ahead.found.then((chunk) => {
      ahead.here = chunk;
      this.#use(ahead);
    }, () => {});
  }

  #use(ahead: Ahead): void {
    if (!ahead.here || !this.#isReading) return;
    ahead.isInUse = true;
    this.#deps.memory.beginUse(ahead.here.id, ahead.here.chunk.bytes);
  }
}
