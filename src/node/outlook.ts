/**
 * Whether a majority may answer at all. Where so many replicas are known not to that none can come about, nobody waits for a
 * question's whole time to learn it again: it is no-quorum at once, but for a short look whether they are back, and one a
 * second at those that only silence answers.
 */
import { hasMajority } from "../core/quorum.ts";
import { AtollError } from "../errors.ts";
import type { Clock } from "../ports.ts";
import type { Membership } from "./membership.ts";
import type { PeerGate } from "./peer-gate.ts";
import type { Quorum, Ring } from "./ring.ts";

const LOOK_INTERVAL_MS = 1_000;
/** A look takes two of its last known round trips, within these bounds. */
const LOOK_ROUND_TRIPS = 2;
const LOOK_MIN_MS = 100;
const LOOK_MAX_MS = 1_000;

/** A majority of each of the sets is wanted; `replicas`: of all of them. */
type Voters = Pick<Quorum, "replicas" | "sets">;

interface Look {
  readonly begunMs: number;
  /** Never rejects. */
  readonly over: Promise<void>;
}

export class Outlook {
  readonly #deps: { ring: Ring; membership: Membership; gate: PeerGate; clock: Clock };
  /** By node: under way, or in vain. */
  readonly #looks = new Map<string, Look>();

  constructor(deps: { ring: Ring; membership: Membership; gate: PeerGate; clock: Clock }) {
    this.#deps = deps;
  }

  /** Rejects with `no-quorum` where a majority is known to be out of reach. */
  async mustHope(quorum: Voters): Promise<void> {
    if (!this.#isHopeless(quorum)) return;
    await Promise.all(quorum.replicas.filter((id) => this.#isLost(id)).map((id) => this.#look(id)));
    if (!this.#isHopeless(quorum)) return;
    const lost = quorum.replicas.filter((id) => this.#isLost(id));
    throw new AtollError(
      "no-quorum",
      `wanted a majority of ${quorum.replicas.length} replicas, ${lost.length} of them do not answer: ${lost.join()}`,
    );
  }

  #isHopeless({ sets }: Voters): boolean {
    return !sets.every((set) => hasMajority(set, (id) => !this.#isLost(id)));
  }

  #isLost(id: string): boolean {
    return id !== this.#deps.ring.self && this.#deps.membership.isLost(id);
  }

  /** One at a time, whoever waits for it. */
  #look(id: string): Promise<void> {
    const { gate, membership, clock } = this.#deps;
    const nowMs = clock.monotonicMs();
    const last = this.#looks.get(id);
    if (last && nowMs - last.begunMs < LOOK_INTERVAL_MS) return last.over;
    const usualMs = LOOK_ROUND_TRIPS * membership.rttMs(id);
    const timeoutMs = Math.min(LOOK_MAX_MS, Math.max(LOOK_MIN_MS, usualMs));
    const ended = (): void => {
      if (clock.monotonicMs() - nowMs < timeoutMs) this.#looks.delete(id);
    };
    // An answer, whichever, makes it alive: the gate passes it on.
    const over = gate.call(id, { type: "chunks-held", ids: [] }, { timeoutMs }).then(ended, ended);
    this.#looks.set(id, { begunMs: nowMs, over });
    return over;
  }
}
