/**
 * Which signed requests were seen already.
 *
 * Remembering each nonce for as long as its time is acceptable would take hundreds of megabytes on a busy node, or make
 * it refuse its peers. So a nonce is `stream (8 random bytes), counter (8 bytes)`, and per stream a sliding window of
 * counters is kept, as IPsec does (RFC 4303 section 3.4.3): memory grows with the number of senders and not of requests.
 * When it is full, strangers are refused; nothing is forgotten before its time.
 */

/** Counters that may overtake one another: more than the requests a sender can have on the way to one node. */
const WINDOW = 8_192;
/** About 1 KiB each. */
const STREAMS_MAX = 4_096;
const STREAM_CHARS = 16;

interface Stream {
  highest: number;
  /** One bit for each counter in (highest - WINDOW, highest], at counter modulo WINDOW. */
  readonly seen: Uint32Array;
  /** The latest time that was signed in it. */
  latestMs: number;
}

export class NonceMemory {
  readonly #windowMs: number;
  readonly #streams = new Map<string, Stream>();

  /** `windowMs`: for so long after the time it was signed with a request may still come, and must be remembered. */
  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  get streams(): number {
    return this.#streams.size;
  }

  /** What was wanted and what came, if the nonce must not be used (again). */
  use(nonce: string, signedMs: number, nowMs: number): string | undefined {
    const id = nonce.slice(0, STREAM_CHARS);
    const counter = Number.parseInt(nonce.slice(STREAM_CHARS), 16);
    if (!Number.isSafeInteger(counter)) return "a nonce that counts up from 0, got a greater one";
    let stream = this.#streams.get(id);
    if (!stream) {
      if (this.#streams.size >= STREAMS_MAX) this.#dropPast(nowMs);
      if (this.#streams.size >= STREAMS_MAX) return `at most ${STREAMS_MAX} senders at a time, got one more`;
      stream = { highest: -1, seen: new Uint32Array(WINDOW / 32), latestMs: signedMs };
      this.#streams.set(id, stream);
    }
    stream.latestMs = Math.max(stream.latestMs, signedMs);
    return useCounter(stream, counter) ? undefined : "a new nonce, got one that was used";
  }

  /** Whatever was signed in these streams is refused by its time from now on. */
  #dropPast(nowMs: number): void {
    for (const [id, stream] of this.#streams) {
      if (stream.latestMs + this.#windowMs < nowMs) this.#streams.delete(id);
    }
  }
}

function useCounter(stream: Stream, counter: number): boolean {
  if (counter <= stream.highest - WINDOW) return false; // older than what is remembered: maybe seen
  if (counter > stream.highest) {
    const steps = Math.min(counter - stream.highest, WINDOW);
    for (let step = 0; step < steps; step++) mark(stream.seen, counter - step, false);
    stream.highest = counter;
  } else if (isMarked(stream.seen, counter)) return false;
  mark(stream.seen, counter, true);
  return true;
}

function isMarked(bits: Uint32Array, counter: number): boolean {
  const bit = counter % WINDOW;
  return (bits[bit >>> 5]! & (1 << (bit & 31))) !== 0;
}

function mark(bits: Uint32Array, counter: number, on: boolean): void {
  const bit = counter % WINDOW;
  if (on) bits[bit >>> 5]! |= 1 << (bit & 31);
  else bits[bit >>> 5]! &= ~(1 << (bit & 31));
}
