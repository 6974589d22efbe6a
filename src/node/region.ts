/**
 * The regional tier: which node of this region fetches a chunk that none of its nodes is a replica of, so that it comes from
 * another region once. Only a node that wants the chunk itself asks that one, and it asks nobody of the region in turn: there
 * is no way round in which a question could go.
 */
import type { ChunkId } from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import { rendezvous } from "../core/rendezvous.ts";
import type { Clock } from "../ports.ts";
import type { Membership } from "./membership.ts";
import type { Ring } from "./ring.ts";

/** Questions in a row that were of no use, after which a node is left alone for a while. */
const FAILURES_MAX = 3;
const REST_MS = 5_000;

interface Trouble {
  failures: number;
  restsUntilMs: number;
}

export class Region {
  readonly #deps: { ring: Ring; membership: Membership; clock: Clock };
  /** By keeper; whoever answers is struck off. */
  readonly #troubles = new Map<string, Trouble>();

  constructor(deps: { ring: Ring; membership: Membership; clock: Clock }) {
    this.#deps = deps;
  }

  /**
   * The node that fetches it for this region, which may be this one. Undefined: there is no such duty, as a replica is in this
   * region, or no other node is.
   */
  keeperOf(name: Name, id: ChunkId): string | undefined {
    const { ring } = this.#deps;
    if (ring.replicas(name).some((replica) => this.#isHere(replica))) return undefined;
    const here = ring.members.filter((node) => this.#isHere(node));
    if (here.length === 0 || (here.length === 1 && here[0] === ring.self)) return undefined;
    return rendezvous(here.filter((node) => !this.#rests(node)), id);
  }

  /** Those of that region that are alive. */
  nodesIn(region: string): readonly string[] {
    const { ring, membership } = this.#deps;
    return ring.members.filter((node) =>
      node === ring.self ? membership.own().region === region : this.#isAliveIn(node, region)
    );
  }

  /** As the nodes of that region name it to each other. Undefined where none is alive. */
  keeperIn(region: string, id: ChunkId): string | undefined {
    return rendezvous(this.nodesIn(region), id);
  }

  answered(keeper: string): void {
    this.#troubles.delete(keeper);
  }

  /** It did not have it, or somebody else was asked meanwhile and was first. */
  failed(keeper: string): void {
    let trouble = this.#troubles.get(keeper);
    if (!trouble) this.#troubles.set(keeper, trouble = { failures: 0, restsUntilMs: -Infinity });
    // Once it was left alone, one more is enough.
    if (++trouble.failures >= FAILURES_MAX) trouble.restsUntilMs = this.#deps.clock.monotonicMs() + REST_MS;
  }

  /** In this region, and alive. */
  #isHere(node: string): boolean {
    const { ring, membership } = this.#deps;
    return node === ring.self || this.#isAliveIn(node, membership.own().region);
  }

  #isAliveIn(node: string, region: string): boolean {
    const { membership } = this.#deps;
    return membership.isAlive(node) && membership.card(node)?.region === region;
  }

  #rests(node: string): boolean {
    const trouble = this.#troubles.get(node);
    return trouble !== undefined && this.#deps.clock.monotonicMs() < trouble.restsUntilMs;
  }
}
