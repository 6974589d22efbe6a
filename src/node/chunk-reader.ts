/**
 * One chunk from wherever it is nearest: memory, own disk, disk cache, then other nodes (chunk-sources.ts). Many readers of
 * one chunk share one fetch: content cannot change, so joining is always safe.
 */
import { type ChunkId, inlineContent, type Manifest } from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import { AtollError, messageOf } from "../errors.ts";
import type { ChunkCache, Hashing, Log, PeerRequest } from "../ports.ts";
import type { ChunkSources } from "./chunk-sources.ts";
import type { ChunkStore } from "./chunk-store.ts";
import type { MemoryCache } from "./memory-cache.ts";
import type { Counter, Metrics } from "./metrics.ts";
import type { Region } from "./region.ts";
import type { Ring } from "./ring.ts";

/** Chunks on their way into the disk cache, which are in memory until they are there; what is beyond is not kept. */
const WRITES_MAX = 32;
/** Chunks being fetched for other nodes of the region: who asks beyond that has to ask the replicas itself. */
const DUTIES_MAX = 128;

const NO_BYTES = new Uint8Array(0);

const TIERS = ["memory", "version", "disk", "disk-cache", "region", "peer"] as const;
/**
 * `version`: what says which version is current has the content with it. `region`: the node that fetches for this region
 * gave it; `peer`: any other one.
 */
export type Tier = (typeof TIERS)[number];

export interface FetchedChunk {
  readonly bytes: Uint8Array;
  readonly tier: Tier;
  /** The node it came from, for tiers `region` and `peer`. */
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
  /** Whether others are known to come for it, asked when it is here: then it is kept for them, in memory and on disk. */
  readonly isAwaited?: (() => boolean) | undefined;
  readonly trace?: string | undefined;
  /** Another node of this region asks: it is fetched here, and not through a third one. */
  readonly isDuty?: boolean | undefined;
}

type ChunkGet = Extract<PeerRequest, { type: "chunk-get" }>;

export interface ChunkReaderDeps {
  ring: Ring;
  region: Region;
  sources: ChunkSources;
  memory: MemoryCache;
  chunks: ChunkStore;
  cache: ChunkCache;
  hashing: Hashing;
  log: Log;
  metrics: Metrics;
}

export class ChunkReader {
  readonly #deps: ChunkReaderDeps;
  /** By chunk and object: another object with the same chunk may have it elsewhere. */
  readonly #flights = new Map<string, Promise<FetchedChunk>>();
  /** Those among them that ask no keeper. A keeper's own may wait for nobody who may be waiting for the keeper. */
  readonly #direct = new Map<string, Promise<FetchedChunk>>();
  #writes = 0;
  #duties = 0;
  readonly #hits: Readonly<Record<Tier, Counter>>;
  readonly #given: Readonly<Record<Tier, Counter>>;
  readonly #repaired: Counter;

