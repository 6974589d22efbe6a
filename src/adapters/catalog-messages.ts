/**
 * What the catalog's two threads say to each other: batches of questions, batches of answers.
 *
 * Only plain values, text and bare ArrayBuffers cross. A typed array inside a message costs Deno 2.9 about 5 ms per
 * 64 KiB (it looks at every element), its ArrayBuffer 0.1 ms.
 */
import type { ChunkId } from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import type { ErrorCode } from "../errors.ts";
import type { ScanRange } from "../ports.ts";
import type { RegisterCells } from "./catalog-cells.ts";

export interface CatalogWorkerOptions {
  readonly path: string;
  /** A thread that only reads needs the database to be there. */
  readonly access: "read" | "write";
  /** Bound of the database file; beyond it commits are refused as on a full disk. */
  readonly maxBytes?: number | undefined;
}

/** A change in flat form; all of it or nothing. */
export interface ChangeCells {
  readonly registers: readonly RegisterCells[];
  readonly chunks: readonly (readonly [ChunkId, ArrayBuffer])[];
  readonly deletedChunks: readonly ChunkId[];
  readonly incomplete: readonly (readonly [Name, number | null])[];
  readonly documents: readonly (readonly [string, string])[];
  readonly forgotten: readonly Name[];
  /** Slot, version, counter and node of what was promised. */
  readonly floors: readonly FloorCells[];
  /** Node, name, chunk ("" for a change of the register), whether it is settled. */
  readonly owed: readonly (readonly [string, Name, ChunkId, boolean])[];
  /** Slot, digest, turn. */
  readonly digests: readonly (readonly [number, string, number])[];
}

/** What `mendRegisters` made anew: rows that were whole, and names whose rows were not. */
export interface Mended {
  readonly rows: number;
  readonly damaged: number;
}

export type FloorCells = readonly [number, number, number, string];

export const NO_CHANGE: ChangeCells = {
  registers: [],
  chunks: [],
  deletedChunks: [],
  incomplete: [],
  documents: [],
  forgotten: [],
  floors: [],
  owed: [],
  digests: [],
};

/** Every question with the type of its answer. */
export interface CatalogExchanges {
  commit: { asks: { readonly change: ChangeCells }; gets: undefined };
  register: { asks: { readonly name: Name }; gets: RegisterCells | undefined };
  scan: { asks: { readonly range: ScanRange; readonly thorough: boolean }; gets: RegisterCells[] };
  chunk: { asks: { readonly chunk: ChunkId }; gets: ArrayBuffer | undefined };
  "has-chunks": { asks: { readonly chunks: readonly ChunkId[] }; gets: boolean[] };
  incomplete: { asks: { readonly limit: number }; gets: [Name, number][] };
  document: { asks: { readonly key: string }; gets: string | undefined };
  "list-chunks": { asks: { readonly after: ChunkId; readonly limit: number }; gets: [ChunkId, number][] };
  "owed-to": {
    asks: { readonly node: string; readonly what: "changes" | "chunks"; readonly limit: number };
    gets: [Name, ChunkId][];
  };
  "owed-counts": { asks: unknown; gets: [string, number, number][] };
  "are-owed": { asks: { readonly chunks: readonly ChunkId[] }; gets: boolean[] };
  "slot-rows": {
    asks: { readonly slot: number; readonly after: Name; readonly limit: number; readonly end: number };
    gets: RegisterCells[];
  };
  "changed-slots": { asks: { readonly limit: number }; gets: [number, number][] };
  digests: { asks: unknown; gets: [number, string][] };
  floors: { asks: unknown; gets: FloorCells[] };
  mend: { asks: unknown; gets: undefined };
  close: { asks: unknown; gets: undefined };
}

export type QuestionType = keyof CatalogExchanges;
export type Question<T extends QuestionType = QuestionType> = {
  [K in T]: { readonly id: number; readonly type: K } & CatalogExchanges[K]["asks"];
}[T];
export type Gets<T extends QuestionType> = CatalogExchanges[T]["gets"];

/** An AtollError as it crosses threads. */
export interface Fault {
  readonly code: ErrorCode;
  readonly message: string;
  /** Of a damaged row. */
  readonly register?: Name | undefined;
  /** A `Contradiction`. */
  readonly contradicts?: boolean | undefined;
}

export type Answer = { readonly id: number; readonly value?: unknown; readonly fault?: Fault | undefined };

/** Said unasked. */
export interface Notice {
  readonly mended: Mended;
}

/** The first thing a worker says, once: it is open, or why it is not. */
export interface Opened {
  readonly opened: true;
  readonly fault?: Fault | undefined;
}
