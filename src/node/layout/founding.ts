/**
 * How a ring begins: layout 1, agreed by all of its founders.
 *
 * The decree is a register whose acceptors are the founders the proposed layout names, and *all* of them must accept it.
 * Since any two sets of founders that share a node share an acceptor, and a proposer that meets an accepted layout
 * carries that one on, two rings can come of one set of seeds only where not one founder is common to both.
 */
import { type Ballot, compareBallots, nextBallot, NO_BALLOT } from "../../core/ballot.ts";
import { foundingLayout, type Layout, type LayoutNode } from "../../core/layout.ts";
import type { AcceptReply } from "../../core/register.ts";
import { messageOf } from "../../errors.ts";
import type { Clock, DecreePrepareReply, Log, NodeCard, Peers, Random } from "../../ports.ts";
import type { DecreeAcceptor } from "./decree-acceptor.ts";
import { layoutNode } from "./steward.ts";

const CALL_TIMEOUT_MS = 2_000;
/** The number of a ring's first layout. */
const FIRST = 1;

export interface FounderDeps {
  acceptor: DecreeAcceptor;
  self: () => NodeCard;
  /** Cards of peers that answer. */
  alive: () => readonly NodeCard[];
  peers: Peers;
  clock: Clock;
  random: Random;
  log: Log;
  replicas: number;
  /** The layout every founder has accepted. */
  onFounded: (layout: Layout) => Promise<void>;
}

/** Proposes the first layout as soon as enough nodes see each other. */
export class Founder {
  readonly #deps: FounderDeps;
  #busy = false;
  #earliestMs = 0;
  #waitingSinceMs: number | undefined;

  constructor(deps: FounderDeps) {
    this.#deps = deps;
  }

  /** To be called whenever something was heard, and at every beat. */
  async consider(): Promise<void> {
    const { clock, log, random } = this.#deps;
    const founders = this.#founders();
    if (!founders) this.#waitingSinceMs = undefined;
    if (!founders || this.#busy) return;
    // The lowest ID proposes; the others only if it does not get round to it.
    const now = clock.monotonicMs();
    this.#waitingSinceMs ??= now;
    const rank = founders.findIndex((card) => card.id === this.#deps.self().id);
    if (rank === -1 || now < this.#waitingSinceMs + rank * 3_000 || now < this.#earliestMs) return;
    this.#busy = true;
    try {
      await this.#attempt(founders.map(layoutNode));
    } catch (error) {
      log.warn("founding did not go through yet", { reason: messageOf(error) });
      this.#earliestMs = clock.monotonicMs() + 500 + random.fraction() * 1_000;
    } finally {
      this.#busy = false;
    }
  }

  /** The founders-to-be in order of ID, once there are enough that want the same. */
  #founders(): NodeCard[] | undefined {
    const self = this.#deps.self();
    if (self.bootstrapExpect === 0) return undefined;
    const candidates = [self, ...this.#deps.alive()].filter((card) =>
      card.ringId === undefined && card.bootstrapExpect === self.bootstrapExpect
    );
    if (candidates.length < self.bootstrapExpect) return undefined;
    candidates.sort((a, b) => (a.id < b.id ? -1 : 1));
    return candidates.slice(0, self.bootstrapExpect);
  }

  async #attempt(founders: LayoutNode[]): Promise<void> {
    const { acceptor, random, self, replicas, onFounded } = this.#deps;
    const ballot = nextBallot(acceptor.highest, self().id);
    const promised = new Set<string>();
    let highest: { accepted: Ballot; layout: Layout | null } = { accepted: NO_BALLOT, layout: null };
    const ask = async (ids: readonly string[]): Promise<void> => {
      await Promise.all(
        ids.filter((id) => !promised.has(id)).map(async (id) => {
          const reply = await this.#prepare(id, ballot);
          if (reply.kind === "refused") {
            await acceptor.prepare(FIRST, nextBallot(reply.promised, self().id)); // the next attempt starts above it
            throw new Error(`node ${id} has promised a later attempt`);
          }
          promised.add(id);
          if (compareBallots(reply.accepted, highest.accepted) > 0) highest = reply;
        }),
      );
    };
    await ask(founders.map((node) => node.id));
    // A layout that was accepted may have been accepted by all: it is carried on, with the founders it names.
    let layout: Layout | null = null;
    while (highest.layout && highest.layout !== layout) {
      layout = highest.layout;
      await ask(layout.nodes.map((node) => node.id));
    }
    layout ??= foundingLayout(random.hex(8), replicas, founders);
    await Promise.all(layout.nodes.map(async ({ id }) => {
      const reply = await this.#accept(id, ballot, layout);
      if (reply.kind === "refused") throw new Error(`node ${id} has promised a later attempt`);
    }));
    await onFounded(layout);
  }

  async #prepare(id: string, ballot: Ballot): Promise<DecreePrepareReply> {
    if (id === this.#deps.self().id) return await this.#deps.acceptor.prepare(FIRST, ballot);
    return (await this.#call(id, { type: "decree-prepare", number: FIRST, ballot })).reply;
  }

  async #accept(id: string, ballot: Ballot, layout: Layout): Promise<AcceptReply> {
    if (id === this.#deps.self().id) return await this.#deps.acceptor.accept(ballot, layout);
    return (await this.#call(id, { type: "decree-accept", ballot, layout })).reply;
  }

  #call<R extends Parameters<Peers["call"]>[1]>(id: string, request: R) {
    const url = this.#deps.alive().find((card) => card.id === id)?.peerUrl;
    if (!url) throw new Error(`founder ${id} is not there`);
    return this.#deps.peers.call(url, request, { timeoutMs: CALL_TIMEOUT_MS, expect: id });
  }
}
