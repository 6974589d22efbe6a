/** One chunk to all its replicas, or those that stand in for them: safe with a majority, then finished with the rest. */
import type { ChunkId } from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import { Tally } from "../core/quorum.ts";
import { AtollError, isAtollError, messageOf } from "../errors.ts";
import type { Clock } from "../ports.ts";
import type { ChunkStore } from "./chunk-store.ts";
import { byDistance, Fanout } from "./fanout.ts";
import type { Membership } from "./membership.ts";
import type { PeerGate } from "./peer-gate.ts";
import type { Handoffs } from "./repair/handoffs.ts";
import type { Ring } from "./ring.ts";
import { defer, within } from "./waiting.ts";

/** For one chunk of 1 MiB to become durable at a replica; 26 kB/s. */
const PUT_TIMEOUT_MS = 10_000;

/** How long an upload waits for the replicas beyond the majority before it goes on without them. */
const STRAGGLERS_MS = 1_000;

export interface ChunkWrite {
  /** A majority acknowledged the digest they computed. Rejects with `no-quorum` or `storage-full`. */
  readonly safe: Promise<void>;
  /**
   * The upload may go on: all have answered, or a majority has and the others had their time. A replica that hangs then
   * still holds the bytes, within the bounds of what may be under way to it, but nobody's upload. Never rejects.
   */
  readonly enough: Promise<void>;
  /** Nobody uses the bytes any more. Never rejects. */
  readonly settled: Promise<void>;
}

export interface ChunkWriterDeps {
  ring: Ring;
  chunks: ChunkStore;
  handoffs: Handoffs;
  gate: PeerGate;
  membership: Membership;
  clock: Clock;
}

export class ChunkWriter {
  readonly #deps: ChunkWriterDeps;

  constructor(deps: ChunkWriterDeps) {
    this.#deps = deps;
  }

  /** `bytes` hash to `id` and stay as they are until `settled`. */
  write(name: Name, id: ChunkId, bytes: Uint8Array, trace?: string): ChunkWrite {
    const { ring, membership, clock } = this.#deps;
    const { replicas, sets } = ring.quorum(name);
    if (replicas.length === 0) {
      const safe = Promise.reject(new AtollError("no-quorum", "this node does not belong to a ring yet"));
      safe.catch(() => {});
      return { safe, enough: Promise.resolve(), settled: Promise.resolve() };
    }
    const { order, aliveCount } = byDistance(replicas, ring.self, membership);
    const chunk: Sent = { name, id, bytes, trace };
    const standIns = this.#standIns(name);
    const tally = new Tally(sets);
    const safe = defer<void>();
    const sends: Promise<void>[] = [];
    let full: unknown;
    const fanout = new Fanout(order, sets, (replica) => {
      sends.push(
        this.#place(replica, chunk, standIns).then(() => {
          if (tally.vote(replica, true) === "reached") safe.resolve();
        }, (error: unknown) => {
          if (isAtollError(error, "storage-full")) full = error;
          if (tally.vote(replica, false) === "impossible") {
            safe.reject(
              full ?? new AtollError(
                "no-quorum",
                `wanted a majority of ${replicas.length} replicas to store a chunk: ${messageOf(error)}`,
                { cause: error },
              ),
            );
          } else fanout.failed();
        }),
      );
    });
    // Suspects are asked only when the others cannot make a majority, unless somebody stands in for them.
    fanout.widely(Math.min(replicas.length, aliveCount + standIns.length));
    const settled = allSettled(sends);
    const patience = safe.promise.then(() => within(clock, STRAGGLERS_MS, settled), () => settled);
    return { safe: safe.promise, enough: patience.then(() => {}), settled };
  }

  #standIns(name: Name): string[] {
    const { ring, membership } = this.#deps;
    return ring.successors(name).filter((id) => id === ring.self || membership.isAlive(id));
  }

  /**
   * At the replica, or at the next of those that stand in: a copy is a copy, wherever it lies, so it counts for the
   * majority of a chunk, as it never would for that of a register.
   */
  async #place(replica: string, chunk: Sent, standIns: string[]): Promise<void> {
    const { ring, membership } = this.#deps;
    const isThere = replica === ring.self || membership.isAlive(replica);
    if (isThere) {
      try {
        return await this.#send(replica, chunk);
      } catch (error) {
        const standIn = standIns.shift();
        if (standIn === undefined) throw error;
        return await this.#send(standIn, chunk, replica);
      }
    }
    const standIn = standIns.shift();
    if (standIn === undefined) return await this.#send(replica, chunk);
    try {
      await this.#send(standIn, chunk, replica);
    } catch {
      await this.#send(replica, chunk);
    }
  }

  /** `insteadOf`: the replica that should have it. */
  async #send(to: string, { name, id, bytes, trace }: Sent, insteadOf?: string): Promise<void> {
    const { ring, chunks, handoffs, gate } = this.#deps;
    if (to === ring.self) {
      await chunks.putVerified(id, bytes);
      if (insteadOf !== undefined) await handoffs.hold(insteadOf, name, id);
      return;
    }
    const owed = insteadOf === undefined ? undefined : { node: insteadOf, name };
    const { stored } = await gate.call(to, { type: "chunk-put", id, bytes, owed }, {
      timeoutMs: PUT_TIMEOUT_MS,
      trace,
    });
    if (stored !== id) {
      throw new AtollError("peer-garbage", `wanted node ${to} to store ${id}, it stored ${stored}`);
    }
  }
}

interface Sent {
  readonly name: Name;
  readonly id: ChunkId;
  readonly bytes: Uint8Array;
  readonly trace: string | undefined;
}

/** Also waits for sends that were added while waiting. */
async function allSettled(sends: readonly Promise<void>[]): Promise<void> {
  for (let waited = 0; waited < sends.length;) {
    waited = sends.length;
    await Promise.allSettled(sends);
  }
}
