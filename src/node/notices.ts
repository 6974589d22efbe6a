/**
 * Telling other nodes of commits, best effort, so that their caches drop an object long before its time. Replicas learn
 * of a change by accepting it; only the others are told. What finds no place is not told: freshness bounds the rest.
 */
import type { Name } from "../core/names.ts";
import type { Clock } from "../ports.ts";
import type { Membership } from "./membership.ts";
import type { PeerGate } from "./peer-gate.ts";
import type { Ring } from "./ring.ts";

const GATHER_MS = 5;
const COMMITS_MAX = 1_000;
const TIMEOUT_MS = 2_000;

export class Notices {
  readonly #deps: { ring: Ring; gate: PeerGate; membership: Membership; clock: Clock };
  #waiting = new Map<Name, number>();

  constructor(deps: { ring: Ring; gate: PeerGate; membership: Membership; clock: Clock }) {
    this.#deps = deps;
  }

  committed(name: Name, version: number): void {
    const { membership, clock } = this.#deps;
    if (this.#waiting.size >= COMMITS_MAX || membership.alive().length === 0) return;
    if (this.#waiting.size === 0) clock.after(GATHER_MS, () => this.#tell());
    this.#waiting.set(name, version);
  }

  #tell(): void {
    const { ring, gate, membership } = this.#deps;
    const commits = [...this.#waiting].map(([name, version]) => ({ name, version }));
    this.#waiting = new Map();
    for (const { id } of membership.alive()) {
      const news = commits.filter(({ name }) => !ring.replicas(name).includes(id));
      if (news.length === 0) continue;
      gate.call(id, { type: "notice", commits: news }, { timeoutMs: TIMEOUT_MS }).catch(() => {
        // Best effort: its cache asks when its freshness is over.
      });
    }
  }
}
