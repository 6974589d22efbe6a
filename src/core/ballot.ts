/**
 * Ballots order the attempts on a register (CASPaxos, arXiv 1802.07000, section 2.2).
 *
 * A ballot belongs to one proposer, and a proposer proposes at most one value in it. Should a restarted node reuse a
 * counter, nothing breaks: acceptors promise only to strictly greater ballots, so the second use finds no majority.
 */
export interface Ballot {
  readonly counter: number;
  /** Of the proposer; after `#` which of its steps, see `stepAfter`. */
  readonly node: string;
}

/** Sorts before every character of a node's ID, so that nobody else's ballot stands between the steps of one. */
const STEP = "#";
const STEP_DIGITS = 4;
const STEPS_MAX = 16 ** STEP_DIGITS - 1;

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

/**
 * The ballot that follows one of `node`'s own whose value a majority accepted: of the same counter, below every other
 * ballot that is above it. Whoever promised the former promised to listen to nobody below, and there is nobody between the
 * two: so the promises hold for the step as well, and its value needs no phase 1 of its own, as with Paxos' lead over many
 * instances (Lamport, "Paxos Made Simple", section 3). Undefined when it is somebody else's, or its steps are used up.
 *
 * It may be proposed in once, and only by the very process that saw the former committed.
 */
export function stepAfter({ counter, node: proposer }: Ballot, node: string): Ballot | undefined {
  const [id, step = "0"] = proposer.split(STEP);
  const next = parseInt(step, 16) + 1;
  if (id !== node || next > STEPS_MAX) return undefined;
  return { counter, node: `${node}${STEP}${next.toString(16).padStart(STEP_DIGITS, "0")}` };
}

/** The least ballot of `node` above `seen` and all its steps. */
export function nextBallot(seen: Ballot, node: string): Ballot {
  return { counter: seen.counter + 1, node };
}
