/** What settings are written as: numbers, bytes, times, URLs; each says what was wanted. */
import { z } from "zod";

const UNITS: Record<string, number> = {
  "": 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
};
const DURATIONS: Record<string, number> = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5 };

/** Without a path; a slash at its end is dropped. A node's own stand on its card, and a longer one nobody would read. */
export const httpUrl = z.string().max(1_024, "wanted a URL of at most 1024 characters").refine(
  (text) => isHttpUrl(text),
  "wanted a URL like http://10.0.0.1:8081",
)
  .transform((text) => text.replace(/\/+$/, ""));

/** Both ends included. */
export function wholeNumber(min: number, max: number) {
  return z.string().regex(/^\d{1,9}$/, `wanted a whole number from ${min} to ${max}`).transform(Number)
    .refine((n) => n >= min && n <= max, `wanted a whole number from ${min} to ${max}`);
}

/** With a unit or without one; at least `min`. */
export function bytes(min: number) {
  const wanted = "wanted bytes like 1048576, 64MiB or 1GB";
  return z.string().transform((text) => parseBytes(text)).refine(
    (n) => Number.isSafeInteger(n) && n >= min,
    wanted,
  );
}

/** Ms. */
export function duration(minMs: number) {
  const wanted = `wanted a time like 60s, 10m, 12h or 30d, at least ${minMs} ms`;
  return z.string().transform((text) => {
    const [, digits, unit] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text.trim()) ?? [];
    return digits === undefined ? NaN : Number(digits) * DURATIONS[unit!]!;
  }).refine((ms) => Number.isSafeInteger(ms) && ms >= minMs, wanted);
}

function parseBytes(text: string): number {
  const [, digits, unit] = /^(\d{1,15}(?:\.\d{1,6})?)\s*([KMGT]?I?B)?$/.exec(text.trim().toUpperCase()) ?? [];
  const factor = UNITS[unit === "B" ? "" : unit ?? ""];
  return digits === undefined || factor === undefined ? NaN : Math.floor(Number(digits) * factor);
}

function isHttpUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && (url.protocol === "http:" || url.protocol === "https:") && url.pathname === "/" &&
    url.search === "";
}
