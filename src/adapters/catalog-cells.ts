/**
 * Register rows as they lie in the catalog and cross to its threads: flat cells, the value as JSON text, which the threads
 * never look into. Nothing that a thread imports should be large: each has a copy of it in memory.
 *
 * SQLite has no page checksums, and a flipped bit in a ballot or a version is still a well-formed row, so each row
 * carries a CRC-32 of its cells. A row that fails is a fault that names its register; it is never half believed.
 */
import { crc32 } from "node:zlib";
import { AtollError, DamagedRegister } from "../errors.ts";

/** Name, promised counter and node, accepted counter and node, value as JSON. */
export type RegisterCells = readonly [string, number, string, number, string, string | null];

/** No row's checksum, which is never negative: of a row made for a name whose own was lost. */
export const LOST = -1;

export function cellsChecksum(cells: RegisterCells): number {
  return crc32(cells.join("\n"));
}

export function damagedRow(name: string, what: string): DamagedRegister {
  return new DamagedRegister(name, damageOf(name, what));
}

/** A name cannot be believed, this one or another's: which register is damaged is known after `mendRegisters`. */
export class Contradiction extends DamagedRegister {}

export function contradiction(name: string, what: string): Contradiction {
  return new Contradiction(name, damageOf(name, what));
}

function damageOf(name: string, what: string): string {
  return `wanted the catalog's row of register ${quoteName(name)}, got a damaged one: ${what}`;
}

/** Over the key as well: a document under a wrong key is not the one it says it is. */
export function documentChecksum(key: Uint8Array, text: Uint8Array): number {
  return crc32(text, crc32("\n", crc32(key)));
}

export function damagedDocument(key: string): AtollError {
  return new AtollError(
    "damaged",
    `wanted the catalog's document ${
      quoteName(key)
    }, got a damaged one: start this node anew with an empty data ` +
      "directory and the same ATOLL_NODE_ID, and it fetches from the others what it held",
  );
}

export function quoteName(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}
