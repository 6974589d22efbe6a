/** One chunk to all its replicas: safe with a majority, then finished with the rest. */
import type { ChunkId } from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import { Tally } from "../core/quorum.ts";
import { AtollError, isAtollError, messageOf } from "../errors.ts";
import type { Clock } from "../ports.ts";
import type { ChunkStore } from "./chunk-store.ts";
import { byDistance, Fanout } from "./fanout.ts";
import type { Membership } from "./membership.ts";
import type { PeerGate } from "./peer-gate.ts";
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

export class ChunkWriter {
  readonly #ring: Ring;
  readonly #chunks: ChunkStore;
  readonly #gate: PeerGate;
  readonly #membership: Membership;
  readonly #clock: Clock;

  constructor(
    deps: { ring: Ring; chunks: ChunkStore; gate: PeerGate; membership: Membership; clock: Clock },
  ) {
    this.#clock = deps.clock;
    this.#ring = deps.ring;
    this.#chunks = deps.chunks;
    this.#gate = deps.gate;
    this.#membership = deps.membership;
  }

  /** `bytes` hash to `id` and stay as they are until `settled`. */
  write(name: Name, id: ChunkId, bytes: Uint8Array, trace?: string): ChunkWrite {
    const replicas = this.#ring.replicas(name);
    if (replicas.length === 0) {
      const safe = Promise.reject(new AtollError("no-quorum", "this node does not belong to a ring yet"));
      safe.catch(() => {});
      return { safe, enough: Promise.resolve(), settled: Promise.resolve() };
    }
    const { order, aliveCount } = byDistance(replicas, this.#ring.self, this.#membership);
    const tally = new Tally([replicas]);
    const safe = defer<void>();
    const sends: Promise<void>[] = [];
    let full: unknown;
    const fanout = new Fanout(order, (replica) => {
      sends.push(
        this.#send(replica, id, bytes, trace).then(() => {
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
    fanout.widely(aliveCount);
    const settled = allSettled(sends);
    const patience = safe.promise.then(() => within(this.#clock, STRAGGLERS_MS, settled), () => settled);
    return { safe: safe.promise, enough: patience.then(() => {}), settled };
  }

  async #send(replica: string, id: ChunkId, bytes: Uint8Array, trace: string | undefined): Promise<void> {
    if (replica === this.#ring.self) return await this.#chunks.putVerified(id, bytes);
    const { stored } = await this.#gate.call(replica, { type: "chunk-put", id, bytes }, {
      timeoutMs: PUT_TIMEOUT_MS,
      trace,
    });
    if (stored !== id) {
      throw new AtollError("peer-garbage", `wanted node ${replica} to store ${id}, it stored ${stored}`);
    }
  }
}

/** Also waits for sends that were added while waiting. */
async function allSettled(sends: readonly Promise<void>[]): Promise<void> {
  for (let waited = 0; waited < sends.length;) {
    waited = sends.length;
    await Promise.allSettled(sends);
  }
}
