/**
 * Keeps GOAWAY (RFC 9113 section 6.8) from Deno's HTTP/2. At such a frame nghttp2 walks its table of streams, and on Deno
 * (2.9) it may find there what it should not: the process ends by a failed assertion or a segmentation fault, before any of
 * our code hears of it (denoland/deno#36788). A server loses nothing: the frame is about streams that servers open, and we
 * open none. A client goes on using the connection until it is closed, which is how our servers end theirs.
 */
import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";

const GOAWAY = 0x7;
/** "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" (section 3.4): what comes instead is for the runtime to refuse. */
const PREFACE_BYTES = 24;
const HEAD_BYTES = 9;

/** From now on whoever reads this end of the connection sees no GOAWAY. To be called before the first byte was read. */
export function keepGoawayFrom(socket: Duplex, end: "server" | "client"): void {
  // Node's HTTP/2 reads past the stream, and bears the frame.
  if (!("Deno" in globalThis)) return;
  const filter = new GoawayFilter(end);
  const push = socket.push.bind(socket);
  socket.push = (part: unknown, encoding?: BufferEncoding): boolean => {
    if (!(part instanceof Uint8Array)) return push(part, encoding);
    const kept = filter.take(Buffer.from(part.buffer, part.byteOffset, part.length));
    // With nothing left the stream still has to hear that what it asked for came.
    let wantsMore = kept.length > 0 || push(Buffer.alloc(0));
    for (const piece of kept) wantsMore = push(piece);
    return wantsMore;
  };
}

/** Of one direction of one connection, from its first byte; what it gives back is cut elsewhere but otherwise as it came. */
export class GoawayFilter {
  /** Of the frame, or the preface, that is under way. */
  #bytesLeft: number;
  #isDropped = false;
  /** The first bytes of a head, when the rest of it has not come yet. */
  #begun: Buffer = Buffer.alloc(0);

  /** `end`: who reads. */
  constructor(end: "server" | "client") {
    this.#bytesLeft = end === "server" ? PREFACE_BYTES : 0;
  }

  take(received: Buffer): Buffer[] {
    const bytes = this.#begun.length > 0 ? Buffer.concat([this.#begun, received]) : received;
    const kept: Buffer[] = [];
    let [keptFrom, at] = [0, 0];
    const keepUntil = (end: number) => {
      if (end > keptFrom) kept.push(bytes.subarray(keptFrom, end));
    };
    for (;;) {
      const step = Math.min(this.#bytesLeft, bytes.length - at);
      this.#bytesLeft -= step;
      at += step;
      if (this.#isDropped) keptFrom = at;
      if (bytes.length - at < HEAD_BYTES) break;
      const isDropped = bytes[at + 3] === GOAWAY;
      if (isDropped && !this.#isDropped) keepUntil(at);
      this.#isDropped = isDropped;
      this.#bytesLeft = HEAD_BYTES + bytes.readUIntBE(at, 3);
    }
    keepUntil(at);
    this.#begun = Buffer.from(bytes.subarray(at));
    return kept;
  }
}
