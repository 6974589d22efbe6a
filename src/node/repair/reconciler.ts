/**
 * Brings the replicas of one register together: the greatest ballot that any of them has accepted goes to those that lack
 * it. To deliver an accept once more is always right, whoever does it and however late: the acceptor decides.
 */
import { type Ballot, compareBallots, NO_BALLOT, sameBallot } from "../../core/ballot.ts";
import type { Name } from "../../core/names.ts";
import type { RegisterValue } from "../../core/register.ts";
import { assert } from "../../errors.ts";
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
  gate: PeerGate;
  registers: Registers;
  metrics: Metrics;
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
      let refusedBy = NO_BALLOT;
      await Promise.all([...held].map(async ([node, { accepted }]) => {
        if (sameBallot(accepted, newest.accepted)) alike.add(node);
        else {
          const refusal = await this.#deliver(node, name, newest, layout);
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

  /** The ballot that stood in the way, if one did; `undefined` when it holds the value now. */
  async #deliver(
    node: string,
    name: Name,
    { accepted: ballot, value }: Held,
    layout: number,
  ): Promise<Ballot | undefined> {
    const { ring, replica, gate } = this.#deps;
    assert(value, "whoever has accepted something has a value");
    try {
      const reply = node === ring.self
        ? await replica.accept(name, ballot, value, layout)
        : (await gate.call(node, { type: "accept", name, ballot, value }, {
          timeoutMs: CALL_TIMEOUT_MS,
          layout,
        })).reply;
      if (reply.kind === "refused") return reply.promised;
      this.#delivered.add();
      return undefined;
    } catch {
      return NO_BALLOT; // not reached: neither alike nor in the way
    }
  }
}
