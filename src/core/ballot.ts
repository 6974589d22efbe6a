/**
 * Ballots order the attempts on a register (CASPaxos, arXiv 1802.07000, section 2.2).
 *
 * A ballot belongs to one proposer, and a proposer proposes at most one value in it. Should a restarted node reuse a
 * counter, nothing breaks: acceptors promise only to strictly greater ballots, so the second use finds no majority.
 */
export interface Ballot {
  readonly counter: number;
  readonly node: string;
}

/** Below every real ballot: what an acceptor that has seen nothing holds. */
export const NO_BALLOT: Ballot = { counter: 0, node: "" };

export function compareBallots(a: Ballot, b: Ballot): number {
  if (a.counter !== b.counter) return a.counter < b.counter ? -1 : 1;
  if (a.node === b.node) return 0;
  return a.node < b.node ? -1 : 1;
}

export function sameBallot(a: Ballot, b: Ballot): boolean {
  return a.counter === b.counter && a.node === b.node;
}

/** The least ballot of `node` above `seen`. */
export function nextBallot(seen: Ballot, node: string): Ballot {
  return { counter: seen.counter + 1, node };
}
