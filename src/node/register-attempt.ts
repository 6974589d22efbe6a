/** One change of a register: what is wanted of it, and what is known of it from round to round. */
import { type Ballot, NO_BALLOT } from "../core/ballot.ts";
import type { ChunkId } from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import type { Testimony } from "../core/quorum.ts";
import type { AcceptReply, Content, PrepareReply, RegisterValue } from "../core/register.ts";
import type { RegisterRound } from "../core/register-round.ts";
import { isAtollError, messageOf } from "../errors.ts";

export type Verdict = { readonly kind: "write"; readonly content: Content } | { readonly kind: "stop" };

export interface ChangeRequest {
  readonly name: Name;
  /** Asked with a value that may still change until the answer is known; pure, and may be asked several times. */
  readonly decide: (current: RegisterValue | null) => Verdict;
  /** A small object's chunk, made durable by a majority before anything is proposed. */
  readonly chunk?: { id: ChunkId; bytes: Uint8Array } | undefined;
  readonly trace?: string | undefined;
  /** Where `decide` stops at a value that is committed: it is accepted once more all the same. */
  readonly rewrite?: boolean;
}

/** Our change took effect, at `version`; `value` is the newest committed value, which may be a later one. */
export interface Changed {
  readonly kind: "changed";
  readonly version: number;
  readonly value: RegisterValue;
  readonly ballot: Ballot;
  /** Clock reading before which nobody had a newer value. */
  readonly knownAtMs: number;
  /** Phases in which the replicas were asked, one after the other; 0 where this node is the only one. */
  readonly trips: number;
}

export type ChangeOutcome =
  | Changed
  /** `decide` stopped at the committed value. */
  | { readonly kind: "stopped"; readonly value: RegisterValue | null };

export interface Attempt {
  readonly request: ChangeRequest;
  readonly changeId: string;
  /** Our value was proposed to somebody: from here on it may take effect. */
  begun: boolean;
  /** The lowest version it was proposed as; Infinity before. */
  firstVersion: number;
  /** Replicas that made the chunk durable. */
  readonly stored: Set<string>;
  /** See `Changed.trips`. */
  trips: number;
}

export interface Vote {
  readonly reply: PrepareReply | AcceptReply;
  readonly testimony?: Testimony | undefined;
}

export type Step = ReturnType<RegisterRound["prepared"]> & { cause?: unknown; overtaken?: boolean };

export interface Failure {
  readonly kind: "failed";
  readonly above: Ballot;
  readonly reason: string;
  /** Somebody goes by a newer layout than the round did. */
  readonly overtaken: boolean;
}

/** Disk faults are passed on as they are when nothing was proposed; everything else is "no majority". */
export function failure(step: Step, attempt: Attempt): Failure {
  if (!attempt.begun && isAtollError(step.cause, "storage-full")) throw step.cause;
  return {
    kind: "failed",
    above: step.kind === "failed" ? step.above : NO_BALLOT,
    overtaken: step.overtaken === true,
    reason: step.cause === undefined ? "the others refused" : messageOf(step.cause),
  };
}
