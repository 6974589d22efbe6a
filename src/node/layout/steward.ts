/**
 * Who sees to it that a layout is brought to its end: the first of the voters that seems alive. It settles what has been
 * taken over, and takes in nodes that have been there steadily for a while. Two that both think it is them hinder each
 * other and break nothing: every layout is a decree. A decree whose proposer died over it is brought to its end by the voters
 * that accepted it, each waiting for the one before.
 */
import type { Layout, LayoutNode } from "../../core/layout.ts";
import { NODES_MAX } from "../../core/layout-node.ts";
import { changedLayout, settledLayout } from "../../core/layout-change.ts";
import { Tally } from "../../core/quorum.ts";
import { messageOf } from "../../errors.ts";
import type { Clock, Log, MoveProgress, NodeCard } from "../../ports.ts";
import { Background } from "../background.ts";
import type { Membership } from "../membership.ts";
import type { PeerGate } from "../peer-gate.ts";
import type { Ring } from "../ring.ts";
import type { DecreeAcceptor } from "./decree-acceptor.ts";
import type { Decrees } from "./decrees.ts";

const LOOK_MS = 1_000;
const ASK_TIMEOUT_MS = 2_500;
/** How long a new replica that is there, and not done, is waited for beyond the majority that is. */
const STRAGGLERS_MS = 60_000;
/** How long a voter waits for each before it to bring an accepted layout to its end. */
const UNFINISHED_MS = 2_000;

export interface StewardDeps {
  ring: Ring;
  decrees: Decrees;
  decree: DecreeAcceptor;
  gate: PeerGate;
  membership: Membership;
  clock: Clock;
  log: Log;
  /** How far this node itself is. */
  moved: (number: number) => MoveProgress;
  /** Ms a node must have been there before it is taken in; undefined: never by itself. */
  joinAfterMs: number | undefined;
}

export class Steward {
  readonly #deps: StewardDeps;
  readonly #work: Background;
  /** By ID and incarnation: since when a stranger has been there. */
  readonly #strangers = new Map<string, number>();
  /** Said once that some wait outside. */
  #isFull = false;
  /** Since when a majority has had everything. */
  #enough: { readonly number: number; readonly sinceMs: number } | undefined;
  /** Accepted here and not heard of again since. */
  #unfinished: { readonly layout: Layout; readonly sinceMs: number } | undefined;

  constructor(deps: StewardDeps) {
    this.#deps = deps;
    this.#work = new Background(deps.clock, () => this.#run());
  }

  start(): void {
    this.#work.wake(LOOK_MS);
  }

  stop(): void {
    this.#work.stop();
  }

  /** How far each node is that a moving layout gives something to; who does not answer is left out. */
  async progress(): Promise<Map<string, MoveProgress>> {
    const { ring, gate, moved } = this.#deps;
    const { number } = ring;
    const heirs = new Set(
      ring.movingPartitions().flatMap((partition) => ring.quorumOfPartition(partition).sets[1]!),
    );
    const found = new Map<string, MoveProgress>();
    await Promise.all([...heirs].map(async (id) => {
      if (id === ring.self) return found.set(id, moved(number));
      const reply = await gate.call(id, { type: "moved", number }, {
        timeoutMs: ASK_TIMEOUT_MS,
        layout: number,
      })
        .catch(() => undefined); // who is away has not said that it is done
      return reply && found.set(id, reply.progress);
    }));
    return found;
  }

