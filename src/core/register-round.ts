/**
 * The proposer's half of a CASPaxos register: one ballot, from prepare to the majority of accepts. Replies in, the next
 * step out; it sends nothing and waits for nothing itself.
 */
import { type Ballot, compareBallots, NO_BALLOT, sameBallot } from "./ballot.ts";
import { Tally, type Testimony, Witnesses } from "./quorum.ts";
import type { AcceptReply, PrepareReply, RegisterValue } from "./register.ts";

export interface Current {
  readonly value: RegisterValue | null;
  /**
   * A majority already holds `value` in this very ballot: it is committed, and nothing proposed before can overtake it.
   * Otherwise it may be a half-finished write, and nobody may be told of it before it was accepted anew.
   */
  readonly committed: boolean;
  /** Where `value` is null: the version that any earlier one had at most. */
  readonly floor: number;
}

export type RoundStep =
  | { readonly kind: "wait" }
  /** A majority promised: decide on a value, or on none, then call `propose`. */
  | { readonly kind: "decide"; readonly current: Current }
  /** A majority accepted the proposed value. */
  | { readonly kind: "committed"; readonly value: RegisterValue }
  /** A majority can no longer come in this ballot. `above`: the greatest ballot that stood in the way, if one did. */
  | { readonly kind: "failed"; readonly above: Ballot };

export class RegisterRound {
  readonly ballot: Ballot;
  readonly #sets: readonly (readonly string[])[];
  readonly #promises: Tally;
  readonly #accepts: Tally;
  readonly #promisers = new Witnesses();
  readonly #accepters = new Witnesses();
  #phase: "prepare" | "deciding" | "accept" | "done" = "prepare";
  #proposed: RegisterValue | undefined;
  #refusedBy: Ballot = NO_BALLOT;
  #floor = 0;
  readonly #reports = new Map<string, Ballot>();
  #highest: { accepted: Ballot; value: RegisterValue | null } = { accepted: NO_BALLOT, value: null };

  /** `led`: the value for a ballot that needs no promises, see `stepAfter`; the round begins with its accepts. */
  constructor(ballot: Ballot, sets: readonly (readonly string[])[], led?: RegisterValue) {
    this.ballot = ballot;
    this.#sets = sets;
    if (led) {
      this.#proposed = led;
      this.#phase = "accept";
    }
    this.#promises = new Tally(sets, this.#promisers);
    this.#accepts = new Tally(sets, this.#accepters);
  }

  /** A reply to prepare, or `undefined` when none will come. */
  prepared(from: string, reply: PrepareReply | undefined, testimony?: Testimony): RoundStep {
    if (this.#phase !== "prepare") return { kind: "wait" };
    this.#promisers.heard(from, testimony);
    if (reply?.kind === "promised") {
      this.#reports.set(from, reply.accepted);
      this.#floor = Math.max(this.#floor, reply.floor ?? 0);
      if (compareBallots(reply.accepted, this.#highest.accepted) > 0) this.#highest = reply;
    } else if (reply) this.#refused(reply.promised);
    const decision = this.#promises.vote(from, reply?.kind === "promised");
    if (decision === "pending") return { kind: "wait" };
    if (decision === "impossible") return this.#fail();
    this.#phase = "deciding";
    const { value } = this.#highest;
    return { kind: "decide", current: { value, committed: this.#isCommitted(), floor: this.#floor } };
  }

  /** The value to commit. To answer from what is already committed, do not call this and drop the round. */
  propose(value: RegisterValue): void {
    if (this.#phase !== "deciding") throw new Error(`propose in phase ${this.#phase}`);
    this.#proposed = value;
    this.#phase = "accept";
  }

  /** A reply to accept, or `undefined` when none will come. */
  accepted(from: string, reply: AcceptReply | undefined, testimony?: Testimony): RoundStep {
    if (this.#phase !== "accept") return { kind: "wait" };
    this.#accepters.heard(from, testimony);
    if (reply?.kind === "refused") this.#refused(reply.promised);
    const decision = this.#accepts.vote(from, reply?.kind === "accepted");
    if (decision === "pending") return { kind: "wait" };
    if (decision === "impossible") return this.#fail();
    this.#phase = "done";
    return { kind: "committed", value: this.#proposed! };
  }

  #refused(promised: Ballot): void {
    if (compareBallots(promised, this.#refusedBy) > 0) this.#refusedBy = promised;
  }

  #fail(): RoundStep {
    this.#phase = "done";
    return { kind: "failed", above: this.#refusedBy };
  }

  #isCommitted(): boolean {
    const alike = new Tally(this.#sets, this.#promisers);
    for (const [member, ballot] of this.#reports) {
      if (sameBallot(ballot, this.#highest.accepted)) alike.vote(member, true);
    }
    return alike.decision === "reached";
  }
}
