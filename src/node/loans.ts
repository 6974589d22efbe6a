/**
 * Memory that readers have in hand and may do without. While others wait for some, whoever takes nothing for a while gives
 * back what it has: chunks are named by their content, so it is given the same bytes again when it reads on.
 */
import type { Clock } from "../ports.ts";

/** Who has not taken 64 KiB by then. To be wrong about one costs no more than to fetch a chunk again. */
const STALLED_MS = 1_000;

interface Loan {
  readonly sinceMs: number;
  readonly giveBack: () => void;
}

export class Loans {
  readonly #clock: Clock;
  readonly #isWanted: () => boolean;
  /** Oldest first. */
  readonly #loans = new Set<Loan>();
  #isLooking = false;

  constructor({ clock, isWanted }: { clock: Clock; isWanted: () => boolean }) {
    this.#clock = clock;
    this.#isWanted = isWanted;
  }

  /** `giveBack` is called once at most, and not after what is returned was. */
  lend(giveBack: () => void): () => void {
    const loan = { sinceMs: this.#clock.monotonicMs(), giveBack };
    this.#loans.add(loan);
    this.look();
    return () => void this.#loans.delete(loan);
  }

  /** To be called when somebody begins to wait: from then on it looks by itself, for as long as anybody does. */
  look(): void {
    if (this.#isLooking) return;
    const nowMs = this.#clock.monotonicMs();
    for (const loan of this.#loans) {
      if (!this.#isWanted()) return;
      const leftMs = loan.sinceMs + STALLED_MS - nowMs;
      if (leftMs > 0) return this.#lookIn(leftMs);
      this.#loans.delete(loan);
      loan.giveBack();
    }
  }

  #lookIn(delayMs: number): void {
    this.#isLooking = true;
    this.#clock.after(delayMs, () => {
      this.#isLooking = false;
      this.look();
    });
  }
}
