/** How fast something moves, by the last few seconds: an average since the start would not see that it became slow. */

const WINDOW_MS = 5_000;
const SAMPLES_MAX = 50;

export class Rate {
  readonly #samples: { atMs: number; bytes: number }[] = [];

  /** `bytes`: in all, never less than before. */
  sample(atMs: number, bytes: number): void {
    const before = this.#samples.at(-2);
    // The newest stands apart only when it is far enough from the one before it: so few are kept for any number.
    if (before && atMs - before.atMs < WINDOW_MS / SAMPLES_MAX) this.#samples.pop();
    this.#samples.push({ atMs, bytes });
    while (this.#samples.length > 2 && atMs - this.#samples[1]!.atMs >= WINDOW_MS) this.#samples.shift();
  }

  /** Bytes a second up to now; undefined while there is too little to tell by. */
  perSecond(nowMs: number): number | undefined {
    const first = this.#samples[0];
    if (!first || nowMs - first.atMs < 200) return undefined;
    return (this.#samples.at(-1)!.bytes - first.bytes) / ((nowMs - first.atMs) / 1000);
  }
}
