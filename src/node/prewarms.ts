/**
 * Loading objects into the caches of a region before anybody asks: each chunk at the node that fetches it for the region's
 * readers. What has a replica there needs none. The node that is asked counts chunks and names their keepers; bytes go past it.
 */
import type { ChunkId } from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import { NOTHING_ASKED } from "../core/freshness.ts";
import { AtollError, messageOf } from "../errors.ts";
import { forEach } from "./background.ts";
import type { ChunkReader } from "./chunk-reader.ts";
import type { Content } from "./content.ts";
import type { Listings } from "./list-objects.ts";
import type { MemoryCache } from "./memory-cache.ts";
import type { Objects } from "./objects.ts";
import type { PeerGate } from "./peer-gate.ts";
import type { Region } from "./region.ts";
import type { Ring } from "./ring.ts";

const OBJECTS_AT_ONCE = 8;
/** Of one object. */
const CHUNKS_AT_ONCE = 4;
/** For a keeper to fetch one from another continent and write it down. */
const WARM_TIMEOUT_MS = 30_000;
const PAGE = 1_000;
/** Named in the result; the others are counted. */
const FAULTS_MAX = 100;

export interface Prewarm {
  readonly names: readonly Name[];
  readonly prefix?: Name | undefined;
  readonly region: string;
}

export interface PrewarmedAt {
  readonly node: string;
  /** Chunks that are in its caches, or on its disk since it is a replica. */
  readonly chunks: number;
  readonly bytes: number;
  readonly failed: number;
}

export interface PrewarmProgress {
  /** Looked at so far: those that are not there, or failed in part, too. */
  readonly objects: number;
  readonly missing: number;
  readonly bytes: number;
  readonly nodes: readonly PrewarmedAt[];
  /** How many chunks or objects could not be had, and of the first which ones and why. */
  readonly failed: number;
  readonly faults: readonly { readonly name: Name; readonly reason: string }[];
}

export interface PrewarmsDeps {
  ring: Ring;
  region: Region;
  gate: PeerGate;
  reader: ChunkReader;
  content: Content;
  memory: MemoryCache;
  listings: Listings;
  objects: Objects;
}

export class Prewarms {
  readonly #deps: PrewarmsDeps;

  constructor(deps: PrewarmsDeps) {
    this.#deps = deps;
  }

  /** Whether there is a node alive in that region. */
  reaches(region: string): boolean {
    return this.#deps.region.nodesIn(region).length > 0;
  }

  run(prewarm: Prewarm, signal: AbortSignal): PrewarmRun {
    return new PrewarmRun(this.#deps, prewarm, signal);
  }
}

/** One request's work. Once the signal is aborted nothing new is begun. */
export class PrewarmRun {
  readonly #deps: PrewarmsDeps;
  readonly #prewarm: Prewarm;
  readonly #signal: AbortSignal;
  readonly #nodes = new Map<string, { chunks: number; bytes: number; failed: number }>();
  readonly #faults: { name: Name; reason: string }[] = [];
  #objects = 0;
  #missing = 0;
  #failed = 0;
  /** Resolves when all of it is over, however that went. */
  readonly over: Promise<void>;

  constructor(deps: PrewarmsDeps, prewarm: Prewarm, signal: AbortSignal) {
    this.#deps = deps;
    this.#prewarm = prewarm;
    this.#signal = signal;
    this.over = forEach(this.#names(), OBJECTS_AT_ONCE, (name) => this.#object(name), signal).catch(
      // A listing that failed: what it would have named is not known.
      (error: unknown) => this.#fault(prewarm.prefix ?? "", error),
    );
  }

  get progress(): PrewarmProgress {
    const nodes = [...this.#nodes].map(([node, counts]) => ({ node, ...counts }));
    return {
      objects: this.#objects,
      missing: this.#missing,
      bytes: nodes.reduce((sum, { bytes }) => sum + bytes, 0),
      nodes: nodes.sort((a, b) => (a.node < b.node ? -1 : 1)),
      failed: this.#failed,
      faults: this.#faults,
    };
  }

  async *#names(): AsyncGenerator<Name> {
    const { names, prefix } = this.#prewarm;
    yield* names;
    if (prefix === undefined) return;
    for (let after: Name | null = ""; after !== null;) {
      const page = await this.#deps.listings.list({ prefix, after, limit: PAGE });
      for (const { name } of page.objects) yield name;
      after = page.next;
    }
  }

  async #object(name: Name): Promise<void> {
    const { objects, content, memory } = this.#deps;
    try {
      const located = await objects.locate(name, NOTHING_ASKED);
      if (located.kind === "found") {
        const { manifest } = located.object;
        const keep = memory.keepsObjectsOf(manifest.size);
        await forEach(
          content.chunksOf(name, manifest),
          CHUNKS_AT_ONCE,
          (chunk) => this.#chunk(name, chunk.id, chunk.sizeBytes, keep),
          this.#signal,
        );
      } else this.#missing++;
    } catch (error) {
      this.#fault(name, error);
    }
    this.#objects++;
  }

  async #chunk(name: Name, id: ChunkId, sizeBytes: number, keep: boolean): Promise<void> {
    const { ring, region, reader, gate } = this.#deps;
    const nodes = region.nodesIn(this.#prewarm.region);
    const isReplica = ring.replicas(name).find((replica) => nodes.includes(replica));
    const keeper = isReplica ?? region.keeperIn(this.#prewarm.region, id);
    if (keeper === undefined) return this.#fault(name, `no node of region ${this.#prewarm.region} is alive`);
    let counts = this.#nodes.get(keeper);
    if (!counts) this.#nodes.set(keeper, counts = { chunks: 0, bytes: 0, failed: 0 });
    try {
      if (!isReplica) {
        const forRegion = { name, sizeBytes, keep, warm: true };
        if (keeper === ring.self) await reader.give({ type: "chunk-get", id, forRegion });
        else {
          const options = { timeoutMs: WARM_TIMEOUT_MS, signal: this.#signal };
          const { bytes } = await gate.call(keeper, { type: "chunk-get", id, forRegion }, options);
          if (bytes?.length !== 0) {
            throw new AtollError(
              "peer-refused",
              `wanted node ${keeper} to load a chunk, it is older than that`,
            );
          }
        }
      }
      counts.chunks++;
      counts.bytes += sizeBytes;
    } catch (error) {
      if (this.#signal.aborted) return;
      counts.failed++;
      this.#fault(name, error);
    }
  }

  #fault(name: Name, error: unknown): void {
    this.#failed++;
    if (this.#faults.length < FAULTS_MAX) this.#faults.push({ name, reason: messageOf(error) });
  }
}
