/** How long a proposer that was overtaken stays out of the way, at most: so long that somebody gets through. */

const FIRST_MS = 4;
const QUICK_MAX_MS = 250;
/** Where rounds take long, whoever is in the way must stay away for as long as some of them take. */
const ROUNDS = 4;
const SLOW_MAX_MS = 2_000;

/** Doubles with each try. `tookMs`: the round that failed. */
export function backoffMaxMs(tries: number, tookMs: number): number {
  const most = Math.max(QUICK_MAX_MS, Math.min(SLOW_MAX_MS, ROUNDS * tookMs));
  return Math.min(most, Math.max(FIRST_MS, tookMs / 2) * 2 ** tries);
}
