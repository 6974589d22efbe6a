/**
 * When to ask a second node for what the first is slow to send: once it is later than nineteen of twenty of its own latest
 * answers (Dean, Barroso: The tail at scale, 2013). Such questions have a budget, so that a ring which is slow everywhere
 * is not asked twice as much for it; beyond it only who is late out of all proportion is given up waiting for.
 */

/** Of the peer's own answers, those that are not late. */
const QUANTILE = 0.95;
const SAMPLES = 64;
/** With fewer, the round trip is all that is known. */
const SAMPLES_MIN = 8;
/** Where all take about as long, the usual one is not late. */
const SLACK = 1.25;
const ROUND_TRIPS = 3;
const LATE_MIN_MS = 15;
const LATE_MAX_MS = 1_000;
/** From here on the next one is asked, budget or not. */
const PATIENCE_MS = 1_000;
const PATIENCE_FACTOR = 2;
/** Of all questions. */
const BUDGET_SHARE = 0.05;
/** Saved up, at most: so many slow answers in a row may be helped. */
const BUDGET_MAX = 10;

export class Hedging {
  readonly #latencies = new Map<string, Latencies>();
  readonly #isKnown: (id: string) => boolean;
  #budget = BUDGET_MAX;

  /** `isKnown`: whether there still is such a node. */
  constructor(isKnown: (id: string) => boolean) {
    this.#isKnown = isKnown;
  }

  /** A first question is about to be asked. */
  asking(): void {
    this.#budget = Math.min(BUDGET_MAX, this.#budget + BUDGET_SHARE);
  }

  /** `tookMs`: from the question to the first byte: how long the others take says more of the way than of the node. */
  answered(id: string, tookMs: number): void {
    let latencies = this.#latencies.get(id);
    if (!latencies) {
      // Nodes that come are as many as those that went, in the long run.
      for (const known of this.#latencies.keys()) if (!this.#isKnown(known)) this.#latencies.delete(known);
      this.#latencies.set(id, latencies = new Latencies());
    }
    latencies.add(tookMs);
  }

  /** Nodes whose latencies are remembered. */
  get size(): number {
    return this.#latencies.size;
  }

  /** After that long its answer is late. */
  lateMs(id: string, rttMs: number): number {
    const usual = this.#latencies.get(id)?.quantile();
    const late = usual === undefined ? ROUND_TRIPS * rttMs : SLACK * usual;
    return Math.min(LATE_MAX_MS, Math.max(LATE_MIN_MS, late));
  }

  /** After that long nobody waits for it alone. */
  patienceMs(id: string, rttMs: number): number {
    const usual = this.#latencies.get(id)?.quantile() ?? ROUND_TRIPS * rttMs;
    return Math.max(PATIENCE_MS, PATIENCE_FACTOR * usual);
  }

  /** Whether one more may be asked because another is late; it counts. */
  mayHelp(): boolean {
    if (this.#budget < 1) return false;
    this.#budget--;
    return true;
  }
}

/** The latest ones. */
class Latencies {
  readonly #samples = new Float64Array(SAMPLES);
  #count = 0;
  #quantile: number | undefined;

  add(ms: number): void {
    this.#samples[this.#count++ % SAMPLES] = ms;
    this.#quantile = undefined;
  }

  quantile(): number | undefined {
    if (this.#count < SAMPLES_MIN) return undefined;
    if (this.#quantile === undefined) {
      const sorted = this.#samples.slice(0, Math.min(this.#count, SAMPLES)).sort();
      this.#quantile = sorted[Math.ceil(QUANTILE * sorted.length) - 1]!;
    }
    return this.#quantile;
  }
}
