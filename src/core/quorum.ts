/**
 * Majorities, decided as early as they can be.
 *
 * A tally counts answers against one or several sets of members, each of which needs a majority of its own: one set
 * in a settled layout, two while replicas move. It is three-valued, as etcd/raft's votes are: a caller stops waiting
 * as soon as the majority is there *or can no longer come*.
 */

export type Decision = "pending" | "reached" | "impossible";

/** The smallest count any two of which, among `members`, share a member. */
export function majorityOf(members: number): number {
  return Math.floor(members / 2) + 1;
}

export class Tally {
  readonly #sets: readonly (readonly string[])[];
  readonly #votes = new Map<string, boolean>();

  /** `sets`: member ids; a member may stand in several sets, and within a set once. */
  constructor(sets: readonly (readonly string[])[]) {
    this.#sets = sets;
  }

  /** The first vote of a member counts; a repeated answer changes nothing. */
  vote(member: string, yes: boolean): Decision {
    if (!this.#votes.has(member)) this.#votes.set(member, yes);
    return this.decision;
  }

  get decision(): Decision {
    let all: Decision = "reached";
    for (const set of this.#sets) {
      const decision = this.#decide(set);
      if (decision === "impossible") return "impossible";
      if (decision === "pending") all = "pending";
    }
    return all;
  }

  /** Whether a majority would be there if all of `others`, who have not voted yet, said yes. */
  couldReachWith(others: readonly string[]): boolean {
    const hoped = new Set(others);
    return this.#sets.every((set) =>
      set.filter((member) => this.#votes.get(member) === true || hoped.has(member)).length >=
        majorityOf(set.length)
    );
  }

  #decide(set: readonly string[]): Decision {
    const needed = majorityOf(set.length);
    let yes = 0;
    let no = 0;
    for (const member of set) {
      const vote = this.#votes.get(member);
      if (vote === true) yes++;
      else if (vote === false) no++;
    }
    if (yes >= needed) return "reached";
    return set.length - no < needed ? "impossible" : "pending";
  }
}
