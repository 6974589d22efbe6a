/** Waiting for conditions: never longer than a deadline, and what was waited for is said when it passes. */
import { setTimeout as delay } from "node:timers/promises";

const POLL_MS = 20;
/** Of a process's lines, so many stand in the error. */
const LINES_SHOWN = 20;

/** Asks again and again until it is so; after the deadline it fails, and the label says at what. */
export async function until(
  label: string,
  deadlineMs: number,
  condition: () => Promise<boolean> | boolean,
  lines: readonly string[] = [],
): Promise<void> {
  const startedMs = performance.now();
  while (!await condition()) {
    if (performance.now() - startedMs > deadlineMs) throw lateError(label, deadlineMs, lines);
    await delay(POLL_MS);
  }
}

/** The promise, or after the deadline an error. */
export async function within<T>(
  promise: Promise<T>,
  deadlineMs: number,
  label: string,
  lines: readonly string[] = [],
): Promise<T> {
  const timer = new AbortController();
  const late = delay(deadlineMs, undefined, { signal: timer.signal }).then(() => {
    throw lateError(label, deadlineMs, lines);
  });
  late.catch(() => undefined); // the abort below, once the promise won
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}

function lateError(label: string, deadlineMs: number, lines: readonly string[]): Error {
  return new Error(`waited ${deadlineMs} ms in vain until ${label}\n${lines.slice(-LINES_SHOWN).join("\n")}`);
}
