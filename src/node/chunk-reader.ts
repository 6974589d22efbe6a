/**
 * One chunk from wherever it is nearest: memory, own disk, disk cache, then the replicas by measured round trip, hedged.
 * Many readers of one chunk share one fetch: content cannot change, so joining is always safe.
 */
import type { ChunkId } from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import { AtollError, messageOf } from "../errors.ts";
import type { ChunkCache, Clock, Hashing, Log } from "../ports.ts";
import type { ChunkStore } from "./chunk-store.ts";
import { byDistance } from "./fanout.ts";
import { Hedging } from "./hedging.ts";
import type { Membership } from "./membership.ts";
import type { MemoryCache } from "./memory-cache.ts";
import type { Counter, Metrics } from "./metrics.ts";
import type { PeerGate } from "./peer-gate.ts";
import type { Ring } from "./ring.ts";
import { defer } from "./waiting.ts";

const GET_TIMEOUT_MS = 10_000;
/** Nodes whose round trips differ by no more than that are as near as each other. */
const ALIKE_FACTOR = 1.5;
const ALIKE_MS = 1;
/** A chunk that no replica has may still be with one that stood in for it. */
const STAND_INS_ASKED = 2;

export type Tier = "memory" | "disk" | "disk-cache" | "peer";

export interface FetchedChunk {
  readonly bytes: Uint8Array;
  readonly tier: Tier;
  /** The node it came from, for tier `peer`. */
  readonly from?: string | undefined;
  /** Another reader was waiting for it already. */
  readonly collapsed?: boolean | undefined;
  /** It was put where the next reader finds it nearer. */
  readonly stored?: boolean | undefined;
}

export interface ChunkWanted {
  readonly name: Name;
  readonly id: ChunkId;
  readonly sizeBytes: number;
  /** Whether it is worth its place in memory. */
  readonly keep: boolean;
  readonly trace?: string | undefined;
}

export interface ChunkReaderDeps {
  ring: Ring;
  memory: MemoryCache;
  chunks: ChunkStore;
  cache: ChunkCache;
  gate: PeerGate;
  membership: Membership;
  hashing: Hashing;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

export class ChunkReader {
  readonly #deps: ChunkReaderDeps;
  /** By chunk and object: another object with the same chunk may have it elsewhere. */
  readonly #flights = new Map<string, Promise<FetchedChunk>>();
  readonly #hedging = new Hedging();
  /** Chunks that are under way, by who was asked. */
  readonly #asked = new Map<string, number>();
  readonly #hits: Record<Tier, Counter>;
  readonly #repaired: Counter;
  readonly #helped: Counter;

