/**
 * Anti-entropy: in the background every node compares what it holds with each other replica of it, digest by digest down
 * to the registers that differ, and has those brought together. It finds whatever hints did not tell of.
 */
import { type Ballot, compareBallots, NO_BALLOT, sameBallot } from "../../core/ballot.ts";
import type { Name } from "../../core/names.ts";
import { partitionOf, PARTITIONS, SLOTS_PER_PARTITION } from "../../core/partitions.ts";
import { messageOf } from "../../errors.ts";
import type { Catalog, Clock, Log, PeerRequest, Random, ReplyTo } from "../../ports.ts";
import { Background, forEach } from "../background.ts";
import type { Membership } from "../membership.ts";
import type { Counter, Metrics } from "../metrics.ts";
import type { PeerGate } from "../peer-gate.ts";
import type { Ring } from "../ring.ts";
import type { Digests } from "./digests.ts";
import type { Reconciler } from "./reconciler.ts";
import { slotRows } from "./slot-rows.ts";

const TIMEOUT_MS = 5_000;
/** After a peer came back hints go first: what they deliver need not be searched for. */
const AFTER_RETURN_MS = 5_000;
const SLOTS_AT_ONCE = 4;
const NAMES_AT_ONCE = 16;
/** Of one slot: a peer that never comes to an end is not followed for ever. */
const PAGES_MAX = 10_000;

type SlotEntries = Extract<PeerRequest, { type: "slot-entries" }>;

export interface AntiEntropyDeps {
  ring: Ring;
  catalog: Catalog;
  digests: Digests;
  reconciler: Reconciler;
  gate: PeerGate;
  membership: Membership;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
  /** Between two comparisons with the same peers. */
  intervalMs: number;
}

export class AntiEntropy {
  readonly #deps: AntiEntropyDeps;
  readonly #work: Background;
  readonly #compared: Counter;
  readonly #differing: Counter;

  constructor(deps: AntiEntropyDeps) {
    this.#deps = deps;
    this.#work = new Background(deps.clock, () => this.#run());
    this.#compared = deps.metrics.counter(
      "atoll_antientropy_comparisons_total",
      "Comparisons with another replica that went through",
    );
    this.#differing = deps.metrics.counter(
      "atoll_antientropy_differences_total",
      "Registers that were found to differ between replicas",
    );
  }

  start(): void {
    this.#work.wake(this.#interval());
  }

  stop(): void {
    this.#work.stop();
  }

  /** A peer that was away is back. */
  peerReturned(): void {
    this.#work.wake(AFTER_RETURN_MS);
  }

  /** Nodes that were started together must not all compare at once. */
  #interval(): number {
    return this.#deps.intervalMs * (0.5 + this.#deps.random.fraction());
  }

  async #run(): Promise<number> {
    const { ring, membership, log } = this.#deps;
    for (const peer of ring.members) {
      if (this.#work.stopped) break;
      if (peer === ring.self || !membership.isAlive(peer)) continue;
      try {
        await this.#compareWith(peer);
        this.#compared.add();
      } catch (error) {
        log.info("replicas could not be compared", { peer, reason: messageOf(error) });
      }
    }
    return this.#interval();
  }

  async #compareWith(peer: string): Promise<void> {
    const { ring, digests, gate, log } = this.#deps;
    const shared = Array.from({ length: PARTITIONS }, (_, partition) => partition).filter((partition) => {
      const replicas = ring.replicasOfPartition(partition);
      return replicas.includes(peer) && replicas.includes(ring.self);
    });
    if (shared.length === 0) return;
    const theirs = await gate.call(peer, { type: "digests", partitions: shared }, { timeoutMs: TIMEOUT_MS });
    let differing = 0;
    for (const [i, partition] of shared.entries()) {
      if (this.#work.stopped || theirs.digests[i] === digests.ofPartition(partition)) continue;
      differing += await this.#comparePartition(peer, partition);
    }
    if (differing > 0) log.info("replicas were brought together", { peer, registers: differing });
  }

  async #comparePartition(peer: string, partition: number): Promise<number> {
    const { digests, gate } = this.#deps;
    const theirs = await gate.call(peer, { type: "slot-digests", partition }, { timeoutMs: TIMEOUT_MS });
    const ours = digests.ofSlots(partition);
    const slots = ours.flatMap((digest, i) =>
      digest === theirs.digests[i] ? [] : [partition * SLOTS_PER_PARTITION + i]
    );
    let differing = 0;
    await forEach(slots, SLOTS_AT_ONCE, async (slot) => {
      differing += await this.#compareSlot(peer, slot);
    });
    return differing;
  }

  async #compareSlot(peer: string, slot: number): Promise<number> {
    const { ring, reconciler } = this.#deps;
    const theirs = await this.#entriesOf(peer, slot);
    const names = new Set<Name>();
    for await (const { name, state } of slotRows(this.#deps.catalog, slot)) {
      if (!sameBallot(state.accepted, theirs.get(name) ?? NO_BALLOT)) names.add(name);
      theirs.delete(name);
    }
    for (const [name, accepted] of theirs) {
      if (compareBallots(accepted, NO_BALLOT) > 0) names.add(name);
    }
    // A peer may hold what is no longer its business, or say anything.
    const ours = [...names].filter((name) => ring.replicasOfPartition(partitionOf(name)).includes(ring.self));
    this.#differing.add(ours.length);
    await forEach(ours, NAMES_AT_ONCE, async (name) => {
      if (!this.#work.stopped) await reconciler.reconcile(name);
    });
    return ours.length;
  }

  async #entriesOf(peer: string, slot: number): Promise<Map<Name, Ballot>> {
    const entries = new Map<Name, Ballot>();
    let after: Name | undefined = "";
    for (let pages = 0; after !== undefined && pages < PAGES_MAX; pages++) {
      const page: ReplyTo<SlotEntries> = await this.#deps.gate.call(
        peer,
        { type: "slot-entries", slot, after },
        { timeoutMs: TIMEOUT_MS },
      );
      for (const { name, accepted } of page.entries) entries.set(name, accepted);
      after = page.next;
    }
    return entries;
  }
}
