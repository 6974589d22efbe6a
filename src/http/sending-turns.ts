/**
 * Bodies in memory go to the kernel without a wait, and as far as its buffers take them within one turn of the event loop:
 * some hundred readers of large objects at once would keep everybody else waiting for seconds. So each turn has only so
 * many bytes, of all bodies together; the rest waits in line for the next, and in between the others are heard.
 */

/** A few milliseconds of copying. */
const TURN_BYTES = 2 << 20;

export class SendingTurns {
  #leftBytes = TURN_BYTES;
  #isArmed = false;
  readonly #waiting: (() => void)[] = [];

  /** Undefined: at once; else when it is its turn. */
  take(bytes: number): Promise<void> | undefined {
    if (!this.#isArmed) this.#arm();
    if (this.#leftBytes > 0 && this.#waiting.length === 0) {
      this.#leftBytes -= bytes;
      return undefined;
    }
    return new Promise((resolve) =>
      this.#waiting.push(() => {
        this.#leftBytes -= bytes;
        resolve();
      })
    );
  }

  #arm(): void {
    this.#isArmed = true;
    setImmediate(() => {
      this.#isArmed = false;
      this.#leftBytes = TURN_BYTES;
      let begun = 0;
      while (this.#leftBytes > 0 && begun < this.#waiting.length) this.#waiting[begun++]!();
      this.#waiting.splice(0, begun);
      if (begun > 0 || this.#waiting.length > 0) this.#arm();
    });
  }
}

/** Of this process: its event loop is one. */
export const sendingTurns = new SendingTurns();
