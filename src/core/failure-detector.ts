/**
 * Whether one peer answers, by how long its answers usually take: an accrual detector (Hayashibara et al. 2004, "The phi
 * accrual failure detector").
 *
 * What is measured is not the time between heartbeats but the wait: from the first question that is open until any sign of
 * life. So a peer that is asked once in five minutes is judged by the same rule as one that is asked every second, and
 * loss shows as longer waits. A wait longer than `t` is taken to have the probability e^(-t/mean); phi is its negative
 * decimal logarithm. The mean is the peer's own or that of all peers together, whichever is longer: this node's network may
be the bad one, and of a peer that is hardly ever asked there is not much to go by.
 *
 * Signs of life do not show that a peer works: one whose calls time out again and again hangs, whatever it says of itself.
 */

/** One wait in 10,000 is as long by chance. */
const PHI_MAX = 4;
/** However quick its answers were: a pause of the garbage collector, or of a disk, is no death. */
export const SILENCE_MIN_MS = 2_000;
/** However late they were; with a second until it is asked, and a tick until somebody looks, within 5 s. */
export const SILENCE_MAX_MS = 3_400;
/** Calls that time out one after another, with none between that was answered, before a peer is said to hang. */
const TIMEOUTS_MAX = 3;
const LOG10_E = Math.LOG10E;

/** Weight of a new sample: of the peer's own waits, and of all peers' together. */
const OWN_GAIN = 1 / 8;
const COMMON_GAIN = 1 / 64;

/** What waits are like at this node, whoever is asked. */
export class UsualWait {
  /** Ms; begins as something between two continents. */
  meanMs = 200;

  add(waitMs: number): void {
    this.meanMs += COMMON_GAIN * (waitMs - this.meanMs);
  }
}

/** `silent`: no sign of life for too long; `refused`: nobody takes connections there; `hanging`: it lives, and does not work. */
export type Verdict = "answers" | "silent" | "refused" | "hanging";

/** Times are monotonic ms. */
export class FailureDetector {
  readonly #usual: UsualWait;
  #meanMs: number | undefined;
  #waitingSinceMs: number | undefined;
  #refused = false;
  #timeouts = 0;

  constructor(usual: UsualWait) {
    this.#usual = usual;
  }

  /** It was asked for a sign of life. */
  asked(nowMs: number): void {
    this.#waitingSinceMs ??= nowMs;
  }

  /** It was heard from, asked or not. That says nothing of the way there. */
  heard(nowMs: number): void {
    if (this.#waitingSinceMs === undefined) return;
    const waitMs = nowMs - this.#waitingSinceMs;
    this.#waitingSinceMs = undefined;
    // The end of an outage is not what waits are like.
    if (waitMs >= SILENCE_MAX_MS) return;
    this.#meanMs ??= this.#usual.meanMs;
    this.#meanMs += OWN_GAIN * (waitMs - this.#meanMs);
    this.#usual.add(waitMs);
  }

  /** It answered a ping: it can be reached. */
  answered(nowMs: number): void {
    this.heard(nowMs);
    this.#refused = false;
  }

  /** It did what it was asked to do. */
  worked(nowMs: number): void {
    this.answered(nowMs);
    this.#timeouts = 0;
  }

  refused(): void {
    this.#refused = true;
  }

  /** A call, not a ping, was not answered in time. */
  timedOut(): void {
    this.#timeouts++;
  }

  /** This node itself slept, or what it believed is void: whoever is waited for gets the whole time again. */
  forgive(nowMs: number): void {
    if (this.#waitingSinceMs !== undefined) this.#waitingSinceMs = nowMs;
  }

  /** Begins anew, as after a return that others told of. */
  reset(): void {
    this.#waitingSinceMs = undefined;
    this.#refused = false;
    this.#timeouts = 0;
  }

  get isWaiting(): boolean {
    return this.#waitingSinceMs !== undefined;
  }

  /** Ms that an answer has been waited for; 0 while none is. */
  waitedMs(nowMs: number): number {
    return this.#waitingSinceMs === undefined ? 0 : nowMs - this.#waitingSinceMs;
  }

  /** How unlikely it is that the peer lives and only is late, as a negative decimal logarithm. */
  phi(nowMs: number): number {
    return LOG10_E * this.waitedMs(nowMs) / Math.max(1, this.#meanMs ?? 0, this.#usual.meanMs);
  }

  verdict(nowMs: number): Verdict {
    if (this.#refused) return "refused";
    const waitedMs = this.waitedMs(nowMs);
    if (waitedMs >= SILENCE_MAX_MS) return "silent";
    if (waitedMs >= SILENCE_MIN_MS && this.phi(nowMs) >= PHI_MAX) return "silent";
    return this.#timeouts >= TIMEOUTS_MAX ? "hanging" : "answers";
  }
}
