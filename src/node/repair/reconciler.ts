/**
 * Brings the replicas of one register together: the greatest ballot that any of them has accepted goes to those that lack
 * it. To deliver an accept once more is always right, whoever does it and however late: the acceptor decides.
 */
import { type Ballot, compareBallots, NO_BALLOT, sameBallot } from "../../core/ballot.ts";
import type { ChunkId } from "../../core/manifest.ts";
import type { Name } from "../../core/names.ts";
import type { RegisterValue } from "../../core/register.ts";
import { assert, isAtollError } from "../../errors.ts";
import type { ChunkStore } from "../chunk-store.ts";
import type { Counter, Metrics } from "../metrics.ts";
import type { PeerGate } from "../peer-gate.ts";
import type { Registers } from "../registers.ts";
import type { Replica } from "../replica.ts";
import type { Ring } from "../ring.ts";

const CALL_TIMEOUT_MS = 5_000;
/** A change may come between: then once more. */
const TRIES = 3;

export interface ReconcilerDeps {
  ring: Ring;
  replica: Replica;
  chunks: ChunkStore;
  gate: PeerGate;
  registers: Registers;
  metrics: Metrics;
}

interface Chunk {
  readonly id: ChunkId;
  readonly bytes: Uint8Array;
}

interface Held {
  readonly accepted: Ballot;
  readonly value: RegisterValue | null;
}

export class Reconciler {
  readonly #deps: ReconcilerDeps;
  readonly #delivered: Counter;

  constructor(deps: ReconcilerDeps) {
    this.#deps = deps;
    this.#delivered = deps.metrics.counter(
      "atoll_repair_registers_total",
      "Register changes delivered to replicas that had missed them",
    );
  }

  /** The replicas that hold one and the same accepted ballot now, the greatest there is; the others could not be asked. */
  async reconcile(name: Name): Promise<ReadonlySet<string>> {
    const { registers } = this.#deps;
    for (let tries = 1;; tries++) {
      // Who was a replica by the layout that was asked by need not be one by the next: what is delivered goes by the same.
      const layout = this.#deps.ring.number;
      const held = await this.#ask(name, layout);
      const newest = [...held.values()].reduce<Held>(
        (best, other) => compareBallots(other.accepted, best.accepted) > 0 ? other : best,
        { accepted: NO_BALLOT, value: null },
      );
      const alike = new Set<string>();
      const lacking = [...held.values()].some(({ accepted }) => !sameBallot(accepted, newest.accepted));
      const chunk = lacking ? await this.#chunkOf(newest) : undefined;
      let refusedBy = NO_BALLOT;
      await Promise.all([...held].map(async ([node, { accepted }]) => {
        if (sameBallot(accepted, newest.accepted)) alike.add(node);
        else {
          const refusal = await this.#deliver(node, name, newest, layout, chunk);
          if (refusal === undefined) alike.add(node);
          else if (compareBallots(refusal, refusedBy) > 0) refusedBy = refusal;
        }
      }));
      // Someone promised more than was ever accepted: only a round of one's own gets past that.
      if (sameBallot(refusedBy, NO_BALLOT) || tries === TRIES) return alike;
      await registers.rewrite(name, refusedBy);
    }
  }

  /** What each replica that answers has accepted. */
  async #ask(name: Name, layout: number): Promise<Map<string, Held>> {
    const { ring, replica, gate } = this.#deps;
    const held = new Map<string, Held>();
    const own = ring.isReplica(name) ? await replica.read(name, layout) : undefined;
    if (own) held.set(ring.self, own);
    await Promise.all(
      ring.replicas(name).filter((node) => node !== ring.self).map(async (node) => {
        const known = own && own.value !== null ? own.accepted : undefined;
        const reply = await gate.call(node, { type: "read", name, known }, {
          timeoutMs: CALL_TIMEOUT_MS,
          layout,
        }).catch(() => undefined); // who does not answer is not among the result
        if (!reply) return;
        const same = own && sameBallot(reply.accepted, own.accepted);
        const value = reply.value ?? (same ? own.value : null);
        // One that says it accepted something, and never what, is as good as away.
        if (value !== null || sameBallot(reply.accepted, NO_BALLOT)) {
          held.set(node, { accepted: reply.accepted, value });
        }
      }),
    );
    return held;
  }

  /** A small object's, if it is here: whoever gets it along with the value need not fetch it, which costs more than all the rest. */
  async #chunkOf({ value }: Held): Promise<Chunk | undefined> {
    if (value?.content.kind !== "object") return undefined;
    const { size, layout, chunks: [id, ...more] } = value.content.manifest;
    if (layout !== "list" || id === undefined || more.length > 0 || !this.#deps.chunks.isSmall(size)) {
      return undefined;
    }
    const bytes = await this.#deps.chunks.get(id, size).catch(() => undefined);
    return bytes && { id, bytes };
  }

  /** The ballot that stood in the way, if one did; `undefined` when it holds the value now. */
  async #deliver(
    node: string,
    name: Name,
    { accepted: ballot, value }: Held,
    layout: number,
    chunk: Chunk | undefined,
  ): Promise<Ballot | undefined> {
    const { ring, replica, gate } = this.#deps;
    assert(value, "whoever has accepted something has a value");
    try {
      const reply = node === ring.self
        ? await replica.accept(name, ballot, value, layout)
        : (await gate.call(node, { type: "accept", name, ballot, value, chunk }, {
          timeoutMs: CALL_TIMEOUT_MS,
          layout,
        })).reply;
      if (reply.kind === "refused") return reply.promised;
      this.#delivered.add();
      return undefined;
    } catch (error) {
      // An older node fetches the chunk for itself.
      if (chunk && isAtollError(error, "peer-refused")) {
        return await this.#deliver(node, name, { accepted: ballot, value }, layout, undefined);
      }
      return NO_BALLOT; // not reached: neither alike nor in the way
    }
  }
}
