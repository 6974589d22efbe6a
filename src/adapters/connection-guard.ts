/**
 * How many connections there may be, and how slow those may be on which something is under way. A connection that hardly
 * moves costs memory and a place, and whoever opens many of them (Slowloris, slow readers) would have all places in the end.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { clientOf } from "../core/client-address.ts";

export interface ConnectionLimits {
  /** Infinity: no limit, here and below. */
  readonly maxConnections: number;
  /** Of one address, or of one IPv6 network. */
  readonly maxConnectionsPerClient: number;
  /** Of a body that the client sends or takes; 0: however slow. */
  readonly minBytesPerSecond: number;
  readonly minRateGraceMs: number;
}

export type ConnectionLimit = "connections" | "client-connections" | "slow-sender" | "slow-reader";

/** Looks in each grace time: a body that moved at one of them has the whole time again. */
const LOOKS = 4;

interface Progress {
  /** When it began to be the client's turn. */
  sinceMs: number;
  /** Moved until then. */
  bytes: number;
}

export class ConnectionGuard {
  readonly #limits: ConnectionLimits;
  readonly #onLimit: (limit: ConnectionLimit) => void;
  readonly #underWay: ReadonlyMap<unknown, ServerResponse>;
  readonly #perClient = new Map<string, number>();
  readonly #receiving = new WeakMap<ServerResponse, Progress>();
  readonly #sending = new WeakMap<ServerResponse, Progress>();
  readonly #looking: ReturnType<typeof setInterval> | undefined;
  #connections = 0;

  /** `underWay`: the latest request of each connection whose answer is not sent. */
  constructor(
    limits: ConnectionLimits,
    underWay: ReadonlyMap<unknown, ServerResponse>,
    onLimit: (limit: ConnectionLimit) => void,
  ) {
    this.#limits = limits;
    this.#underWay = underWay;
    this.#onLimit = onLimit;
    if (limits.minBytesPerSecond > 0) {
      this.#looking = setInterval(() => this.#look(), Math.max(20, limits.minRateGraceMs / LOOKS));
      this.#looking.unref();
    }
  }

  /** Counts a connection until it is closed. Undefined: it may stay; else what it is one too many of. */
  opened(socket: Socket): { readonly limit: ConnectionLimit; readonly max: number } | undefined {
    const { maxConnections, maxConnectionsPerClient } = this.#limits;
    this.#connections++;
    socket.on("close", () => this.#connections--);
    if (this.#connections > maxConnections) return this.#tooMany("connections", maxConnections);
    if (maxConnectionsPerClient === Infinity) return undefined;
    const client = clientOf({ kind: "none" }, socket.remoteAddress ?? "unknown", () => undefined);
    const ofClient = (this.#perClient.get(client) ?? 0) + 1;
    this.#perClient.set(client, ofClient);
    socket.on("close", () => {
      const left = this.#perClient.get(client)! - 1;
      if (left === 0) this.#perClient.delete(client);
      else this.#perClient.set(client, left);
    });
    return ofClient > maxConnectionsPerClient
      ? this.#tooMany("client-connections", maxConnectionsPerClient)
      : undefined;
  }

  stop(): void {
    clearInterval(this.#looking);
  }

  #tooMany(limit: ConnectionLimit, max: number) {
    this.#onLimit(limit);
    return { limit, max };
  }

  #look(): void {
    const nowMs = performance.now();
    for (const outgoing of this.#underWay.values()) {
      const { socket } = outgoing.req;
      if (socket.destroyed) continue;
      const limit = this.#isSlowReader(outgoing, socket, nowMs)
        ? "slow-reader"
        : this.#isSlowSender(outgoing.req, outgoing, socket, nowMs)
        ? "slow-sender"
        : undefined;
      if (limit === undefined) continue;
      this.#onLimit(limit);
      socket.destroy();
    }
  }

  /**
   * What was handed to the system and not taken is waited for as long as the least rate takes, and the grace time. Only
   * whole writes are seen to end, so each that does begins the time anew.
   */
  #isSlowReader(outgoing: ServerResponse, socket: Socket, nowMs: number): boolean {
    const waiting = socket.writableLength;
    const taken = socket.bytesWritten - waiting;
    const before = this.#sending.get(outgoing);
    if (waiting === 0 || !before || taken > before.bytes) {
      this.#sending.set(outgoing, { sinceMs: nowMs, bytes: taken });
      return false;
    }
    const allowedMs = this.#limits.minRateGraceMs + 1_000 * waiting / this.#limits.minBytesPerSecond;
    return nowMs - before.sinceMs > allowedMs;
  }

  /** Only while it is the client's turn: a node whose replicas are slow must not blame it. */
  #isSlowSender(incoming: IncomingMessage, outgoing: ServerResponse, socket: Socket, nowMs: number): boolean {
    const before = this.#receiving.get(outgoing);
    const isClientsTurn = !incoming.complete && !incoming.readableEnded && incoming.readableLength === 0;
    if (!isClientsTurn || !before) {
      this.#receiving.set(outgoing, { sinceMs: nowMs, bytes: socket.bytesRead });
      return false;
    }
    const tookMs = nowMs - before.sinceMs;
    if (tookMs < this.#limits.minRateGraceMs) return false;
    const wanted = this.#limits.minBytesPerSecond * tookMs / 1_000;
    if (socket.bytesRead - before.bytes < wanted) return true;
    this.#receiving.set(outgoing, { sinceMs: nowMs, bytes: socket.bytesRead });
    return false;
  }
}
