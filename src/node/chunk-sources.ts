/**
 * A chunk from other nodes: first from the one that fetches for this region, where there is one, then from the replicas by
 * measured round trip and load, last from whoever may hold it in a replica's place; hedged.
 */
import { AtollError, messageOf } from "../errors.ts";
import type { Clock, Hashing } from "../ports.ts";
import type { ChunkWanted, FetchedChunk } from "./chunk-reader.ts";
import { byDistance } from "./fanout.ts";
import { Hedging } from "./hedging.ts";
import { watchAnswer } from "./lateness.ts";
import type { Membership } from "./membership.ts";
import type { Counter, Metrics } from "./metrics.ts";
import type { PeerGate } from "./peer-gate.ts";
import type { Region } from "./region.ts";
import type { Ring } from "./ring.ts";
import { defer } from "./waiting.ts";

const GET_TIMEOUT_MS = 10_000;
/** Of who is known not to answer: it may be back. */
const LOST_TIMEOUT_MS = 1_000;
/** Nodes whose round trips differ by no more than that are as near as each other. */
const ALIKE_FACTOR = 1.5;
const ALIKE_MS = 1;
/** A chunk that no replica has may still be with one that stood in for it. */
const STAND_INS_ASKED = 2;

export interface ChunkSourcesDeps {
  ring: Ring;
  region: Region;
  gate: PeerGate;
  membership: Membership;
  hashing: Hashing;
  clock: Clock;
  metrics: Metrics;
}

export class ChunkSources {
  readonly #deps: ChunkSourcesDeps;
  readonly #hedging: Hedging;
  /** Of those who are asked for chunks right now: how many are under way, and when anything of them came last. */
  readonly #asked = new Map<string, { count: number; heardMs: number }>();
  readonly #helped: Counter;
  readonly #corrupt: Counter;
  readonly #received: Record<"same" | "other", Counter>;

  constructor(deps: ChunkSourcesDeps) {
    const { metrics } = deps;
    this.#deps = deps;
    this.#hedging = new Hedging((id) => deps.membership.card(id) !== undefined);
    this.#helped = metrics.counter(
      "atoll_chunk_hedges_total",
      "Chunks asked of one more node because another was late",
    );
    this.#corrupt = metrics.counter(
      "atoll_chunks_received_corrupt_total",
      "Chunks from peers that failed their check",
    );
    const received = (region: string) =>
      metrics.counter("atoll_chunks_received_total", "Chunks that came from nodes of which region", {
        region,
      });
    this.#received = { same: received("same"), other: received("other") };
  }

  /** `keeper`: who fetches for this region, if that is another. Rejects with `no-quorum` when nobody has it, or can be reached. */
  fetch(wanted: ChunkWanted, keeper: string | undefined): Promise<FetchedChunk> {
    const { clock, region, membership } = this.#deps;
    const queue = this.#queue(wanted, keeper);
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
      const isKeeper = from === keeper;
      const [lateMs, patienceMs] = isKeeper ? this.#keepersWaits(from, queue[1]) : this.#waits(from);
      let progressMs = -Infinity;
      unhedge = watchAnswer(clock, {
        lateMs,
        patienceMs,
        heardMs: () => this.#asked.get(from)?.heardMs ?? -Infinity,
        progressMs: () => progressMs,
        onLate: () => {
          const helped = asked < queue.length && this.#hedging.mayHelp();
          if (helped) help();
          return helped;
        },
        onPatienceOver: help,
      });
      const onProgress = (nowMs: number) => progressMs = nowMs;
      this.#get(from, wanted, { isKeeper, signal: losers.signal, onProgress }).then((bytes) => {
        if (isKeeper && !losers.signal.aborted) region.answered(from);
        outcome.resolve({ bytes, tier: isKeeper ? "region" : "peer", from });
      }, (error) => {
        // Given up, it was not as quick as who was asked after it.
        if (isKeeper) region.failed(from);
        reason = error;
        failed++;
        if (failed === queue.length) giveUp();
        else if (failed === asked) ask();
      });
      // Nobody waits for who is known not to answer.
      if (membership.isLost(from)) ask();
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

  #queue({ name }: ChunkWanted, keeper: string | undefined): string[] {
    const { ring, membership } = this.#deps;
    const { order } = byDistance(ring.replicas(name), ring.self, membership);
    const others = this.#leastBusyFirst(order.filter((id) => id !== ring.self));
    // After the replicas those who may hold it in a replica's place.
    const standIns = ring.successors(name).filter((id) =>
      id !== ring.self && id !== keeper && membership.isAlive(id)
    );
    return [...(keeper === undefined ? [] : [keeper]), ...others, ...standIns.slice(0, STAND_INS_ASKED)];
  }

  async #get(
    from: string,
    wanted: ChunkWanted,
    { isKeeper, signal, onProgress }: {
      isKeeper: boolean;
      signal: AbortSignal;
      onProgress: (nowMs: number) => void;
    },
  ): Promise<Uint8Array> {
    const { gate, hashing, clock, membership } = this.#deps;
    const { id, name, sizeBytes, keep } = wanted;
    const begunMs = clock.monotonicMs();
    let asked = this.#asked.get(from);
    if (!asked) this.#asked.set(from, asked = { count: 0, heardMs: -Infinity });
    asked.count++;
    let firstMs: number | undefined;
    const progressed = (): void => {
      const nowMs = clock.monotonicMs();
      firstMs ??= nowMs;
      asked.heardMs = nowMs;
      onProgress(nowMs);
    };
    const forRegion = isKeeper ? { name, sizeBytes, keep } : undefined;
    const { bytes } = await gate.call(from, { type: "chunk-get", id, forRegion }, {
      timeoutMs: membership.isLost(from) ? LOST_TIMEOUT_MS : GET_TIMEOUT_MS,
      trace: wanted.trace,
      signal,
      onProgress: progressed,
    }).finally(() => this.#answered(from));
    progressed();
    if (!bytes) throw new AtollError("not-found", `node ${from} does not have chunk ${id}`);
    // How long a keeper takes says more of whom it asks.
    if (!isKeeper) this.#hedging.answered(from, firstMs! - begunMs);
    if (hashing.sha256(bytes) !== id) {
      this.#corrupt.add();
      throw new AtollError("peer-garbage", `node ${from} sent other bytes for chunk ${id}`);
    }
    const isNear = membership.card(from)?.region === membership.own().region;
    this.#received[isNear ? "same" : "other"].add();
    return bytes;
  }

  #answered(id: string): void {
    if (--this.#asked.get(id)!.count === 0) this.#asked.delete(id);
  }

  /** Of those about as near as the first, who has the least to do: a large object comes from several at once. */
  #leastBusyFirst(nearestFirst: readonly string[]): string[] {
    const { membership } = this.#deps;
    const [nearest] = nearestFirst;
    if (nearest === undefined) return [];
    const nearMs = ALIKE_FACTOR * membership.rttMs(nearest) + ALIKE_MS;
    const alike = nearestFirst.filter((id) => id === nearest || this.#isNear(id, nearMs));
    const busy = (id: string): number => this.#asked.get(id)?.count ?? 0;
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

  /** It may have to ask somebody itself, and is late when by then that one would be. */
  #keepersWaits(keeper: string, next: string | undefined): [lateMs: number, patienceMs: number] {
    const { membership } = this.#deps;
    const [lateMs, patienceMs] = this.#waits(next ?? keeper);
    const thereMs = membership.rttMs(keeper);
    return [thereMs + lateMs, thereMs + patienceMs];
  }
}