  async #run(): Promise<number> {
    const { ring, membership, log } = this.#deps;
    const { layout } = ring;
    if (!layout) return LOOK_MS;
    const voters = layout.voters.filter((id) => id === ring.self || membership.isAlive(id));
    const [steward] = voters;
    try {
      await this.#finish((1 + voters.indexOf(ring.self)) * UNFINISHED_MS);
      if (steward !== ring.self) this.#strangers.clear();
      else if (layout.from) await this.#settle();
      else await this.#takeIn();
    } catch (error) {
      log.warn("the layout could not be changed yet", { layout: layout.number, reason: messageOf(error) });
    }
    return LOOK_MS;
  }

  /** It may have been decided, and be known to nobody who lives. */
  async #finish(patienceMs: number): Promise<void> {
    const { decree, decrees, clock, log } = this.#deps;
    const layout = decree.accepted;
    if (!layout) return void (this.#unfinished = undefined);
    const now = clock.monotonicMs();
    if (this.#unfinished?.layout !== layout) this.#unfinished = { layout, sinceMs: now };
    if (now - this.#unfinished.sinceMs < patienceMs) return;
    const decided = await decrees.propose((current) =>
      current.number + 1 === layout.number ? { kind: "planned", layout } : { kind: "nothing" }
    );
    if (decided.kind === "decided") {
      log.info("another node's layout was brought to its end", { layout: layout.number });
    }
  }

  /** Once a majority of each new set has everything, and those who are there but not done have had their time. */
  async #settle(): Promise<void> {
    const { ring, decrees, membership, clock, log } = this.#deps;
    const number = ring.number;
    const progress = await this.progress();
    if (ring.number !== number) return;
    const isDone = (id: string): boolean => progress.get(id)?.done === true;
    const sets = ring.movingPartitions().map((partition) => ring.quorumOfPartition(partition).sets[1]!);
    const isEnough = sets.every((set) => {
      const tally = new Tally([set]);
      for (const id of set) if (isDone(id)) tally.vote(id, true);
      return tally.decision === "reached";
    });
    if (!isEnough) return void (this.#enough = undefined);
    if (this.#enough?.number !== number) this.#enough = { number, sinceMs: clock.monotonicMs() };
    const isAway = (id: string): boolean => id !== ring.self && !membership.isAlive(id);
    const allDone = sets.every((set) => set.every((id) => isDone(id) || isAway(id)));
    if (!allDone && clock.monotonicMs() - this.#enough.sinceMs < STRAGGLERS_MS) return;
    const decided = await decrees.propose((current) =>
      current.number === number
        ? { kind: "planned", layout: settledLayout(current) }
        : { kind: "refused", reason: `wanted layout ${number} to settle, got layout ${current.number}` }
    );
    if (decided.kind === "decided") log.info("layout settled", { layout: decided.layout.number });
  }

  async #takeIn(): Promise<void> {
    const { ring, decrees, membership, clock, log, joinAfterMs } = this.#deps;
    if (joinAfterMs === undefined) return;
    const members = new Set(ring.members);
    const there = new Set<string>();
    const ready: LayoutNode[] = [];
    const now = clock.monotonicMs();
    for (const card of membership.alive()) {
      // It must know the ring without itself first: by that it is told from a member that has lost its disk.
      if (members.has(card.id) || card.ringId === undefined || card.layoutNumber !== ring.number) continue;
      const life = `${card.id} ${card.incarnation}`;
      there.add(life);
      const sinceMs = this.#strangers.get(life) ?? now;
      this.#strangers.set(life, sinceMs);
      if (now - sinceMs >= joinAfterMs) ready.push(layoutNode(card));
    }
    for (const life of this.#strangers.keys()) if (!there.has(life)) this.#strangers.delete(life);
    this.#sayWhetherFull(members.size + ready.length);
    if (ready.length === 0 || members.size >= NODES_MAX) return;
    const decided = await decrees.propose((current) => {
      const join = joining(current, ready);
      return join.length === 0 || current.from ? { kind: "nothing" } : changedLayout(current, { join });
    });
    if (decided.kind !== "decided") return;
    const nodes = decided.layout.nodes.filter(({ id }) => !members.has(id));
    log.info("nodes joined", { nodes: nodes.map(({ id }) => id).join(" "), layout: decided.layout.number });
  }

  #sayWhetherFull(nodes: number): void {
    const isFull = nodes > NODES_MAX;
    if (isFull && !this.#isFull) {
      this.#deps.log.warn("the ring has no place for more members: some wait outside", {
        wanted: nodes,
        most: NODES_MAX,
      });
    }
    this.#isFull = isFull;
  }
}

/** Those that are no members yet, as far as there is room. */
function joining({ nodes }: Layout, ready: readonly LayoutNode[]): LayoutNode[] {
  const members = new Set(nodes.map(({ id }) => id));
  return ready.filter(({ id }) => !members.has(id)).slice(0, Math.max(0, NODES_MAX - members.size));
}

/** As a node's card has it; its weight is one until an operator says otherwise. */
export function layoutNode({ id, region, zone }: NodeCard): LayoutNode {
  return { id, region, zone, weight: 1 };
}
