/** Finds the answers in what a listener sent, without parsing more than it must: the fuzzer has to be faster than the node. */
import { Buffer } from "node:buffer";
import { FRAME, FrameReader } from "./h2-frames.ts";
import type { AnswerCounter } from "./script.ts";

const START = Buffer.from("HTTP/1.1 ");
/** Of the static table of HPACK (RFC 7541 appendix A): `:status: 500`. */
const STATUS_500 = 0x8e;

/** No stored content and no detail holds a status line. */
export class Http1Answers implements AnswerCounter {
  answers = 0;
  wrong: string | undefined;
  #rest: Buffer = Buffer.alloc(0);

  take(part: Buffer): void {
    const all = this.#rest.length === 0 ? part : Buffer.concat([this.#rest, part]);
    if (this.answers === 0 && all.length >= START.length && !all.subarray(0, START.length).equals(START)) {
      this.wrong = `no status line: ${all.toString("latin1", 0, 200)}`;
    }
    let at = all.indexOf(START);
    while (at !== -1 && at + 12 <= all.length) {
      const status = all.toString("latin1", at + 9, at + 12);
      if (status !== "100") this.answers++;
      if (status === "500" || !/^[1-5]\d\d$/.test(status)) {
        this.wrong = all.toString("latin1", at, at + 900);
      }
      at = all.indexOf(START, at + 12);
    }
    // A status line may be cut in two, and only then is there something to keep.
    this.#rest = Buffer.from(
      at === -1 ? all.subarray(Math.max(0, all.length - START.length + 1)) : all.subarray(at),
    );
  }
}

/** Frames (RFC 9113 section 4.1); a HEADERS frame is an answer, and so is a reset. */
export class Http2Answers implements AnswerCounter {
  answers = 0;
  wrong: string | undefined;
  readonly #frames = new FrameReader();

  take(part: Buffer): void {
    for (const { type, payload } of this.#frames.take(part)) {
      if (type === FRAME.reset) this.answers++;
      else if (type === FRAME.headers) {
        this.answers++;
        // A change of the table's size may stand before the first field.
        let at = 0;
        while ((payload[at]! & 0xe0) === 0x20) at++;
        if (payload[at] === STATUS_500) this.wrong ??= "status 500";
      } else if (type === FRAME.data && this.wrong === "status 500") {
        this.wrong = `status 500: ${payload.toString("utf8", 0, 500)}`;
      }
    }
  }
}