  constructor(deps: ChunkReaderDeps) {
    this.#deps = deps;
    const { metrics } = deps;
    this.#hits = byTier((tier) =>
      metrics.counter("atoll_chunk_reads_total", "Chunks by where they came from", { tier })
    );
    this.#given = byTier((tier) =>
      metrics.counter(
        "atoll_chunk_region_reads_total",
        "Chunks given to other nodes of this region, by where they came from",
        { tier },
      )
    );
    this.#repaired = metrics.counter(
      "atoll_chunks_repaired_total",
      "Chunks fetched again for this replica",
    );
  }

  /** Without waiting, if it is in memory. */
  peek(id: ChunkId): Uint8Array | undefined {
    const bytes = this.#deps.memory.chunk(id);
    if (bytes) this.#hits.memory.add();
    return bytes;
  }

  /** Content that is within a manifest; then kept among the chunks, by the same digest. Throws `damaged`. */
  within(manifest: Manifest): FetchedChunk {
    const { memory, hashing } = this.#deps;
    const { sha256 } = manifest;
    const inMemory = this.peek(sha256);
    if (inMemory) return { bytes: inMemory, tier: "memory" };
    memory.missedChunk(sha256);
    const bytes = inlineContent(manifest, (content) => hashing.sha256(content));
    if (!bytes) throw new AtollError("damaged", `wanted content with SHA-256 ${sha256}, got something else`);
    memory.keepChunk(sha256, bytes);
    this.#hits.version.add();
    return { bytes, tier: "version" };
  }

  /** Whether a cache of this node holds it, as far as is known without looking at the disk. No question for it. */
  isCached(id: ChunkId): boolean {
    return this.#deps.memory.hasChunk(id) || this.#deps.cache.has(id);
  }

  /** Rejects with `no-quorum` when nobody who should have it can be reached or has it. */
  async fetch(wanted: ChunkWanted): Promise<FetchedChunk> {
    const inMemory = this.peek(wanted.id);
    if (inMemory) return { bytes: inMemory, tier: "memory" };
    const chunk = await this.#joinOrBegin(wanted);
    this.#hits[chunk.tier].add();
    return chunk;
  }

  /** What another node asks for; for one of this region it is fetched if it is not here. Undefined: it is not here. */
  async give({ id, forRegion }: ChunkGet, trace?: string): Promise<Uint8Array | undefined> {
    const { memory, chunks } = this.#deps;
    const inMemory = memory.chunk(id);
    if (!forRegion) return inMemory ?? await chunks.get(id);
    if (inMemory && !forRegion.warm) {
      this.#given.memory.add();
      return inMemory;
    }
    if (this.#duties >= DUTIES_MAX) {
      throw new AtollError("overloaded", `${DUTIES_MAX} chunks are being fetched for this region already`);
    }
    this.#duties++;
    try {
      const { bytes, tier } = inMemory
        ? { bytes: inMemory, tier: "memory" as const }
        : await this.#joinOrBegin({ ...forRegion, id, trace, isDuty: true });
      if (!forRegion.warm) {
        this.#given[tier].add();
        return bytes;
      }
      // Whoever has it warmed wants it here whatever else has to go; and waits, so that a slow disk is not overrun.
      if (tier !== "disk") await this.#deps.cache.put(id, bytes);
      return NO_BYTES;
    } finally {
      this.#duties--;
    }
  }

  async #joinOrBegin(wanted: ChunkWanted): Promise<FetchedChunk> {
    const { ring, region, memory } = this.#deps;
    const { name, id, sizeBytes, isDuty = false } = wanted;
    memory.missedChunk(id);
    const isReplica = ring.isReplica(name);
    const keeper = isDuty ? ring.self : isReplica ? undefined : region.keeperOf(name, id);
    const isDirect = keeper === undefined || keeper === ring.self;
    const key = `${id} ${sizeBytes} ${name}`;
    const joined = this.#direct.get(key) ?? (isDirect ? undefined : this.#flights.get(key));
    if (joined) return { ...await joined, collapsed: true };
    const flights = isDirect ? this.#direct : this.#flights;
    const flight = this.#fetch(wanted, isReplica, keeper).finally(() => flights.delete(key));
    flights.set(key, flight);
    return await flight;
  }

  async #fetch(wanted: ChunkWanted, isReplica: boolean, keeper: string | undefined): Promise<FetchedChunk> {
    const { memory, chunks, cache, sources, ring } = this.#deps;
    const { id, sizeBytes } = wanted;
    let found: FetchedChunk;
    const own = await chunks.get(id, sizeBytes);
    const cached = own || isReplica ? undefined : await cache.get(id);
    if (own) found = { bytes: own, tier: "disk" };
    else if (cached) found = { bytes: cached, tier: "disk-cache" };
    else found = await sources.fetch(wanted, keeper === ring.self ? undefined : keeper);
    const isAwaited = wanted.isAwaited?.() ?? false;
    const keep = wanted.keep || isAwaited;
    if (!own && !cached) {
      // A replica that lacks it keeps it for good; anybody else may.
      const isStored = isReplica
        ? await this.#repair(id, found.bytes)
        : found.tier === "peer" && this.#cache(id, found.bytes, keeper === ring.self, isAwaited);
      found = { ...found, stored: isStored || keep };
    }
    if (found.bytes.length !== sizeBytes) {
      throw new AtollError("internal", `chunk ${id}: wanted ${sizeBytes} bytes, got ${found.bytes.length}`);
    }
    if (keep) memory.keepChunk(id, found.bytes);
    return found;
  }

  /**
   * What is asked for once is not worth a write to the disk, unless others are on their way to it. What is fetched for a
   * region is: the next reader is likely to come to another of its nodes, and a question there is the first one, too. But not
   * in the place of something else, or one reader of everything would wash out what many read.
   */
  #cache(id: ChunkId, bytes: Uint8Array, isForRegion: boolean, isAwaited: boolean): boolean {
    const { memory, cache } = this.#deps;
    const isWorthIt = isAwaited || memory.isAskedAgain(id) || (isForRegion && cache.hasRoomFor(bytes.length));
    if (!isWorthIt || this.#writes >= WRITES_MAX) return false;
    this.#writes++;
    void cache.put(id, bytes).finally(() => this.#writes--);
    return true;
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
}

function byTier(counter: (tier: Tier) => Counter): Record<Tier, Counter> {
  return Object.fromEntries(TIERS.map((tier) => [tier, counter(tier)])) as Record<Tier, Counter>;
}
