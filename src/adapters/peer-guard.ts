/**
 * How many connections there may be at the peer listener, and how long they and what is asked on them may take. Nobody has
 * shown a secret before a request came whole, so this is what stands between a stranger and the node's memory.
 */
import { constants, type Http2Session, type Http2Stream } from "node:http2";
import type { Socket } from "node:net";

export interface PeerListenerLimits {
  readonly maxConnections: number;
  /** Of one request. */
  readonly maxHeaderBytes: number;
  /** From a connection to its first request. */
  readonly firstRequestMs: number;
  /** From a request to the next. */
  readonly idleTimeoutMs: number;
  /** From a request's headers until its answer is taken. */
  readonly requestTimeoutMs: number;
}

export type PeerLimit = "peer-connections" | "peer-idle" | "peer-request-time" | "peer-header-bytes";

const LOOKS = 4;
const LOOK_MAX_MS = 1_000;

interface Connection {
  /** As TCP knows it: what a session shows of it cannot be destroyed. */
  socket: Socket | undefined;
  hasAsked: boolean;
  underWay: number;
  /** Since when nothing is. */
  sinceMs: number;
}

export class PeerGuard {
  readonly #limits: PeerListenerLimits;
  readonly #onLimit: (limit: PeerLimit) => void;
  /** By the other end's address and port: of a session nothing else is known that its socket has too. */
  readonly #connections = new Map<string, Connection>();
  readonly #streams = new Map<Http2Stream, number>();
  readonly #looking: ReturnType<typeof setInterval>;

  constructor(limits: PeerListenerLimits, onLimit: (limit: PeerLimit) => void) {
    this.#limits = limits;
    this.#onLimit = onLimit;
    const { firstRequestMs, idleTimeoutMs, requestTimeoutMs } = limits;
    const shortestMs = Math.min(firstRequestMs, idleTimeoutMs, requestTimeoutMs);
    this.#looking = setInterval(() => this.#look(), Math.min(LOOK_MAX_MS, Math.max(20, shortestMs / LOOKS)));
    this.#looking.unref();
  }

  /** Counts it until it is closed; closes it if it is one too many. */
  opened(socket: Socket): void {
    const key = keyOf(socket);
    this.#connection(key).socket = socket;
    socket.on("close", () => this.#connections.delete(key));
    if (this.#connections.size <= this.#limits.maxConnections) return;
    this.#onLimit("peer-connections");
    socket.destroy();
  }

  asked(session: Http2Session | undefined, stream: Http2Stream): void {
    this.#streams.set(stream, performance.now());
    // Undefined once it is gone.
    const connection = session?.socket && this.#connections.get(keyOf(session.socket));
    if (connection) {
      connection.hasAsked = true;
      connection.underWay++;
    }
    stream.once("close", () => {
      this.#streams.delete(stream);
      if (!connection) return;
      connection.underWay--;
      connection.sinceMs = performance.now();
    });
  }

  /** The listener's settings say so too, but to a client that says nothing back they do not apply. */
  isTooLarge(rawHeaders: readonly string[]): boolean {
    let left = this.#limits.maxHeaderBytes;
    for (const text of rawHeaders) left -= text.length;
    if (left >= 0) return false;
    this.#onLimit("peer-header-bytes");
    return true;
  }

  stop(): void {
    clearInterval(this.#looking);
  }

  #connection(key: string): Connection {
    let connection = this.#connections.get(key);
    if (!connection) {
      connection = { socket: undefined, hasAsked: false, underWay: 0, sinceMs: performance.now() };
      this.#connections.set(key, connection);
    }
    return connection;
  }

  #look(): void {
    const nowMs = performance.now();
    const { firstRequestMs, idleTimeoutMs, requestTimeoutMs } = this.#limits;
    for (const [stream, sinceMs] of this.#streams) {
      if (nowMs - sinceMs <= requestTimeoutMs) continue;
      this.#streams.delete(stream);
      this.#onLimit("peer-request-time");
      stream.close(constants.NGHTTP2_CANCEL);
    }
    for (const { socket, hasAsked, underWay, sinceMs } of this.#connections.values()) {
      if (underWay > 0 || nowMs - sinceMs <= (hasAsked ? idleTimeoutMs : firstRequestMs)) continue;
      this.#onLimit("peer-idle");
      socket?.destroy();
    }
  }
}

function keyOf({ remoteAddress = "", remotePort = 0 }: Pick<Socket, "remoteAddress" | "remotePort">): string {
  return `${remoteAddress} ${remotePort}`;
}
