/**
 * How many requests may be under way. As many as there are, so long do they take together (Little's law): while the event
 * loop is late and they take longer than anybody likes to wait, fewer are let in. Late is, as in CoDel (RFC 8289), only what
 * stands: the least lateness within an interval counts, as a queue that drains now and then is no trouble. Where fewer do
 * not take less time but only do less, what they wait for is no queue, and they are as many again as they were.
 *
 * To turn away costs something as well: to read a request and to answer it, a good part of what a small upload costs. Where
 * so many come that this is what the time goes into, to let fewer in helps nobody: those that are turned away are told to
 * stay away for longer, until no more come than can be told so.
 */

const INTERVAL_MS = 400;
/** One that stood still for once, to collect garbage, is not late. */
const SAMPLES_MIN = 3;
/** Longer than this together, and there are too many. */
const WAIT_MAX_MS = 800;
/** So short, and there may be more although the loop is late: others make it late. */
const WAIT_SHORT_MS = WAIT_MAX_MS / 2;
const DOWN_FACTOR = 0.7;
/** With fewer under way as much is done, or it was no queue that they stood in. */
const SAME_RATE = 0.85;
/** Until it shows what fewer did, at the latest. */
const SHOWN_MAX_MS = 3_000;
/** Until it is tried again to have fewer. */
const PATIENCE_MS = 10_000;
const UP_FACTOR = 1.2;
/** Whatever happens, so many may be under way: less would not use the disk and the network. */
const LIMIT_MIN = 64;
/** Turned away in a second: about a tenth of what the event loop can do. More are a flood. */
const FLOOD_PER_SECOND = 1_000;
const AWAY_SECONDS_MIN = 1;
const AWAY_SECONDS_MAX = 8;
/** Up at once, as a flood costs from its first second; down slowly, as those that were told are not back yet. */
const AWAY_UP_MAX = 2;
const AWAY_DOWN_MAX = 1.1;
const AWAY_INTERVAL_MS = 250;

export class LoadShedder {
  readonly #targetMs: number;
  readonly #max: number;
  #limit: number;
  #leastMs = Infinity;
  #samples = 0;
  #intervalSinceMs = -Infinity;
  #done = 0;
  /** What was before the limit went down. */
  #before: { readonly limit: number; readonly perSecond: number; readonly shownAtMs: number } | undefined;
  #patientUntilMs = -Infinity;
  #turnedAway = 0;
  #turnedAwaySinceMs = -Infinity;
  #awaySeconds = AWAY_SECONDS_MIN;
  /** Of what was told in whole seconds, what is owed: so that on the average it is right. */
  #owedSeconds = 0;
  #isFlood = false;

  /** `targetMs`: Infinity never sheds. `max`: requests under way at the best of times. */
  constructor(targetMs: number, max: number) {
    this.#targetMs = targetMs;
    this.#max = max;
    this.#limit = max;
  }

  /** Requests that may be under way now. */
  get limit(): number {
    return this.#limit;
  }

  /** More are being turned away than can be afforded. */
  get isFlood(): boolean {
    return this.#isFlood;
  }

  /** Notes one that was let in and is over. */
  done(): void {
    this.#done++;
  }

  /** Notes one that is turned away; seconds, whole ones, that it shall stay away. */
  turnAway(): number {
    this.#turnedAway++;
    this.#owedSeconds += this.#awaySeconds;
    const seconds = Math.floor(this.#owedSeconds);
    this.#owedSeconds -= seconds;
    return seconds;
  }

  /** How late a timer was. To be called several times in each interval. */
  observe(latenessMs: number, active: number, nowMs: number): void {
    this.#leastMs = Math.min(this.#leastMs, latenessMs);
    this.#samples++;
    if (this.#intervalSinceMs === -Infinity) this.#intervalSinceMs = this.#turnedAwaySinceMs = nowMs;
    if (nowMs - this.#turnedAwaySinceMs >= AWAY_INTERVAL_MS) this.#judgeTurnedAway(nowMs);
    if (nowMs - this.#intervalSinceMs < INTERVAL_MS || this.#samples < SAMPLES_MIN) return;
    this.#judge(active, nowMs);
    this.#intervalSinceMs = nowMs;
    this.#leastMs = Infinity;
    this.#samples = 0;
    this.#done = 0;
  }

  #judge(active: number, nowMs: number): void {
    const perSecond = 1_000 * this.#done / (nowMs - this.#intervalSinceMs);
    const waitMs = 1_000 * active / perSecond;
    const isLate = this.#leastMs > this.#targetMs;
    if (this.#before) {
      if (nowMs < this.#before.shownAtMs) return;
      const { limit, perSecond: perSecondBefore } = this.#before;
      this.#before = undefined;
      if (perSecond < SAME_RATE * perSecondBefore) {
        this.#limit = limit;
        this.#patientUntilMs = nowMs + PATIENCE_MS;
        return;
      }
    }
    if (isLate && waitMs > WAIT_MAX_MS) {
      if (nowMs < this.#patientUntilMs) return;
      // Those that were let in before are still under way.
      const shownAtMs = nowMs + Math.min(waitMs, SHOWN_MAX_MS);
      this.#before = { limit: this.#limit, perSecond, shownAtMs };
      const floor = Math.min(LIMIT_MIN, this.#max);
      this.#limit = Math.max(floor, Math.floor(Math.min(this.#limit, active) * DOWN_FACTOR));
    } else if (2 * active >= this.#limit && (!isLate || waitMs < WAIT_SHORT_MS)) {
      // Only a limit that is used says anything of what the node can do.
      this.#limit = Math.min(this.#max, Math.ceil(this.#limit * UP_FACTOR));
    }
  }

  #judgeTurnedAway(nowMs: number): void {
    const perSecond = 1_000 * this.#turnedAway / (nowMs - this.#turnedAwaySinceMs);
    this.#turnedAway = 0;
    this.#turnedAwaySinceMs = nowMs;
    const change = Math.min(AWAY_UP_MAX, Math.max(1 / AWAY_DOWN_MAX, perSecond / FLOOD_PER_SECOND));
    this.#awaySeconds = Math.min(AWAY_SECONDS_MAX, Math.max(AWAY_SECONDS_MIN, this.#awaySeconds * change));
    // Those that are held back are not turned away meanwhile: it is over when they are few although they come sooner.
    this.#isFlood = perSecond > FLOOD_PER_SECOND || this.#awaySeconds > AWAY_SECONDS_MIN;
  }
}
