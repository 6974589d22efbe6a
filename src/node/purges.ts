/**
 * Purging: what caches hold of some objects may not be used any more without asking. All nodes are told and say how it went;
 * who was away drops nothing, and goes on by what the object's freshness allows.
 */
import { parsePolicy } from "../core/freshness.ts";
import { type Name, RING_BUCKET } from "../core/names.ts";
import { isPurged, type Purge } from "../core/purge.ts";
import { messageOf } from "../errors.ts";
import type { Clock } from "../ports.ts";
import { forEach, slices } from "./background.ts";
import type { KnownValue, MemoryCache } from "./memory-cache.ts";
import type { Membership } from "./membership.ts";
import type { PeerGate } from "./peer-gate.ts";
import type { Ring } from "./ring.ts";

const CALL_TIMEOUT_MS = 5_000;
const NODES_AT_ONCE = 32;
/** Of one message. */
const TOGETHER = 1_000;

export type PurgedAt =
  | { readonly node: string; readonly purged: number }
  | { readonly node: string; readonly error: string };

export interface PurgesDeps {
  ring: Ring;
  memory: MemoryCache;
  membership: Membership;
  gate: PeerGate;
  clock: Clock;
  /** Of what falls under it nothing that is on its way to this node is kept. */
  callOff: (purge: Purge) => void;
}

export class Purges {
  readonly #deps: PurgesDeps;

  constructor(deps: PurgesDeps) {
    this.#deps = deps;
  }

  /** At this node and at all others of the ring, those included that are not members but alive. Never rejects. */
  async everywhere(purge: Purge): Promise<PurgedAt[]> {
    const { ring, membership } = this.#deps;
    const others = new Set([...ring.members, ...membership.alive().map(({ id }) => id)]);
    others.delete(ring.self);
    const told: PurgedAt[] = [{ node: ring.self, purged: this.here(purge) }];
    await forEach([...others].sort(), NODES_AT_ONCE, async (id) => {
      told.push(await this.#at(id, purge));
    });
    return told;
  }

  /** How many of the objects that were known here fell under it, copies of what an origin answered not counted. */
  here(purge: Purge): number {
    const { memory } = this.#deps;
    this.#deps.callOff(purge);
    let purged = 0;
    for (const name of purge.names) {
      const known = memory.peekValue(name);
      if (!known) continue;
      this.#purge(name, known, purge.soft);
      if (!name.startsWith(RING_BUCKET)) purged++;
    }
    if (purge.prefixes.length === 0 && purge.tagged.length === 0) return purged;
    for (const [name, known] of memory.values()) {
      const { content } = known.value ?? {};
      if (!isPurged(purge, name, content?.kind === "object" ? content.manifest : undefined)) continue;
      this.#purge(name, known, purge.soft);
      if (!name.startsWith(RING_BUCKET)) purged++;
    }
    return purged;
  }

  #purge(name: Name, known: KnownValue, soft: boolean): void {
    const { memory, clock } = this.#deps;
    // How fresh a copy is says its notes, which are marked where it is kept.
    const isCopy = name.startsWith(RING_BUCKET);
    if (!soft || isCopy || known.value?.content.kind !== "object") return memory.forget(name);
    const { modifiedMs, content: { manifest } } = known.value;
    const { freshSeconds = 0 } = parsePolicy(manifest.headers, modifiedMs);
    known.knownAtMs = Math.min(known.knownAtMs, clock.monotonicMs() - freshSeconds * 1_000);
  }

  async #at(id: string, purge: Purge): Promise<PurgedAt> {
    const { gate } = this.#deps;
    try {
      let purged = 0;
      for (const what of inParts(purge)) {
        const reply = await gate.call(id, { type: "purge", what }, { timeoutMs: CALL_TIMEOUT_MS });
        purged += reply.purged;
      }
      return { node: id, purged };
    } catch (error) {
      return { node: id, error: messageOf(error) };
    }
  }
}

function* inParts({ names, soft, ...rest }: Purge): Generator<Purge> {
  const [first = [], ...others] = slices(names, TOGETHER);
  yield { ...rest, soft, names: first };
  for (const some of others) yield { names: some, prefixes: [], tagged: [], soft };
}
