/**
 * Memory for what is on its way to and from clients, all of them together: chunks that uploads fill or wait with for their
 * replicas, and those that readers have in hand or ahead. Who needs more waits in line, holding nothing that others could
 * need: a reader has given back the chunk before, and an upload's earlier chunks go on without it.
 */
import { AtollError } from "../errors.ts";
import type { Clock } from "../ports.ts";
import { Loans } from "./loans.ts";
import type { Counter, Metrics } from "./metrics.ts";

/** Who waits for longer before anything was sent is better told to come back. */
const PATIENCE_MS = 5_000;
/** What is smaller is not counted: there cannot be more of it than requests. */
export const UNCOUNTED_BYTES = 64 << 10;

export interface Buffers {
  /** At once, or not at all. */
  take(bytes: number): Lease | undefined;
  /** When it is its turn. Rejects with `overloaded` after 5 s, unless what it is for has begun and cannot be taken back. */
  takeSoon(bytes: number, hasBegun?: boolean): Lease | Promise<Lease>;
  /**
   * So much is in use that what is handed out from now on has to be such that it can be given back: at most half of all there
   * is may be in the hands of those who cannot.
   */
  readonly isTight: boolean;
  /** What can be given back by `giveBack` is in use until what is returned is called. */
  lend(giveBack: () => void): () => void;
}

export interface BufferBudgetDeps {
  readonly maxBytes: number;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

interface Waiting {
  readonly bytes: number;
  readonly called: () => void;
}

export class BufferBudget implements Buffers {
  readonly #maxBytes: number;
  readonly #clock: Clock;
  readonly #refused: Counter;
  readonly #waiting = new Set<Waiting>();
  /** Of buffers that several have in hand: they are there once. */
  readonly #holders = new Map<Uint8Array, number>();
  readonly #loans: Loans;
  #usedBytes = 0;

  constructor({ maxBytes, clock, metrics }: BufferBudgetDeps) {
    this.#loans = new Loans({ clock, isWanted: () => this.#waiting.size > 0 });
    this.#maxBytes = maxBytes;
    this.#clock = clock;
    const help = "Requests and connections turned away or cut, by the limit";
    this.#refused = metrics.counter("atoll_limited_total", help, { limit: "buffers" });
    metrics.gauge("atoll_buffer_bytes", "Memory of bodies on their way", () => this.#usedBytes);
    metrics.gauge("atoll_buffer_waiting", "Bodies that wait for memory", () => this.#waiting.size);
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  get isTight(): boolean {
    return this.#usedBytes > this.#maxBytes / 2;
  }

  lend(giveBack: () => void): () => void {
    return this.#loans.lend(giveBack);
  }

  take(bytes: number): Lease | undefined {
    if (bytes <= UNCOUNTED_BYTES) return UNCOUNTED;
    if (this.#waiting.size > 0 || !this.#fits(bytes)) return undefined;
    this.#usedBytes += bytes;
    return new CountedLease(this, bytes);
  }

  takeSoon(bytes: number, hasBegun = false): Lease | Promise<Lease> {
    return this.take(bytes) ?? this.#wait(bytes, hasBegun);
  }

  /** A lease on a buffer that others hold too costs nothing. */
  share(buffer: Uint8Array, bytes: number): void {
    const holders = this.#holders.get(buffer) ?? 0;
    this.#holders.set(buffer, holders + 1);
    if (holders > 0) this.give(bytes);
  }

  unshare(buffer: Uint8Array, bytes: number): void {
    const holders = this.#holders.get(buffer)!;
    if (holders > 1) this.#holders.set(buffer, holders - 1);
    else {
      this.#holders.delete(buffer);
      this.give(bytes);
    }
  }

  give(bytes: number): void {
    this.#usedBytes -= bytes;
    for (const waiting of this.#waiting) {
      if (!this.#fits(waiting.bytes)) return;
      this.#waiting.delete(waiting);
      this.#usedBytes += waiting.bytes;
      waiting.called();
    }
  }

  /** Whatever is larger than all there is fits where there is nothing else. */
  #fits(bytes: number): boolean {
    return this.#usedBytes + bytes <= this.#maxBytes || this.#usedBytes === 0;
  }

  #wait(bytes: number, hasBegun: boolean): Promise<Lease> {
    return new Promise((resolve, reject) => {
      const late = (): void => {
        this.#waiting.delete(waiting);
        this.#refused.add();
        const most = `${this.#maxBytes} bytes of bodies on their way`;
        reject(new AtollError("overloaded", `wanted room within ${most} in ${PATIENCE_MS} ms, got none`));
      };
      const cancel = hasBegun ? () => {} : this.#clock.after(PATIENCE_MS, late);
      const called = (): void => {
        cancel();
        resolve(new CountedLease(this, bytes));
      };
      const waiting = { bytes, called };
      this.#waiting.add(waiting);
      this.#loans.look();
    });
  }
}

/** Memory that was set aside; to be released, once or more often. */
export interface Lease {
  /** What it was taken for is here. */
  isFor(buffer: Uint8Array): void;
  release(): void;
}

const UNCOUNTED: Lease = { isFor() {}, release() {} };

/** For whoever bounds it otherwise. */
export const UNBOUNDED: Buffers = {
  isTight: false,
  take: () => UNCOUNTED,
  takeSoon: () => UNCOUNTED,
  lend: () => () => {},
};

class CountedLease implements Lease {
  readonly #budget: BufferBudget;
  readonly #bytes: number;
  #buffer: Uint8Array | undefined;
  #isReleased = false;

  constructor(budget: BufferBudget, bytes: number) {
    this.#budget = budget;
    this.#bytes = bytes;
  }

  isFor(buffer: Uint8Array): void {
    if (this.#isReleased || this.#buffer) return;
    this.#buffer = buffer;
    this.#budget.share(buffer, this.#bytes);
  }

  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    if (this.#buffer) this.#budget.unshare(this.#buffer, this.#bytes);
    else this.#budget.give(this.#bytes);
  }
}
