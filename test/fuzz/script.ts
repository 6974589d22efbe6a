/** What a connection of the fuzzer sends, and how. */
import type { Buffer } from "node:buffer";

export interface Script {
  /** Requests that can be told apart, one after another. */
  readonly bytes: Buffer;
  /** Answers that must come, unless the listener closes before; what follows is sent only then. */
  readonly requests: number;
  /** What no answer is expected to; then the connection is half-closed. */
  readonly tail: Buffer | undefined;
  /** It is reset right after the last byte, whatever was answered by then. */
  readonly cuts: boolean;
  /** Written in so many pieces, at places that have nothing to do with what they hold. */
  readonly pieces: number;
}

/** Looks for answers in what came back. */
export interface AnswerCounter {
  readonly answers: number;
  /** Of 500 and of what is not HTTP at all; the bytes around it. */
  readonly wrong: string | undefined;
  take(part: Buffer): void;
}
