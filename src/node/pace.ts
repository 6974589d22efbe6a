/** Keeps work in the background to a rate, so that what is in the foreground has the rest. */
import type { Clock } from "../ports.ts";
import { pause } from "./waiting.ts";

/** What is saved up while nothing was done, and spent at once. */
const BURST_MS = 1_000;

export class Pace {
  readonly #clock: Clock;
  readonly #bytesPerSecond: number;
  #paidUntilMs = -Infinity;

  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock;
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Resolves when as much more may be done. */
  async spend(bytes: number): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    this.#paidUntilMs = Math.max(this.#paidUntilMs, nowMs - BURST_MS) +
      (bytes / this.#bytesPerSecond) * 1_000;
    if (this.#paidUntilMs > nowMs) await pause(this.#clock, this.#paidUntilMs - nowMs);
  }
}
