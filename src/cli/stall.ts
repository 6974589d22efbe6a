/**
 * Ends a request when the node has neither taken nor sent a byte for so long. A deadline on the whole would be wrong for
 * any size of object, and so would one that runs while standard input has nothing to give.
 */
import { EXIT, Failure } from "./failure.ts";

export class Stall {
  readonly #abort = new AbortController();
  readonly #timeoutMs: number;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** From here on the node is waited for; again: it has moved. */
  wait(): void {
    if (this.#isOver) return;
    if (this.#timer) this.#timer.refresh();
    else this.#timer = setTimeout(() => this.#abort.abort(this.#failure()), this.#timeoutMs);
  }

  /** From here on it is not. */
  rest(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** The request is over, whatever its body's source still does. */
  end(): void {
    this.#isOver = true;
    this.rest();
  }

  #failure(): Failure {
    return new Failure(
      EXIT.unavailable,
      `waited ${this.#timeoutMs / 1000} s and the node moved no byte (--timeout says how long to wait)`,
      { code: "stalled" },
    );
  }
}
