/**
 * Majorities, decided as early as they can be.
 *
 * A tally counts answers against one or several sets of members, each of which needs a majority of its own: one set
 * in a settled layout, two while replicas move. It is three-valued, as etcd/raft's votes are: a caller stops waiting
 * as soon as the majority is there *or can no longer come*.
 */

import { type Ballot, compareBallots, NO_BALLOT } from "./ballot.ts";

export type Decision = "pending" | "reached" | "impossible";

/**
 * Which disk a voter speaks from, and which disks of others it knows to be the newest.
 *
 * A node whose disk was wiped has forgotten what it promised and accepted. Before it votes again, a majority of the
 * others durably notes its new memory, and only then tells it what they hold (node/repair/recovery.ts). A vote is void
 * as soon as any voter beside it knows of a newer memory of that voter: of two majorities, one with the old disk's vote
 * and one of those that were asked, the member they share either told the new disk what it knew, or betrays the old one.
 */
export interface Testimony {
  /** `NO_BALLOT` for the disk a node began with. */
  readonly memory: Ballot;
  readonly witnessed: readonly { readonly node: string; readonly memory: Ballot }[];
}

/** What the voters of one question say of each other's disks. */
export class Witnesses {
  readonly #memories = new Map<string, Ballot>();
  readonly #newest = new Map<string, Ballot>();

  heard(voter: string, testimony: Testimony | undefined): void {
    if (!testimony) return;
    this.#memories.set(voter, testimony.memory);
    this.#know(voter, testimony.memory);
    for (const { node, memory } of testimony.witnessed) this.#know(node, memory);
  }

  isVoid(voter: string): boolean {
    const newest = this.#newest.get(voter);
    return newest !== undefined && compareBallots(this.#memories.get(voter) ?? NO_BALLOT, newest) < 0;
  }

  #know(node: string, memory: Ballot): void {
    if (compareBallots(memory, this.#newest.get(node) ?? NO_BALLOT) > 0) this.#newest.set(node, memory);
  }
}

/** The smallest count any two of which, among `members`, share a member. */
export function majorityOf(members: number): number {
  return Math.floor(members / 2) + 1;
}

/** Whether so many of the set are there that they decide. */
export function hasMajority(set: readonly string[], isThere: (id: string) => boolean): boolean {
  return set.filter(isThere).length >= majorityOf(set.length);
}

export class Tally {
  readonly #sets: readonly (readonly string[])[];
  readonly #witnesses: Witnesses | undefined;
  readonly #votes = new Map<string, boolean>();

  /**
   * `sets`: member ids; a member may stand in several sets, and within a set once. `witnesses`: a yes they void is a no,
   * also when they void it later.
   */
  constructor(sets: readonly (readonly string[])[], witnesses?: Witnesses) {
    this.#sets = sets;
    this.#witnesses = witnesses;
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
      set.filter((member) => this.#vote(member) === true || hoped.has(member)).length >=
        majorityOf(set.length)
    );
  }

  #vote(member: string): boolean | undefined {
    const vote = this.#votes.get(member);
    return vote === true && this.#witnesses?.isVoid(member) ? false : vote;
  }

  #decide(set: readonly string[]): Decision {
    const needed = majorityOf(set.length);
    let yes = 0;
    let no = 0;
    for (const member of set) {
      const vote = this.#vote(member);
      if (vote === true) yes++;
      else if (vote === false) no++;
    }
    if (yes >= needed) return "reached";
    return set.length - no < needed ? "impossible" : "pending";
  }
}
