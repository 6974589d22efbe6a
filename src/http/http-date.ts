/**
 * Dates in headers (RFC 9110 section 5.6.7). They are read by pure arithmetic in core/cache-control.ts, since an
 * object's `Expires` is a matter of the core.
 */
import { parseHttpDateMs } from "../core/cache-control.ts";

/** The last instant whose year has four digits. */
const LAST_MS = 253_402_300_799_000;
const REMEMBERED_MAX = 512;

/** By second: each answer bears the current one, and hot objects the same few. */
const remembered = new Map<number, string>();

/** IMF-fixdate, the second cut off. Ms since the epoch outside the years 1970 to 9999 become the nearest within. */
export function formatHttpDate(ms: number): string {
  const second = Math.floor(Math.min(Math.max(ms, 0), LAST_MS) / 1000);
  const known = remembered.get(second);
  if (known !== undefined) return known;
  if (Number.isNaN(second)) throw new TypeError(`wanted ms since the epoch, got ${ms}`);
  if (remembered.size >= REMEMBERED_MAX) remembered.clear();
  const text = new Date(second * 1000).toUTCString();
  remembered.set(second, text);
  return text;
}

/** Ms since the epoch; undefined for what is in none of the three forms. `nowMs` places years of two digits. */
export function parseHttpDate(text: string | undefined, nowMs: number): number | undefined {
  return text ? parseHttpDateMs(text, nowMs) : undefined;
}
