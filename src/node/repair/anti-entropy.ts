/**
 * Anti-entropy: in the background every node compares what it holds with each other replica of it, digest by digest down
 * to the registers that differ, and has those brought together. It finds whatever hints did not tell of.
 */
import type { Name } from "../../core/names.ts";
import { partitionOf, SLOTS_PER_PARTITION } from "../../core/partitions.ts";
import { AtollError, DamagedRegister, isAtollError, messageOf } from "../../errors.ts";
import type { Catalog, Clock, Log, Random } from "../../ports.ts";
import { Background, forEach } from "../background.ts";
import type { Courtesy } from "../courtesy.ts";
import type { Membership } from "../membership.ts";
import type { Counter, Metrics } from "../metrics.ts";
import type { PeerGate } from "../peer-gate.ts";
import type { Ring } from "../ring.ts";
import type { Digests } from "./digests.ts";
import type { Reconciler } from "./reconciler.ts";
import { differences, entriesOf } from "./slot-differences.ts";
import { slotRows } from "./slot-rows.ts";

const TIMEOUT_MS = 5_000;
/** After a peer came back hints go first: what they deliver need not be searched for. */
const AFTER_RETURN_MS = 5_000;
/** One that is slow, or never done with, must not keep the others from being compared with. */
const PEERS_AT_ONCE = 4;
const PEER_MAX_MS = 300_000;
const SLOTS_AT_ONCE = 4;
const NAMES_AT_ONCE = 16;
/** Brought together before the comparison of their slot goes on. */
const NAMES_BATCH = 256;

interface Comparison {
  readonly peer: string;
  /** By the monotonic clock; the next comparison begins elsewhere. */
  readonly endMs: number;
  differing: number;
  failed: number;
  /** Of what failed. */
  reason?: unknown;
}

export interface AntiEntropyDeps {
  ring: Ring;
  catalog: Catalog;
  digests: Digests;
  reconciler: Reconciler;
  courtesy: Courtesy;
  gate: PeerGate;
  membership: Membership;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
  onDamaged: (name: Name) => void;
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
    const peers = ring.members.filter((peer) => peer !== ring.self && membership.isAlive(peer));
    await forEach(peers, PEERS_AT_ONCE, async (peer) => {
      if (this.#work.stopped) return;
      try {
        await this.#compareWith(peer);
        this.#compared.add();
      } catch (error) {
        log.info("replicas could not be compared", { peer, reason: messageOf(error) });
      }
    });
    return this.#interval();
  }

  async #compareWith(peer: string): Promise<void> {
    const { ring, digests, gate, log, clock, random } = this.#deps;
    const shared = ring.partitionsSharedWith(peer);
    if (shared.length === 0) return;
    const first = Math.floor(random.fraction() * shared.length);
    const partitions = [...shared.slice(first), ...shared.slice(0, first)];
    const comparison: Comparison = {
      peer,
      endMs: clock.monotonicMs() + PEER_MAX_MS,
      differing: 0,
      failed: 0,
    };
    const theirs = await gate.call(peer, { type: "digests", partitions }, { timeoutMs: TIMEOUT_MS });
    for (const [i, partition] of partitions.entries()) {
      if (this.#isOver(comparison)) break;
      if (theirs.digests[i] !== digests.ofPartition(partition)) {
        await this.#comparePartition(comparison, partition);
      }
    }
    const { differing, failed, reason } = comparison;
    if (differing > 0) log.info("replicas were brought together", { peer, registers: differing });
    if (failed > 0) log.info("some could not be", { peer, failed, reason: messageOf(reason) });
  }

  #isOver({ endMs }: Comparison): boolean {
    return this.#work.stopped || this.#deps.clock.monotonicMs() > endMs;
  }

  async #comparePartition(comparison: Comparison, partition: number): Promise<void> {
    const { digests, gate, onDamaged } = this.#deps;
    const theirs = await gate.call(comparison.peer, { type: "slot-digests", partition }, {
      timeoutMs: TIMEOUT_MS,
    });
    const ours = digests.ofSlots(partition);
    const slots = ours.flatMap((digest, i) =>
      digest === theirs.digests[i] ? [] : [partition * SLOTS_PER_PARTITION + i]
    );
    await forEach(slots, SLOTS_AT_ONCE, async (slot) => {
      try {
        if (!this.#isOver(comparison)) await this.#compareSlot(comparison, slot);
      } catch (error) {
        if (isAtollError(error, "peer-unreachable") || isAtollError(error, "peer-timeout")) throw error;
        // A slot that cannot be read, here or there, keeps no other from being compared.
        if (error instanceof DamagedRegister) onDamaged(error.register);
        fail(comparison, error);
      }
    });
  }

  async #compareSlot(comparison: Comparison, slot: number): Promise<void> {
    const { ring, catalog, gate } = this.#deps;
    const theirs = entriesOf((after) => {
      if (this.#isOver(comparison)) throw new AtollError("peer-timeout", "the comparison took too long");
      return gate.call(comparison.peer, { type: "slot-entries", slot, after }, { timeoutMs: TIMEOUT_MS });
    });
    let names: Name[] = [];
    for await (const name of differences(slotRows(catalog, slot), theirs)) {
      if (this.#isOver(comparison)) return;
      // A peer may hold what is no longer its business, or say anything.
      if (!ring.replicasOfPartition(partitionOf(name)).includes(ring.self)) continue;
      if (names.push(name) < NAMES_BATCH) continue;
      await this.#bringTogether(comparison, names);
      names = [];
    }
    await this.#bringTogether(comparison, names);
  }

  async #bringTogether(comparison: Comparison, names: readonly Name[]): Promise<void> {
    comparison.differing += names.length;
    this.#differing.add(names.length);
    await forEach(names, NAMES_AT_ONCE, async (name) => {
      await this.#deps.courtesy.turn();
      try {
        if (!this.#isOver(comparison)) await this.#deps.reconciler.reconcile(name);
      } catch (error) {
        // One that cannot be brought together now keeps no other from it.
        fail(comparison, error);
      }
    });
  }
}

function fail(comparison: Comparison, error: unknown): void {
  comparison.failed++;
  comparison.reason = error;
}
