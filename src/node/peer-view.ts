/** What this node itself has seen of one peer; what the ring says of it is in the member list. */
import { FailureDetector, type UsualWait, type Verdict } from "../core/failure-detector.ts";
import type { Member, MemberState } from "../core/member-list.ts";
import type { NodeCard } from "../ports.ts";

/** Weight of a new sample in the smoothed round trip, as in TCP (RFC 6298). */
const GAIN = 1 / 8;
/** An answer is late after three round trips, but not before this, and surely by the next period. */
const LATE_MIN_MS = 450;
const LATE_MAX_MS = 1_000;

/** Why a peer is not asked first. `unknown`: it was never heard of but from others; `rumour`: the ring suspects it. */
export type Doubt = Exclude<Verdict, "answers"> | "unknown" | "rumour" | "leaving" | "gone";

/** One member, for who wants to see. */
export interface MemberView {
  readonly card: NodeCard;
  readonly state: MemberState;
  /** Why it is not asked first, if it is not. */
  readonly doubt: Doubt | undefined;
  /** Ms since the epoch: since when the ring says what it says of it, as this node heard. */
  readonly since: number;
  readonly rttMs: number | undefined;
}

export class PeerView {
  readonly id: string;
  readonly detector: FailureDetector;
  /** What the node went by when it last looked; undefined: it is alive. */
  doubt: Doubt | undefined = "unknown";
  /** What the ring said of it when the node last looked. */
  toldState: MemberState | undefined;
  lastHeardMs = -Infinity;
  /** When somebody else last reached it for this node. */
  reachedByOthersMs = -Infinity;
  pingedMs = -Infinity;
  /** Smoothed ms of a ping; undefined before the first answer. */
  rttMs: number | undefined;
  /** Under way. */
  pings = 0;
  /** Rounds of asking others about it, under way. */
  othersAsked = 0;
  isTriedOut = false;
  /** The number it last gave itself. */
  saidNumber = 0;

  constructor(id: string, usual: UsualWait) {
    this.id = id;
    this.detector = new FailureDetector(usual);
  }

  get isAlive(): boolean {
    return this.doubt === undefined;
  }

  /** Asked in vain: not merely spoken of, or never heard from. */
  get isLost(): boolean {
    return this.doubt !== undefined && this.doubt !== "unknown" && this.doubt !== "rumour" &&
      this.doubt !== "leaving";
  }

  measured(rttMs: number): void {
    this.rttMs = this.rttMs === undefined ? rttMs : this.rttMs + GAIN * (rttMs - this.rttMs);
  }

  isLate(nowMs: number): boolean {
    const lateMs = Math.min(LATE_MAX_MS, Math.max(LATE_MIN_MS, 3 * (this.rttMs ?? 0)));
    return this.detector.waitedMs(nowMs) >= lateMs;
  }

  /** What is seen goes before what is said: who was heard from since is not dead. But whoever leaves, leaves. */
  doubtOf(member: Member<NodeCard>, nowMs: number): Doubt | undefined {
    const verdict = this.detector.verdict(nowMs);
    if (verdict !== "answers") return verdict;
    if (this.lastHeardMs === -Infinity && this.detector.isWaiting) return "unknown";
    const { state } = member;
    if (state === "leaving" || state === "gone") return state;
    if (state === "alive" || state === "joining" || this.lastHeardMs >= member.sinceMs) return undefined;
    return member.number === 0 ? "unknown" : "rumour";
  }

  /** The member's state as this node sees it. */
  stateOf({ state }: Member<NodeCard>): MemberState {
    if (this.doubt === undefined) return state === "joining" ? "joining" : "alive";
    return state === "alive" || state === "joining" ? "suspect" : state;
  }
}
