/**
 * Changes of the layout: each the decree of its number (single-decree Paxos), decided by a majority of the voters that
 * the layout before it names. A proposer that meets a layout which may have been decided carries that one on, and then
 * looks at its own change again.
 */
import { type Ballot, compareBallots, nextBallot, NO_BALLOT } from "../../core/ballot.ts";
import { type Layout, sameLayout } from "../../core/layout.ts";
import type { Planned } from "../../core/layout-change.ts";
import { Tally, type Testimony, Witnesses } from "../../core/quorum.ts";
import { AtollError, messageOf } from "../../errors.ts";
import type { Clock, Random } from "../../ports.ts";
import type { PeerGate } from "../peer-gate.ts";
import type { Memories } from "../repair/memories.ts";
import type { Ring } from "../ring.ts";
import { pause } from "../waiting.ts";
import type { DecreeAcceptor } from "./decree-acceptor.ts";
import type { Layouts } from "./layouts.ts";

const CALL_TIMEOUT_MS = 2_500;
const DEADLINE_MS = 15_000;
const BACKOFF_MS = 50;
const BACKOFF_MAX_MS = 1_000;

export type Decided =
  /** It is in use here. */
  | { readonly kind: "decided"; readonly layout: Layout }
  | Exclude<Planned, { kind: "planned" }>;

export interface DecreesDeps {
  ring: Ring;
  layouts: Layouts;
  decree: DecreeAcceptor;
  memories: Memories;
  gate: PeerGate;
  clock: Clock;
  random: Random;
}

interface Vote {
  /** The greatest ballot promised, if the vote was refused. */
  readonly refusedBy?: Ballot | undefined;
  readonly accepted?: Ballot | undefined;
  readonly layout?: Layout | null | undefined;
  readonly testimony?: Testimony | undefined;
}

export class Decrees {
  readonly #deps: DecreesDeps;

  constructor(deps: DecreesDeps) {
    this.#deps = deps;
  }

  /**
   * `plan`: what to make of the layout in use; asked again whenever another one came first. Rejects with `no-quorum`; the
   * change may then still be found and carried on by whoever proposes next.
   */
  async propose(plan: (current: Layout) => Planned): Promise<Decided> {
    const { ring, layouts, clock, random } = this.#deps;
    const deadlineMs = clock.monotonicMs() + DEADLINE_MS;
    let seen = NO_BALLOT;
    let last: { readonly current: Layout; readonly planned: Planned } | undefined;
    let reason: unknown = "there is no layout yet";
    for (let tries = 0; clock.monotonicMs() < deadlineMs; tries++) {
      await layouts.caughtUp();
      const current = ring.layout;
      if (!current) break;
      if (last?.current !== current) {
        const own = last?.planned.kind === "planned" ? last.planned.layout : undefined;
        // Some voter had accepted it, and somebody else carried it on.
        if (own && sameLayout(current, own)) return { kind: "decided", layout: own };
        // A table takes long to compute, and may have to be proposed often.
        last = { current, planned: plan(current) };
      }
      const { planned } = last;
      if (planned.kind !== "planned") return planned;
      const own = planned.layout;
      const ballot = nextBallot(higher(seen, this.#deps.decree.highest), ring.self);
      try {
        const decided = await this.#decide(current, own, ballot);
        await layouts.adopt(decided);
        // Also one that an earlier try of ours had brought as far as some voter.
        if (sameLayout(decided, own)) return { kind: "decided", layout: own };
        continue; // somebody else's: then on top of that
      } catch (error) {
        reason = error;
        if (error instanceof Refused) seen = higher(seen, error.by);
      }
      seen = higher(seen, ballot);
      await pause(clock, random.fraction() * Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** tries));
    }
    throw new AtollError("no-quorum", `wanted a majority of voters on a layout: ${messageOf(reason)}`, {
      cause: reason,
    });
  }

  /** The layout a majority of the voters accepted in `ballot`. */
  async #decide({ number, voters }: Layout, own: Layout, ballot: Ballot): Promise<Layout> {
    const { gate } = this.#deps;
    const options = { timeoutMs: CALL_TIMEOUT_MS, layout: number };
    const next = number + 1;
    const promises = await this.#majority(voters, async (id): Promise<Vote> => {
      const { reply, testimony } = id === this.#deps.ring.self
        ? { reply: await this.#deps.decree.prepare(next, ballot), testimony: this.#deps.memories.testimony() }
        : await gate.call(id, { type: "decree-prepare", number: next, ballot }, options);
      return reply.kind === "refused" ? { refusedBy: reply.promised, testimony } : { ...reply, testimony };
    });
    const highest = promises.reduce<Vote>(
      (best, vote) =>
        compareBallots(vote.accepted ?? NO_BALLOT, best.accepted ?? NO_BALLOT) > 0 ? vote : best,
      {},
    );
    const layout = highest.layout ?? own;
    await this.#majority(voters, async (id): Promise<Vote> => {
      const { reply, testimony } = id === this.#deps.ring.self
        ? {
          reply: await this.#deps.decree.accept(ballot, layout),
          testimony: this.#deps.memories.testimony(),
        }
        : await gate.call(id, { type: "decree-accept", ballot, layout }, options);
      return { refusedBy: reply.kind === "refused" ? reply.promised : undefined, testimony };
    });
    return layout;
  }

  /** The votes of a majority that did not refuse. Rejects as soon as there can be none. */
  #majority(voters: readonly string[], ask: (id: string) => Promise<Vote>): Promise<Vote[]> {
    const witnesses = new Witnesses();
    const tally = new Tally([voters], witnesses);
    const votes = new Map<string, Vote>();
    let by = NO_BALLOT;
    let reason: unknown;
    return new Promise((resolve, reject) => {
      const count = (id: string, vote: Vote | undefined): void => {
        witnesses.heard(id, vote?.testimony);
        const yes = vote !== undefined && vote.refusedBy === undefined;
        if (yes) votes.set(id, vote);
        if (vote?.refusedBy) by = higher(by, vote.refusedBy);
        const decision = tally.vote(id, yes);
        if (decision === "reached") {
          resolve([...votes].flatMap(([voter, own]) => witnesses.isVoid(voter) ? [] : [own]));
        } else if (decision === "impossible") reject(new Refused(by, reason));
      };
      for (const id of voters) {
        ask(id).then((vote) => count(id, vote), (error: unknown) => {
          reason = error;
          count(id, undefined);
        });
      }
    });
  }
}

class Refused extends AtollError {
  readonly by: Ballot;

  constructor(by: Ballot, reason: unknown) {
    super("no-quorum", reason === undefined ? "another proposal came first" : messageOf(reason));
    this.by = by;
  }
}

function higher(a: Ballot, b: Ballot): Ballot {
  return compareBallots(a, b) < 0 ? b : a;
}
