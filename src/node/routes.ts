/** Where an object lives, who of those is near, and what this node has of it: for people, and for clients that choose. */
import { freshLeftMs, parsePolicy } from "../core/freshness.ts";
import type { MemberState } from "../core/member-list.ts";
import type { Name } from "../core/names.ts";
import { partitionOf } from "../core/partitions.ts";
import type { Clock } from "../ports.ts";
import { byDistance } from "./fanout.ts";
import type { Membership } from "./membership.ts";
import type { MemoryCache } from "./memory-cache.ts";
import type { Ring } from "./ring.ts";

export interface RouteReplica {
  readonly node: string;
  readonly region: string;
  readonly publicUrl: string;
  readonly state: MemberState | "unknown";
  /** Of this node's pings, smoothed; 0 for itself, null where none was answered lately. */
  readonly rttMs: number | null;
}

export interface RouteCopy {
  readonly version: number;
  /** Since it was last known to be current. */
  readonly ageSeconds: number;
  /** For so long, from now, it may be used without asking; 0: no longer. Null: never. */
  readonly freshSeconds: number | null;
  /** Of the object's chunks, or of the chunks that name them, where there are too many to be named at once. */
  readonly chunks: number;
  readonly chunksInMemory: number;
}

export interface Route {
  readonly node: string;
  readonly partition: number;
  readonly layout: number;
  /** Nearest first. While they move, old and new ones. */
  readonly replicas: readonly RouteReplica[];
  readonly home: string | null;
  /** What this node has in memory; null where it holds no version of it. It says nothing of whether there is a newer one. */
  readonly cached: RouteCopy | null;
}

export interface RoutesDeps {
  ring: Ring;
  membership: Membership;
  memory: MemoryCache;
  clock: Clock;
}

export class Routes {
  readonly #deps: RoutesDeps;

  constructor(deps: RoutesDeps) {
    this.#deps = deps;
  }

  /** Asks nobody. */
  of(name: Name): Route {
    const { ring, membership } = this.#deps;
    const all = ring.replicas(name);
    const { order } = byDistance(all, ring.self, membership);
    return {
      node: ring.self,
      partition: partitionOf(name),
      layout: ring.number,
      replicas: order.map((id) => this.#replica(id)),
      home: all[0] ?? null,
      cached: this.#copy(name) ?? null,
    };
  }

  #replica(id: string): RouteReplica {
    const { ring, membership } = this.#deps;
    const isHere = id === ring.self;
    const card = isHere ? membership.own() : membership.card(id);
    const isAlive = isHere || membership.isAlive(id);
    return {
      node: id,
      region: card?.region ?? "",
      publicUrl: card?.publicUrl ?? "",
      state: isHere ? "alive" : membership.state(id) ?? "unknown",
      rttMs: isHere ? 0 : isAlive ? membership.rttMs(id) : null,
    };
  }

  #copy(name: Name): RouteCopy | undefined {
    const { memory, clock } = this.#deps;
    const held = memory.peekValue(name);
    if (held?.value?.content.kind !== "object") return undefined;
    const { value: { version, modifiedMs, content: { manifest } } } = held;
    const policy = parsePolicy(manifest.headers, modifiedMs);
    const ageMs = clock.monotonicMs() - held.knownAtMs;
    const leftMs = freshLeftMs(policy, ageMs, clock.wallMs());
    return {
      version,
      ageSeconds: Math.floor(ageMs / 1_000),
      freshSeconds: policy.freshSeconds === undefined ? null : Math.max(0, Math.floor(leftMs / 1_000)),
      chunks: manifest.chunks.length,
      chunksInMemory: manifest.chunks.filter((id) => memory.hasChunk(id)).length,
    };
  }
}
