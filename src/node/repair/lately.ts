/**
 * Which chunks were stored or named lately, for as long as is asked, in bounded memory: a few filters, the oldest of which
 * is dropped when a new one is begun.
 */
import { IdFilter } from "../../core/id-filter.ts";
import type { ChunkId } from "../../core/manifest.ts";
import type { Clock, Random } from "../../ports.ts";

/** Two whole ones always cover the time that was asked for, whatever the third is at. */
const GENERATIONS = 3;

export class Lately {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #memoryMs: number;
  readonly #sinceMs: number;
  readonly #generations: { readonly begunMs: number; readonly ids: IdFilter }[] = [];

  constructor(clock: Clock, random: Random, memoryMs: number) {
    this.#clock = clock;
    this.#random = random;
    this.#memoryMs = memoryMs;
    this.#sinceMs = clock.monotonicMs();
    this.#begin(0);
  }

  /** Whether it has been looking for that long: before, what it does not know may have happened all the same. */
  get knowsAll(): boolean {
    return this.#clock.monotonicMs() - this.#sinceMs >= this.#memoryMs;
  }

  add(id: ChunkId): void {
    this.#generations[0]!.ids.add(id);
  }

  /** True for all that were added within the time, and for a few others. */
  has(id: ChunkId): boolean {
    return this.#generations.some(({ ids }) => ids.has(id));
  }

  /** To be called now and then, with how many ids there are about. */
  age(expectedIds: number): void {
    if (this.#clock.monotonicMs() - this.#generations[0]!.begunMs >= this.#memoryMs / (GENERATIONS - 1)) {
      this.#begin(expectedIds);
    }
  }

  #begin(expectedIds: number): void {
    const ids = new IdFilter(expectedIds, this.#random.fraction() * 2 ** 32);
    this.#generations.unshift({ begunMs: this.#clock.monotonicMs(), ids });
    if (this.#generations.length > GENERATIONS) this.#generations.pop();
  }
}
