/**
 * The acceptor's half of a CASPaxos register (arXiv 1802.07000): data in, data out.
 *
 * Invariant: a state that was returned must be durable before its reply leaves the node. Everything else, above all
 * when to send what, is the caller's.
 */
import { type Ballot, compareBallots, NO_BALLOT, sameBallot } from "./ballot.ts";
import { type Manifest, manifestBytes } from "./manifest.ts";
import type { Name } from "./names.ts";

/** What a register can hold. A tombstone keeps the version, so that versions never repeat. */
export type Content = { readonly kind: "object"; readonly manifest: Manifest } | {
  readonly kind: "tombstone";
};

export interface RegisterValue {
  /** 1 for the first committed change of a name, one more for each after it; also the fencing token. */
  readonly version: number;
  /** Of the commit, ms since the epoch; never before that of the version it replaced. */
  readonly modifiedMs: number;
  /** Names the change that made this value, however many ballots carried it. */
  readonly changeId: string;
  /** The changes before it, newest first, so that a proposer whose value was built upon learns that it took effect. */
  readonly ancestors: readonly string[];
  readonly content: Content;
}

/** Enough for a proposer that was overtaken that often while it backed off; beyond, it says "unknown". 16 characters each. */
export const ANCESTORS_MAX = 64;

export interface AcceptorState {
  readonly promised: Ballot;
  readonly accepted: Ballot;
  readonly value: RegisterValue | null;
}

/** An acceptor's state with the name it is of. */
export interface RegisterRow {
  readonly name: Name;
  readonly state: AcceptorState;
}

/**
 * What a register that is not there is taken for, slot by slot: a tombstone that was collected there had at most this
 * version, and its replica had promised at most this ballot. So versions never repeat, and no message that was sent
 * before the collection finds an acceptor that would listen to it.
 */
export interface Floor {
  readonly version: number;
  readonly promised: Ballot;
}

export const NO_FLOOR: Floor = { version: 0, promised: NO_BALLOT };

export function higherFloor(a: Floor, b: Floor): Floor {
  return {
    version: Math.max(a.version, b.version),
    promised: compareBallots(a.promised, b.promised) < 0 ? b.promised : a.promised,
  };
}

export const EMPTY_ACCEPTOR: AcceptorState = { promised: NO_BALLOT, accepted: NO_BALLOT, value: null };

export type PrepareReply =
  | {
    readonly kind: "promised";
    readonly accepted: Ballot;
    readonly value: RegisterValue | null;
    /** Where there is no value: the version that any earlier one had at most. */
    readonly floor?: number | undefined;
  }
  | { readonly kind: "refused"; readonly promised: Ballot };

export type AcceptReply = { readonly kind: "accepted" } | {
  readonly kind: "refused";
  readonly promised: Ballot;
};

/** Phase 1b. Strictly greater only: see ballot.ts. */
export function prepare(state: AcceptorState, ballot: Ballot): { state: AcceptorState; reply: PrepareReply } {
  if (compareBallots(ballot, state.promised) <= 0) {
    return { state, reply: { kind: "refused", promised: state.promised } };
  }
  return {
    state: { ...state, promised: ballot },
    reply: { kind: "promised", accepted: state.accepted, value: state.value },
  };
}

/** Phase 2b. The same accept delivered again changes nothing and is answered alike. */
export function accept(
  state: AcceptorState,
  ballot: Ballot,
  value: RegisterValue,
): { state: AcceptorState; reply: AcceptReply } {
  if (compareBallots(ballot, state.promised) < 0) {
    return { state, reply: { kind: "refused", promised: state.promised } };
  }
  if (sameBallot(ballot, state.accepted)) return { state, reply: { kind: "accepted" } };
  return { state: { promised: ballot, accepted: ballot, value }, reply: { kind: "accepted" } };
}

/** The value that a change makes of the current one; `floor`: see `Floor`, for where there is none. */
export function successor(
  current: RegisterValue | null,
  change: { changeId: string; content: Content; nowMs: number },
  floor = 0,
): RegisterValue {
  return {
    version: (current?.version ?? floor) + 1,
    modifiedMs: Math.max(change.nowMs, current?.modifiedMs ?? 0),
    changeId: change.changeId,
    ancestors: current ? [current.changeId, ...current.ancestors].slice(0, ANCESTORS_MAX) : [],
    content: change.content,
  };
}

/** Roughly what a value takes in memory. */
export function valueBytes({ ancestors, content }: RegisterValue): number {
  const bytes = 400 + 40 * ancestors.length;
  return content.kind === "object" ? bytes + manifestBytes(content.manifest) : bytes;
}

/** The version at which a change took effect in the lineage of `value`, if it is known to have. */
export function versionOfChange(value: RegisterValue | null, changeId: string): number | undefined {
  if (!value) return undefined;
  if (value.changeId === changeId) return value.version;
  const depth = value.ancestors.indexOf(changeId);
  return depth === -1 ? undefined : value.version - depth - 1;
}
