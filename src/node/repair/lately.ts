/**
 * Which chunks were stored or named lately, for as long as is asked, in bounded memory: a few filters, the oldest of which
 * is dropped when a new one is begun.
 */
import { IdFilter } from "../../core/id-filter.ts";
import type { ChunkId } from "../../core/manifest.ts";
import type { Clock, Random } from "../../ports.ts";

/** Two whole ones cover the time that was asked for, after a look during which the newest may have become the third. */
const GENERATIONS = 4;
const WHOLE = 2;

export class Lately {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #memoryMs: number;
  /** The first call of `age`. */
  #sinceMs = Infinity;
  readonly #generations: { readonly begunMs: number; readonly ids: IdFilter }[] = [];

  constructor(clock: Clock, random: Random, memoryMs: number) {
    this.#clock = clock;
    this.#random = random;
    this.#memoryMs = memoryMs;
    this.#begin(0);
  }

  /** Whether it has been looking for that long: before, what it does not know may have happened all the same. */
  get knowsAll(): boolean {
    return this.#clock.monotonicMs() - this.#sinceMs >= this.#memoryMs;
  }

  add(id: ChunkId): void {
    this.#generations[0]!.ids.add(id);
  }

  /** True for all that were added within the time, or before the last look but not after it; and for a few others. */
  has(id: ChunkId): boolean {
    return this.#generations.some(({ ids }) => ids.has(id));
  }

  /**
   * After each look at all that is named, when it was added, with how many ids there are about. What was named at one look
   * and not at the next may have been named up to then: it stays for the whole time from that call on, however long the
   * looks took and however many failed in between.
   */
  age(expectedIds: number): void {
    const now = this.#clock.monotonicMs();
    this.#sinceMs = Math.min(now, this.#sinceMs);
    if (now - this.#generations[0]!.begunMs >= this.#memoryMs / WHOLE) this.#begin(expectedIds);
  }

  #begin(expectedIds: number): void {
    const ids = new IdFilter(expectedIds, this.#random.fraction() * 2 ** 32);
    this.#generations.unshift({ begunMs: this.#clock.monotonicMs(), ids });
    if (this.#generations.length > GENERATIONS) this.#generations.pop();
  }
}
