/**
 * Clients that were told to stay away and come back at once. To answer them again and again is what an overloaded node has
 * no time for, so what they ask is kept, unread, until the time has passed that they were told. Who waits as told never
 * notices; of each connection one request is held, so there are no more than connections.
 */
import type { ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

const LOOK_MS = 50;

interface Held {
  readonly untilMs: number;
  readonly again: () => void;
}

export class HeldRequests {
  readonly #told = new WeakMap<Duplex, number>();
  readonly #held = new Map<Duplex, Held>();
  #looking: ReturnType<typeof setInterval> | undefined;

  /** Of now, for metrics. */
  get count(): number {
    return this.#held.size;
  }

  /** Whoever is at the other end shall not come back for so long. */
  told(socket: Duplex, seconds: number): void {
    this.#told.set(socket, performance.now() + 1_000 * seconds);
  }

  /** Whether a request came before that; then `again` is called when it is over, unless its client has gone. */
  hold(socket: Duplex, outgoing: ServerResponse, again: () => void): boolean {
    const untilMs = this.#told.get(socket);
    if (untilMs === undefined || untilMs <= performance.now() || this.#held.has(socket)) return false;
    const held = { untilMs, again };
    this.#held.set(socket, held);
    outgoing.on("close", () => {
      if (this.#held.get(socket) === held) this.#held.delete(socket);
    });
    this.#looking ??= setInterval(() => this.#look(performance.now()), LOOK_MS).unref();
    return true;
  }

  /** All of them, now. */
  release(): void {
    this.#look(Infinity);
  }

  #look(nowMs: number): void {
    for (const [socket, { untilMs, again }] of this.#held) {
      if (untilMs > nowMs) continue;
      this.#held.delete(socket);
      this.#told.delete(socket);
      again();
    }
    if (this.#held.size > 0) return;
    clearInterval(this.#looking);
    this.#looking = undefined;
  }
}
