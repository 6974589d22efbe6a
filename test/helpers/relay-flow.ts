/**
 * One direction of one relayed connection. Bytes are what TCP makes of bad networks: late, stalled until something is sent
 * anew, or never there, but in order and whole; so is the end of a connection, which a cut holds back like any byte.
 */
import type { Socket } from "node:net";
import type { SeededRandom } from "./fake-random.ts";

/** What befalls all bytes from one node to another. */
export interface Weather {
  /** Nothing arrives; what was sent does when it is over. */
  readonly isCut: boolean;
  readonly delayMs: number;
  /** Of the pieces, 0 to 1, so many are lost and sent anew a while later; what was sent after them waits as well. */
  readonly loss: number;
}

export const FAIR: Weather = { isCut: false, delayMs: 0, loss: 0 };

/** Linux waits at least so long before it sends anew. */
const RESEND_MS = 200;
/** On the way in one direction of one connection; beyond, the sender is not read from. */
const ON_THE_WAY_MAX_BYTES = 8 << 20;

interface Piece {
  /** Null: the end. */
  readonly bytes: Buffer | null;
  readonly dueMs: number;
}

export class Flow {
  readonly #source: Socket;
  readonly #target: Socket;
  readonly #weather: () => Weather;
  readonly #random: SeededRandom;
  #pieces: Piece[] = [];
  #bytesOnTheWay = 0;
  #lastDueMs = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isBlocked = false;

  constructor(source: Socket, target: Socket, weather: () => Weather, random: SeededRandom) {
    this.#source = source;
    this.#target = target;
    this.#weather = weather;
    this.#random = random;
    source.on("data", (bytes: Buffer) => this.#take(bytes));
    source.on("end", () => this.#take(null));
    target.on("drain", () => {
      this.#isBlocked = false;
      this.pass();
    });
  }

  /** The sender is gone without a goodbye. */
  broken(): void {
    this.#take(null);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#pieces = [];
  }

  /** What is due, as far as the weather and the receiver allow. */
  pass(): void {
    clearTimeout(this.#timer);
    while (this.#pieces.length > 0 && !this.#isBlocked && !this.#weather().isCut) {
      const waitMs = this.#pieces[0]!.dueMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.pass(), waitMs);
        return;
      }
      const { bytes } = this.#pieces.shift()!;
      if (bytes === null) this.#target.end();
      else {
        this.#bytesOnTheWay -= bytes.length;
        this.#isBlocked = !this.#target.write(bytes);
        if (this.#bytesOnTheWay <= ON_THE_WAY_MAX_BYTES) this.#source.resume();
      }
    }
  }

  #take(bytes: Buffer | null): void {
    const { delayMs, loss } = this.#weather();
    const resendMs = loss > 0 && this.#random.chance(loss) ? RESEND_MS * (1 + this.#random.fraction()) : 0;
    this.#lastDueMs = Math.max(this.#lastDueMs, performance.now() + delayMs + resendMs);
    this.#pieces.push({ bytes, dueMs: this.#lastDueMs });
    this.#bytesOnTheWay += bytes?.length ?? 0;
    if (this.#bytesOnTheWay > ON_THE_WAY_MAX_BYTES) this.#source.pause();
    this.pass();
  }
}
