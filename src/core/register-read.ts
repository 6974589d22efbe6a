/**
 * A strong read: has a majority accepted one and the same ballot? Then its value is the newest that any finished write
 * can have left, since that write's majority would share a member with this one, and that member would have reported
 * the later ballot. One round trip. Otherwise some write is under way or was left half done, and must be finished first.
 */
import { type Ballot, compareBallots, NO_BALLOT } from "./ballot.ts";
import { Tally, type Testimony, Witnesses } from "./quorum.ts";
import type { RegisterValue } from "./register.ts";

export interface ReadReport {
  readonly accepted: Ballot;
  readonly value: RegisterValue | null;
  readonly testimony?: Testimony | undefined;
}

export type ReadStep =
  | { readonly kind: "wait" }
  | { readonly kind: "current"; readonly report: ReadReport }
  /** Every majority is mixed: a full round has to finish what was begun. `above`: the greatest ballot seen. */
  | { readonly kind: "mixed"; readonly above: Ballot }
  | { readonly kind: "unreachable" };

export class RegisterRead {
  readonly #sets: readonly (readonly string[])[];
  readonly #witnesses = new Witnesses();
  readonly #answered: Tally;
  readonly #alike = new Map<string, { tally: Tally; report: ReadReport }>();
  readonly #members: Set<string>;
  readonly #heard = new Set<string>();
  #highest: Ballot = NO_BALLOT;
  #done = false;

  constructor(sets: readonly (readonly string[])[]) {
    this.#sets = sets;
    this.#answered = new Tally(sets, this.#witnesses);
    this.#members = new Set(sets.flat());
  }

  /** What a member has accepted, or `undefined` when no answer will come from it. */
  reported(from: string, report: ReadReport | undefined): ReadStep {
    if (this.#done || this.#heard.has(from) || !this.#members.has(from)) return { kind: "wait" };
    this.#heard.add(from);
    this.#witnesses.heard(from, report?.testimony);
    const answered = this.#answered.vote(from, report !== undefined);
    if (report) {
      if (compareBallots(report.accepted, this.#highest) > 0) this.#highest = report.accepted;
      const id = `${report.accepted.counter} ${report.accepted.node}`;
      let same = this.#alike.get(id);
      if (!same) this.#alike.set(id, same = { tally: new Tally(this.#sets, this.#witnesses), report });
      if (same.tally.vote(from, true) === "reached") {
        return this.#finish({ kind: "current", report: same.report });
      }
    }
    if (answered === "impossible") return this.#finish({ kind: "unreachable" });
    // Each group hopes for everyone who is still silent; when none can win any more, waiting is pointless.
    if (answered === "reached" && !this.#canStillAgree()) {
      return this.#finish({ kind: "mixed", above: this.#highest });
    }
    return { kind: "wait" };
  }

  /** For a caller that will not wait for the stragglers: enough answered, but they differ. */
  get mixedSoFar(): Ballot | undefined {
    return !this.#done && this.#answered.decision === "reached" ? this.#highest : undefined;
  }

  #canStillAgree(): boolean {
    const silent = [...this.#members].filter((member) => !this.#heard.has(member));
    if (silent.length === 0) return false;
    for (const { tally } of this.#alike.values()) {
      if (tally.couldReachWith(silent)) return true;
    }
    return new Tally(this.#sets).couldReachWith(silent);
  }

  #finish(step: ReadStep): ReadStep {
    this.#done = true;
    return step;
  }
}
