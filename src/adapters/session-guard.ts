/**
 * How long a connection of HTTP/2 may be open with nothing asked on it, as over HTTP/1.1. Frames that ask nothing, a ping now
 * and then or a header that never ends, are enough to the runtime not to call it idle.
 */
import type { ServerHttp2Session } from "node:http2";

export interface SessionLimits {
  /** Until the first request's headers are there. */
  readonly headersTimeoutMs: number;
  /** Between two requests; 0: as long as there is no idleness. */
  readonly keepAliveTimeoutMs: number;
  /** Without a byte in either direction. */
  readonly idleTimeoutMs: number;
}

/** `onIdle`: told of one that is cut in the midst of a request. */
export function guardSession(session: ServerHttp2Session, limits: SessionLimits, onIdle: () => void): void {
  let underWay = 0;
  const within = (ms: number) => ms === 0 ? undefined : setTimeout(() => session.destroy(), ms);
  let late = within(limits.headersTimeoutMs);
  session.on("stream", (stream) => {
    clearTimeout(late);
    underWay++;
    stream.once("close", () => {
      underWay--;
      if (underWay === 0 && !session.destroyed) late = within(limits.keepAliveTimeoutMs);
    });
  });
  session.on("close", () => clearTimeout(late));
  session.setTimeout(limits.idleTimeoutMs, () => {
    if (underWay > 0) onIdle();
    session.destroy();
  });
}
