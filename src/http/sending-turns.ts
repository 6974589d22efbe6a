/**
 * Bodies in memory go to the kernel without a wait, and as far as its buffers take them within one turn of the event loop:
 * some hundred readers of large objects at once would keep everybody else waiting for seconds. So each turn has only so
 * many bytes, of all bodies together; the rest waits in line for the next, and in between the others are heard. Where many
 * wait each is given a slice at a time, and who has had nothing yet goes first: a thousand readers of one object would
 * otherwise wait for their first byte until a mebibyte was copied for each of those before them.
 */

/** Less than a millisecond of copying: libuv takes one new connection in a turn, and a crowd of them should not wait long. */
const TURN_BYTES = 256 << 10;
const SLICE_BYTES = 64 << 10;
/** Of a body of which nothing was sent yet. */
const FIRST_BYTES = 16 << 10;

interface Waiting {
  readonly wantedBytes: number;
  readonly grant: (bytes: number) => void;
}

export class SendingTurns {
  #leftBytes = TURN_BYTES;
  #isArmed = false;
  readonly #beginners: Waiting[] = [];
  readonly #others: Waiting[] = [];

  /** How many of the wanted bytes may be sent now: all of them where nobody waits; a promise: when it is their turn. */
  take(wantedBytes: number, isBeginning: boolean): number | Promise<number> {
    if (!this.#isArmed) this.#arm();
    if (this.#leftBytes > 0 && this.#beginners.length + this.#others.length === 0) {
      this.#leftBytes -= wantedBytes;
      return wantedBytes;
    }
    return new Promise((grant) =>
      (isBeginning ? this.#beginners : this.#others).push({ wantedBytes, grant })
    );
  }

  #arm(): void {
    this.#isArmed = true;
    setImmediate(() => {
      this.#isArmed = false;
      this.#leftBytes = TURN_BYTES;
      const waiting = this.#beginners.length + this.#others.length;
      if (waiting === 0) return;
      const sliceBytes = Math.max(SLICE_BYTES, Math.floor(TURN_BYTES / waiting));
      // One of the others in any case, however many begin.
      this.#serve(this.#others, 1, sliceBytes);
      this.#serve(this.#beginners, Infinity, FIRST_BYTES);
      this.#serve(this.#others, Infinity, sliceBytes);
      this.#arm();
    });
  }

  #serve(line: Waiting[], countMax: number, bytesMax: number): void {
    let served = 0;
    while (served < countMax && this.#leftBytes > 0 && served < line.length) {
      const { wantedBytes, grant } = line[served++]!;
      const bytes = Math.min(wantedBytes, bytesMax);
      this.#leftBytes -= bytes;
      grant(bytes);
    }
    line.splice(0, served);
  }
}

/** Of this process: its event loop is one. */
export const sendingTurns = new SendingTurns();
