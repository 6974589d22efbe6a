/** Everything that keeps replicas whole and alike in the background, put together. */
import type { Name } from "../../core/names.ts";
import type { Catalog, ChunkFiles, Clock, Hashing, Log, Random } from "../../ports.ts";
import type { ChunkReader } from "../chunk-reader.ts";
import type { ChunkStore } from "../chunk-store.ts";
import type { Content } from "../content.ts";
import type { Membership } from "../membership.ts";
import type { Metrics } from "../metrics.ts";
import type { PeerGate } from "../peer-gate.ts";
import type { Registers } from "../registers.ts";
import type { Replica } from "../replica.ts";
import type { Ring } from "../ring.ts";
import { AntiEntropy } from "./anti-entropy.ts";
import { Digests } from "./digests.ts";
import { Garbage } from "./garbage.ts";
import type { Handoffs } from "./handoffs.ts";
import { Hints } from "./hints.ts";
import type { Recovery } from "./recovery.ts";
import type { Courtesy } from "../courtesy.ts";
import { Reconciler } from "./reconciler.ts";
import { Scrub } from "./scrub.ts";
import { Tombstones } from "./tombstones.ts";

export interface RepairTimings {
  /** Ms between two comparisons with every other replica, on average. */
  readonly compareIntervalMs: number;
  /** Ms in which every digest is made anew, whether something changed or not. */
  readonly digestCycleMs: number;
  /** Ms in which every chunk is read again and checked. */
  readonly scrubCycleMs: number;
  /** Of the time a scrub may spend working, 0 to 1. */
  readonly scrubShare: number;
  /** Ms a chunk stays that nobody names, which is how long an upload, or the reading of a replaced object, may take. */
  readonly garbageGraceMs: number;
  readonly garbageIntervalMs: number;
  /** Ms from the start to the first collection, if that is sooner: it also counts what is here, which plans go by. */
  readonly garbageFirstMs: number;
  /** Ms after which no message of a write arrives any more. */
  readonly lateMessageMs: number;
  /** Ms a tombstone stays at least. */
  readonly tombstoneAgeMs: number;
  /** At most, of chunks that this replica lacks. */
  readonly fetchBytesPerSecond: number;
}

const HOUR_MS = 3_600_000;

export const DEFAULT_TIMINGS: RepairTimings = {
  compareIntervalMs: 60_000,
  digestCycleMs: 24 * HOUR_MS,
  scrubCycleMs: 30 * 24 * HOUR_MS,
  scrubShare: 0.05,
  garbageGraceMs: 12 * HOUR_MS,
  garbageIntervalMs: HOUR_MS,
  garbageFirstMs: HOUR_MS,
  lateMessageMs: 30_000,
  tombstoneAgeMs: 24 * HOUR_MS,
  fetchBytesPerSecond: 64 << 20,
};

export interface RepairDeps {
  ring: Ring;
  catalog: Catalog;
  chunkFiles: ChunkFiles;
  hashing: Hashing;
  chunks: ChunkStore;
  content: Content;
  reader: ChunkReader;
  replica: Replica;
  registers: Registers;
  gate: PeerGate;
  membership: Membership;
  recovery: Recovery;
  handoffs: Handoffs;
  clock: Clock;
  courtesy: Courtesy;
  random: Random;
  log: Log;
  metrics: Metrics;
  /** Deletes an object whose time has passed if it still has that version. */
  expire: (name: Name, version: number) => Promise<unknown>;
  /** A chunk of an object that lies here is missing, and cannot be had now. */
  onLacking: (name: Name) => Promise<void>;
  timings: RepairTimings;
}

export class Repair {
  readonly digests: Digests;
  readonly hints: Hints;
  readonly garbage: Garbage;
  readonly scrub: Scrub;
  readonly reconciler: Reconciler;
  readonly #antiEntropy: AntiEntropy;
  readonly #tombstones: Tombstones;
  readonly #deps: RepairDeps;

  constructor(deps: RepairDeps) {
    const { timings } = deps;
    const onDamaged = (name: Name): void => deps.recovery.damaged(name);
    const reconciler = new Reconciler(deps);
    this.reconciler = reconciler;
    this.#deps = deps;
    this.digests = new Digests({ ...deps, onDamaged, cycleMs: timings.digestCycleMs });
    this.hints = new Hints({ ...deps, reconciler });
    this.#antiEntropy = new AntiEntropy({
      ...deps,
      reconciler,
      digests: this.digests,
      onDamaged,
      intervalMs: timings.compareIntervalMs,
    });
    this.#tombstones = new Tombstones({ ...deps, onDamaged, horizonMs: timings.tombstoneAgeMs });
    this.garbage = new Garbage({
      ...deps,
      onDamaged,
      visit: (row) => this.#tombstones.consider(row),
      graceMs: timings.garbageGraceMs,
      intervalMs: timings.garbageIntervalMs,
      firstMs: timings.garbageFirstMs,
      lateMessageMs: timings.lateMessageMs,
    });
    this.scrub = new Scrub({
      ...deps,
      onDamaged,
      cycleMs: timings.scrubCycleMs,
      share: timings.scrubShare,
    });
  }

  async start(): Promise<void> {
    this.#deps.recovery.start();
    await this.digests.start();
    await this.hints.start();
    await this.#deps.handoffs.start();
    this.#antiEntropy.start();
    this.garbage.start();
    this.scrub.start();
  }

  stop(): void {
    this.#deps.recovery.stop();
    this.#deps.handoffs.stop();
    this.digests.stop();
    this.hints.stop();
    this.#antiEntropy.stop();
    this.#tombstones.stop();
    this.garbage.stop();
    this.scrub.stop();
  }

  /** A peer that was away answers again. */
  peerReturned(): void {
    this.#antiEntropy.peerReturned();
  }
}
