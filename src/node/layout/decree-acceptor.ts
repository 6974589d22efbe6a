/**
 * One node's vote on layouts. Layout n+1 is a decree (single-decree Paxos) voted by the voters that layout n names; the
 * first by those who found the ring. A vote is durable before it is told, and there is none on a decree that is not the
 * next after the layout this node goes by.
 */
import { type Ballot, compareBallots, NO_BALLOT, sameBallot } from "../../core/ballot.ts";
import { type Layout, layoutProblem } from "../../core/layout.ts";
import type { AcceptReply } from "../../core/register.ts";
import { AtollError } from "../../errors.ts";
import type { Catalog, DecreePrepareReply, DecreeState } from "../../ports.ts";
import { KeyedQueue } from "../keyed-queue.ts";

const DOCUMENT = "decree";

interface Kept extends DecreeState {
  /** This disk is new to its ring: an earlier one may have voted, see node/repair/recovery.ts. */
  readonly lost?: boolean;
}

const NOTHING: Kept = { number: 0, promised: NO_BALLOT, accepted: NO_BALLOT, layout: null };

export class DecreeAcceptor {
  readonly #catalog: Catalog;
  readonly #layoutNumber: () => number;
  readonly #queue = new KeyedQueue();
  #kept: Kept = NOTHING;

  /** `layoutNumber`: of the layout this node goes by, 0 before there is one. */
  constructor(catalog: Catalog, layoutNumber: () => number) {
    this.#catalog = catalog;
    this.#layoutNumber = layoutNumber;
  }

  async load(): Promise<void> {
    const text = await this.#catalog.document(DOCUMENT);
    if (text !== undefined) this.#kept = JSON.parse(text) as Kept;
  }

  get highest(): Ballot {
    return this.#at(this.#layoutNumber() + 1).promised;
  }

  /** The next layout, where this node has accepted one: whoever proposed it tells what came of it, if it still can. */
  get accepted(): Layout | null {
    return this.#at(this.#layoutNumber() + 1).layout;
  }

  get hasForgotten(): boolean {
    return this.#kept.lost === true;
  }

  /** What a voter that lost its own may be told. */
  get state(): DecreeState {
    this.#mustRemember();
    const { number, promised, accepted, layout } = this.#at(this.#layoutNumber() + 1);
    return { number, promised, accepted, layout };
  }

  /** Whether this node's disk remembers founding that ring. */
  hasAccepted(layout: Layout): boolean {
    return this.#kept.layout?.ringId === layout.ringId;
  }

  prepare(number: number, ballot: Ballot): Promise<DecreePrepareReply> {
    return this.#queue.run("", async () => {
      const kept = this.#vote(number);
      if (compareBallots(ballot, kept.promised) <= 0) return { kind: "refused", promised: kept.promised };
      await this.#save({ ...kept, promised: ballot });
      return { kind: "promised", accepted: kept.accepted, layout: kept.layout };
    });
  }

  /** Rejects with `peer-garbage` for what is no layout: once accepted, nobody could read this voter's promises any more. */
  accept(ballot: Ballot, layout: Layout): Promise<AcceptReply> {
    return this.#queue.run("", async () => {
      const problem = layoutProblem(layout);
      if (problem !== undefined) throw new AtollError("peer-garbage", `not a layout: ${problem}`);
      const kept = this.#vote(layout.number);
      if (compareBallots(ballot, kept.promised) < 0) return { kind: "refused", promised: kept.promised };
      if (!sameBallot(ballot, kept.accepted)) {
        await this.#save({ number: layout.number, promised: ballot, accepted: ballot, layout });
      }
      return { kind: "accepted" };
    });
  }

  /** What to commit together with a layout that names a node which knows nothing of having voted. */
  forgotten(): { key: string; text: string } {
    this.#kept = { ...NOTHING, lost: true };
    return { key: DOCUMENT, text: JSON.stringify(this.#kept) };
  }

  /** Puts back what a majority of the other voters knows. */
  restore(state: DecreeState): Promise<void> {
    return this.#queue.run("", () => this.#save(state));
  }

  #vote(number: number): Kept {
    this.#mustRemember();
    const next = this.#layoutNumber() + 1;
    if (number !== next) {
      throw new AtollError("wrong-layout", `wanted a vote on layout ${next}, got one on layout ${number}`);
    }
    return this.#at(number);
  }

  #at(number: number): Kept {
    return this.#kept.number === number ? this.#kept : { ...NOTHING, number };
  }

  #mustRemember(): void {
    if (!this.hasForgotten) return;
    throw new AtollError(
      "peer-refused",
      "this voter has lost its disk, and has no vote until it knows again",
    );
  }

  async #save(kept: Kept): Promise<void> {
    await this.#catalog.commit({ documents: [{ key: DOCUMENT, text: JSON.stringify(kept) }] });
    this.#kept = kept;
  }
}
