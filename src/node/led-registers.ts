/**
 * Registers whose last change this node made: the next one it makes needs no promises, see `stepAfter` in core/ballot.ts,
 * and is done after one round trip instead of two. Kept in memory only: a node that was started anew has led nothing.
 */
import { type Ballot, sameBallot, stepAfter } from "../core/ballot.ts";
import type { Name } from "../core/names.ts";
import { hasMajority } from "../core/quorum.ts";
import type { RegisterValue } from "../core/register.ts";
import type { Membership } from "./membership.ts";
import type { Replica } from "./replica.ts";
import type { Quorum, Ring } from "./ring.ts";

/** Of about 200 bytes each. */
const LED_MAX = 20_000;

export interface LedRegistersDeps {
  ring: Ring;
  replica: Replica;
  membership: Membership;
}

export interface Lead {
  /** To propose in, once. */
  readonly ballot: Ballot;
  /** Committed; and as far as this node's own acceptor knows nobody has promised anything beyond. */
  readonly value: RegisterValue;
}

export class LedRegisters {
  readonly #deps: LedRegistersDeps;
  /** Those that were changed last are the last. */
  readonly #led = new Map<Name, { readonly ballot: Ballot; readonly layout: number }>();

  constructor(deps: LedRegistersDeps) {
    this.#deps = deps;
  }

  /** A majority by that layout accepted what this node proposed in that ballot. Of tombstones see `Replica.forget`. */
  committed(name: Name, ballot: Ballot, value: RegisterValue, layout: number): void {
    this.#led.delete(name);
    if (value.content.kind !== "object" || !this.#deps.ring.isReplica(name)) return;
    this.#led.set(name, { ballot, layout });
    if (this.#led.size > LED_MAX) this.#led.delete(this.#led.keys().next().value!);
  }

  /**
   * Undefined where a full round is needed. The lead is taken: whoever gets it proposes in it, or nobody does. While a
   * majority seems out of reach there is none: a round that fails in its first phase surely changed nothing, and says so.
   */
  async take(name: Name, { number, sets }: Quorum): Promise<Lead | undefined> {
    const { ring, replica, membership } = this.#deps;
    const led = this.#led.get(name);
    if (!led) return undefined;
    this.#led.delete(name);
    if (led.layout !== number) return undefined;
    const isThere = (id: string): boolean => id === ring.self || membership.isAlive(id);
    if (!sets.every((set) => hasMajority(set, isThere))) return undefined;
    try {
      const { promised, accepted, value } = await replica.read(name, number);
      const isLast = sameBallot(promised, led.ballot) && sameBallot(accepted, led.ballot);
      const ballot = stepAfter(led.ballot, ring.self);
      return isLast && value !== null && ballot ? { ballot, value } : undefined;
    } catch {
      return undefined; // no vote of its own
    }
  }
}
