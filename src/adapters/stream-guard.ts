/**
 * How slow requests may be that share a connection of HTTP/2: as connection-guard.ts, but for each stream by itself. Only
 * the stream is cut; the others of its connection may be anybody's.
 */
import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Stream } from "node:http2";
import { constants } from "node:http2";
import type { ConnectionLimit, ConnectionLimits } from "./connection-guard.ts";

const LOOKS = 4;

class Progress {
  readonly #stream: ServerHttp2Stream;
  readonly #incoming: Http2ServerRequest;
  #receivedBytes = 0;
  #isCounted = false;
  #drains = 0;
  #isDraining = false;
  receiving: { readonly sinceMs: number; readonly bytes: number } | undefined;
  sending: { readonly sinceMs: number; readonly mark: string } | undefined;

  constructor(incoming: Http2ServerRequest) {
    this.#incoming = incoming;
    this.#stream = incoming.stream;
  }

  /** Undefined while it is not the client's turn. */
  received(): number | undefined {
    const { readableFlowing, readableLength, readableEnded } = this.#stream;
    // Before anybody reads, a listener would set it flowing.
    if (readableFlowing !== null && !this.#isCounted) {
      this.#isCounted = true;
      this.#stream.on("data", (part: Uint8Array) => (this.#receivedBytes += part.length));
    }
    const isWaited = readableFlowing === true && readableLength === 0 && this.#incoming.readableLength === 0;
    return isWaited && !readableEnded && !this.#stream.endAfterHeaders ? this.#receivedBytes : undefined;
  }

  /** Bytes that wait to be taken, and what changes as soon as some are. */
  waiting(): { bytes: number; mark: string } {
    const bytes = this.#stream.writableLength;
    if (bytes > 0 && !this.#isDraining) {
      this.#isDraining = true;
      this.#stream.on("drain", () => this.#drains++);
    }
    return { bytes, mark: `${bytes} ${this.#drains}` };
  }

  /** What reads the body hears of it as of a client that went away. */
  cut(reason: string): void {
    this.#stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    this.#stream.destroy(new Error(reason));
  }
}

export class StreamGuard {
  readonly #limits: ConnectionLimits;
  readonly #onLimit: (limit: ConnectionLimit) => void;
  readonly #underWay = new Set<Progress>();
  readonly #looking: ReturnType<typeof setInterval> | undefined;

  constructor(limits: ConnectionLimits, onLimit: (limit: ConnectionLimit) => void) {
    this.#limits = limits;
    this.#onLimit = onLimit;
    if (limits.minBytesPerSecond > 0) {
      this.#looking = setInterval(() => this.#look(), Math.max(20, limits.minRateGraceMs / LOOKS));
      this.#looking.unref();
    }
  }

  /** Until its stream is closed. */
  watch(incoming: Http2ServerRequest, outgoing: Http2ServerResponse): void {
    if (!this.#looking) return;
    const progress = new Progress(incoming);
    this.#underWay.add(progress);
    outgoing.on("close", () => this.#underWay.delete(progress));
  }

  stop(): void {
    clearInterval(this.#looking);
  }

  #look(): void {
    const nowMs = performance.now();
    for (const progress of this.#underWay) {
      const limit = this.#isSlowReader(progress, nowMs)
        ? "slow-reader"
        : this.#isSlowSender(progress, nowMs)
        ? "slow-sender"
        : undefined;
      if (limit === undefined) continue;
      this.#underWay.delete(progress);
      this.#onLimit(limit);
      progress.cut(`wanted ${this.#limits.minBytesPerSecond} bytes a second, got less: ${limit}`);
    }
  }

  #isSlowReader(progress: Progress, nowMs: number): boolean {
    const { bytes, mark } = progress.waiting();
    if (bytes === 0 || progress.sending?.mark !== mark) {
      progress.sending = { sinceMs: nowMs, mark };
      return false;
    }
    const allowedMs = this.#limits.minRateGraceMs + 1_000 * bytes / this.#limits.minBytesPerSecond;
    return nowMs - progress.sending.sinceMs > allowedMs;
  }

  #isSlowSender(progress: Progress, nowMs: number): boolean {
    const bytes = progress.received();
    if (bytes === undefined || !progress.receiving) {
      progress.receiving = { sinceMs: nowMs, bytes: bytes ?? 0 };
      return false;
    }
    const tookMs = nowMs - progress.receiving.sinceMs;
    if (tookMs < this.#limits.minRateGraceMs) return false;
    if (bytes - progress.receiving.bytes < this.#limits.minBytesPerSecond * tookMs / 1_000) return true;
    progress.receiving = { sinceMs: nowMs, bytes };
    return false;
  }
}