  constructor(deps: ChunkReaderDeps) {
    this.#deps = deps;
    const hits = (tier: Tier) =>
      deps.metrics.counter("atoll_chunk_reads_total", "Chunks by where they came from", { tier });
    this.#hits = {
      memory: hits("memory"),
      disk: hits("disk"),
      "disk-cache": hits("disk-cache"),
      peer: hits("peer"),
    };
    this.#repaired = deps.metrics.counter(
      "atoll_chunks_repaired_total",
      "Chunks fetched again for this replica",
    );
    this.#helped = deps.metrics.counter(
      "atoll_chunk_hedges_total",
      "Chunks asked of one more node because another was late",
    );
  }

  /** Without waiting, if it is in memory. */
  peek(id: ChunkId): Uint8Array | undefined {
    const bytes = this.#deps.memory.chunk(id);
    if (bytes) this.#hits.memory.add();
    return bytes;
  }

  /** Rejects with `no-quorum` when nobody who should have it can be reached or has it. */
  async fetch(wanted: ChunkWanted): Promise<FetchedChunk> {
    const inMemory = this.peek(wanted.id);
    if (inMemory) return { bytes: inMemory, tier: "memory" };
    this.#deps.memory.missedChunk(wanted.id);
    const key = wanted.id + wanted.name;
    let flight = this.#flights.get(key);
    const isJoining = flight !== undefined;
    if (!flight) {
      flight = this.#fetch(wanted).finally(() => this.#flights.delete(key));
      this.#flights.set(key, flight);
    }
    const chunk = await flight;
    this.#hits[chunk.tier].add();
    return isJoining ? { ...chunk, collapsed: true } : chunk;
  }

  async #fetch(wanted: ChunkWanted): Promise<FetchedChunk> {
    const { memory, chunks, cache, ring } = this.#deps;
    const { name, id, sizeBytes } = wanted;
    let found: FetchedChunk;
    const own = await chunks.get(id, sizeBytes);
    if (own) found = { bytes: own, tier: "disk" };
    else {
      const replica = ring.isReplica(name);
      const cached = replica ? undefined : await cache.get(id);
      if (cached) found = { bytes: cached, tier: "disk-cache" };
      else {
        found = await this.#fromPeers(wanted);
        // A replica that lacks it keeps it for good; anybody else may, but not what is asked for once only.
        const isWorthIt = !replica && memory.isAskedAgain(id);
        if (isWorthIt) void cache.put(id, found.bytes);
        const isStored = replica ? await this.#repair(id, found.bytes) : isWorthIt;
        found = { ...found, stored: isStored || wanted.keep };
      }
    }
    if (found.bytes.length !== sizeBytes) {
      throw new AtollError("internal", `chunk ${id}: wanted ${sizeBytes} bytes, got ${found.bytes.length}`);
    }
    if (wanted.keep) memory.keepChunk(id, found.bytes);
    return found;
  }

  async #repair(id: ChunkId, bytes: Uint8Array): Promise<boolean> {
    try {
      await this.#deps.chunks.putVerified(id, bytes);
      this.#repaired.add();
      return true;
    } catch (error) {
      // The reader has its bytes all the same.
      this.#deps.log.warn("a missing chunk could not be stored here", {
        chunk: id,
        reason: messageOf(error),
      });
      return false;
    }
  }

  #fromPeers(wanted: ChunkWanted): Promise<FetchedChunk> {
    const { ring, membership, clock } = this.#deps;
    // After the replicas those who may hold it in a replica's place.
    const standIns = ring.successors(wanted.name).filter((id) => membership.isAlive(id));
    const { order } = byDistance(ring.replicas(wanted.name), ring.self, membership);
    const others = this.#leastBusyFirst(order.filter((id) => id !== ring.self));
    const queue = [...others, ...standIns.filter((id) => id !== ring.self).slice(0, STAND_INS_ASKED)];
    const outcome = defer<FetchedChunk>();
    const losers = new AbortController();
    let asked = 0;
    let failed = 0;
    let unhedge: () => void = () => {};
    let reason: unknown = "there is no other replica";
    const ask = (): void => {
      const from = queue[asked];
      if (from === undefined) return;
      asked++;
      unhedge();
      const [lateMs, patienceMs] = this.#waits(from);
      unhedge = clock.after(lateMs, () => {
        if (asked < queue.length && this.#hedging.mayHelp()) help();
        else unhedge = clock.after(patienceMs - lateMs, help);
      });
      this.#get(from, wanted, losers.signal).then(
        (bytes) => outcome.resolve({ bytes, tier: "peer", from }),
        (error) => {
          reason = error;
          failed++;
          if (failed === queue.length) giveUp();
          else if (failed === asked) ask();
        },
      );
    };
    const help = (): void => {
      if (asked < queue.length) this.#helped.add();
      ask();
    };
    const giveUp = (): void =>
      outcome.reject(
        new AtollError(
          "no-quorum",
          `wanted chunk ${wanted.id} from one of ${queue.length} other nodes: ${messageOf(reason)}`,
          {
            cause: reason,
          },
        ),
      );
    if (queue.length === 0) giveUp();
    this.#hedging.asking();
    ask();
    return outcome.promise.finally(() => {
      unhedge();
      losers.abort();
    });
  }

  async #get(from: string, wanted: ChunkWanted, signal: AbortSignal): Promise<Uint8Array> {
    const { gate, hashing, clock, metrics } = this.#deps;
    const begunMs = clock.monotonicMs();
    this.#asked.set(from, (this.#asked.get(from) ?? 0) + 1);
    const { bytes } = await gate.call(from, { type: "chunk-get", id: wanted.id }, {
      timeoutMs: GET_TIMEOUT_MS,
      trace: wanted.trace,
      signal,
    }).finally(() => this.#answered(from));
    if (!bytes) throw new AtollError("not-found", `node ${from} does not have chunk ${wanted.id}`);
    this.#hedging.answered(from, clock.monotonicMs() - begunMs);
    if (hashing.sha256(bytes) !== wanted.id) {
      metrics.counter("atoll_chunks_received_corrupt_total", "Chunks from peers that failed their check")
        .add();
      throw new AtollError("peer-garbage", `node ${from} sent other bytes for chunk ${wanted.id}`);
    }
    return bytes;
  }

  #answered(id: string): void {
    const left = this.#asked.get(id)! - 1;
    if (left > 0) this.#asked.set(id, left);
    else this.#asked.delete(id);
  }

  /** Of those about as near as the first, who has the least to do: a large object comes from several at once. */
  #leastBusyFirst(nearestFirst: readonly string[]): string[] {
    const { membership } = this.#deps;
    const [nearest] = nearestFirst;
    if (nearest === undefined) return [];
    const nearMs = ALIKE_FACTOR * membership.rttMs(nearest) + ALIKE_MS;
    const alike = nearestFirst.filter((id) => id === nearest || this.#isNear(id, nearMs));
    const busy = (id: string): number => this.#asked.get(id) ?? 0;
    const first = alike.reduce((least, id) => (busy(id) < busy(least) ? id : least));
    return [first, ...nearestFirst.filter((id) => id !== first)];
  }

  #isNear(id: string, nearMs: number): boolean {
    const { membership } = this.#deps;
    return membership.isAlive(id) && membership.rttMs(id) <= nearMs;
  }

  /** After how long it is late, and after how long nobody waits for it alone. */
  #waits(id: string): [lateMs: number, patienceMs: number] {
    const rttMs = this.#deps.membership.rttMs(id);
    return [this.#hedging.lateMs(id, rttMs), this.#hedging.patienceMs(id, rttMs)];
  }
}
