/** How far a move is, and when it will be over if it goes on as it went: for operators, and decides nothing. */
import type { MoveProgress } from "./peer-messages.ts";

export interface Move {
  /** Copies that are made sure of, those that were there before among them. */
  readonly partitionsTotal: number;
  readonly partitionsLeft: number;
  readonly bytesDone: number;
  /** About: of what is missing, and of partitions that have not been looked at, as if they were like the others. */
  readonly bytesLeft: number;
  /** Null while nothing says how fast it goes. */
  readonly etaSeconds: number | null;
  /** Copies of objects of which chunks are missing; also those that are waited for no longer, since no node has them. */
  readonly objectsLeft: number;
}

interface Looked {
  readonly number: number;
  readonly atMs: number;
  readonly partitions: number;
  readonly bytes: number;
}

export class MoveEstimate {
  /** When the layout that is moving was first looked at, and how much had been done by then. */
  #first: Looked | undefined;

  /** `number`: of the layout that the progress is towards. `nowMs`: monotonic. */
  of(number: number, progress: readonly MoveProgress[], nowMs: number): Move {
    const sum = (part: (one: MoveProgress) => number): number =>
      progress.reduce((total, one) => total + part(one), 0);
    const partitionsTotal = sum((one) => one.partitions);
    const partitionsLeft = sum((one) => one.partitionsLeft);
    const bytesDone = sum((one) => one.bytes);
    const bytesLacking = sum((one) => one.bytesLeft ?? 0);
    const objectsLeft = sum((one) => one.objectsLeft);
    const done = partitionsTotal - partitionsLeft;
    if (this.#first?.number !== number) {
      this.#first = { number, atMs: nowMs, partitions: done, bytes: bytesDone };
    }
    const elapsedMs = nowMs - this.#first.atMs;
    const unseen = done > 0 ? (bytesDone + bytesLacking) / done * partitionsLeft : 0;
    const bytesLeft = Math.round(bytesLacking + unseen);
    // Less was done than at first where somebody does not answer now.
    const secondsOf = (left: number, since: number): number =>
      left === 0 ? 0 : since > 0 ? left * elapsedMs / since / 1_000 : Infinity;
    const seconds = Math.max(
      secondsOf(partitionsLeft, done - this.#first.partitions),
      secondsOf(bytesLeft, bytesDone - this.#first.bytes),
    );
    const isKnown = Number.isFinite(seconds) && (bytesLeft > 0 || partitionsLeft > 0 || objectsLeft === 0);
    return {
      partitionsTotal,
      partitionsLeft,
      bytesDone,
      bytesLeft,
      etaSeconds: isKnown ? Math.ceil(seconds) : null,
      objectsLeft,
    };
  }
}

/** From 0 to 1: by bytes where it is known how many there are, as partitions differ in size. */
export function doneRatio(
  { partitionsTotal, partitionsLeft, bytesDone, bytesLeft, objectsLeft }: Move,
): number {
  const partitions = partitionsTotal === 0 ? 0 : (partitionsTotal - partitionsLeft) / partitionsTotal;
  // Registers are there, and what their chunks come to has not been counted: that is no more than half.
  if (objectsLeft > 0 && bytesLeft === 0) return partitions / 2;
  const ratio = bytesDone + bytesLeft > 0 ? bytesDone / (bytesDone + bytesLeft) : partitions;
  // Whatever the bytes say, it is not all there before it is.
  return partitionsLeft > 0 || objectsLeft > 0 ? Math.min(ratio, 0.99) : ratio;
}
