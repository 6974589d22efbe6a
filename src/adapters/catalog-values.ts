/** What SQLite gave, as what it must be. */
import { Buffer } from "node:buffer";
import type { SQLOutputValue } from "node:sqlite";
import { AtollError } from "../errors.ts";

export type SqlRow = Record<string, SQLOutputValue>;

/** Throws `internal` for anything else. */
export function bytesOf(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new AtollError(
    "internal",
    `wanted bytes in the catalog, got ${value === null ? "null" : typeof value}`,
  );
}

export function textOf(value: unknown): string {
  return Buffer.from(bytesOf(value)).toString();
}
