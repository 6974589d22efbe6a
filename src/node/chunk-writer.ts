/** One chunk to all its replicas: safe with a majority, then finished with the rest. */
import type { ChunkId } from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import { Tally } from "../core/quorum.ts";
import { AtollError, isAtollError, messageOf } from "../errors.ts";
import type { ChunkStore } from "./chunk-store.ts";
import { byDistance, Fanout } from "./fanout.ts";
import type { Membership } from "./membership.ts";
import type { PeerGate } from "./peer-gate.ts";
import type { Ring } from "./ring.ts";
import { defer } from "./waiting.ts";

/** For one chunk of 1 MiB to become durable at a replica; 26 kB/s. */
const PUT_TIMEOUT_MS = 10_000;

export interface ChunkWrite {
  /** A majority acknowledged the digest they computed. Rejects with `no-quorum` or `storage-full`. */
  readonly safe: Promise<void>;
  /** Nobody uses the bytes any more. Never rejects. */
  readonly settled: Promise<void>;
}

export class ChunkWriter {
  readonly #ring: Ring;
  readonly #chunks: ChunkStore;
  readonly #gate: PeerGate;
  readonly #membership: Membership;

  constructor(deps: { ring: Ring; chunks: ChunkStore; gate: PeerGate; membership: Membership }) {
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
      return { safe, settled: Promise.resolve() };
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
    fanout.next(aliveCount);
    fanout.fill();
    return { safe: safe.promise, settled: allSettled(sends) };
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
