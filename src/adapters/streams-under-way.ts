/**
 * The streams of a listener of HTTP/2 whose answers are not taken yet.
 *
 * Deno (2.9) does not close a stream that its client reset with NO_ERROR after the answer was ended and before it was sent: it
 * would keep the answer, even beyond the connection, and reads that were given up are common between nodes. So the next
 * request looks for such streams, or the next second.
 */
import type { Http2Stream } from "node:http2";

const LOOK_MS = 1_000;
const MAY_STAY = "Deno" in globalThis;

export class StreamsUnderWay {
  readonly #streams = new Set<Http2Stream>();
  readonly #looking = MAY_STAY ? setInterval(() => this.letGo(), LOOK_MS).unref() : undefined;

  get size(): number {
    return this.#streams.size;
  }

  /** Until its answer is taken or broken off, which is when `outgoing` closes. */
  add(
    stream: Http2Stream,
    outgoing: { once(event: "close", run: () => void): unknown },
    onLast = () => {},
  ): void {
    this.letGo();
    this.#streams.add(stream);
    outgoing.once("close", () => {
      this.#streams.delete(stream);
      if (this.#streams.size === 0) onLast();
    });
  }

  /** Closes the answers of those that were reset. */
  letGo(): void {
    if (!MAY_STAY) return; // each request looks at all the others: not for nothing
    for (const stream of this.#streams) if (stream.closed && !stream.destroyed) stream.destroy();
  }

  stop(): void {
    clearInterval(this.#looking);
  }
}
