/**
 * Handoffs: chunks this node holds in the place of replicas that did not answer. They go home when those are back, and
 * are given up here only after every home replica has them; the garbage collector then takes the bytes.
 */
import type { ChunkId } from "../../core/manifest.ts";
import type { Name } from "../../core/names.ts";
import type { Catalog, Owed } from "../../ports.ts";
import { forEach } from "../background.ts";
import type { ChunkStore } from "../chunk-store.ts";
import type { Counter, Metrics } from "../metrics.ts";
import type { PeerGate } from "../peer-gate.ts";
import { type Delivered, Delivery, type DeliveryDeps } from "./delivery.ts";

const PUT_TIMEOUT_MS = 10_000;
const ASK_TIMEOUT_MS = 5_000;
const AT_ONCE = 4;

export interface HandoffsDeps extends DeliveryDeps {
  catalog: Catalog;
  chunks: ChunkStore;
  gate: PeerGate;
  metrics: Metrics;
}

export class Handoffs {
  readonly #deps: HandoffsDeps;
  readonly #delivery: Delivery;
  readonly #home: Counter;

  constructor(deps: HandoffsDeps) {
    this.#deps = deps;
    this.#delivery = new Delivery(deps, "chunks", (node, entries) => this.#deliver(node, entries));
    deps.metrics.gauge(
      "atoll_handoff_chunks_owed",
      "Chunks held for other nodes, at most",
      () => this.#delivery.owed,
    );
    this.#home = deps.metrics.counter("atoll_handoff_chunks_home_total", "Chunks brought home");
  }

  get owed(): number {
    return this.#delivery.owed;
  }

  start(): Promise<void> {
    return this.#delivery.start();
  }

  stop(): void {
    this.#delivery.stop();
  }

  /** The chunk is durable here already. Resolves when it is durable that it is owed, too. */
  hold(node: string, name: Name, chunk: ChunkId): Promise<void> {
    return this.#delivery.add([{ node, name, chunk }]);
  }

  /**
   * What every home replica has now is settled. The homes do not wait for each other: should another be away, the one it
   * is owed to has it all the same. If that one left the ring, the copy here counted for a majority, and still goes home.
   */
  async #deliver(node: string, entries: readonly Owed[]): Promise<Delivered> {
    const { ring } = this.#deps;
    const isMember = ring.members.includes(node);
    const byHome = new Map<string, Owed[]>();
    for (const entry of entries) {
      const homes = new Set([...ring.replicas(entry.name), ...(isMember ? [node] : [])]);
      homes.delete(ring.self);
      for (const home of homes) {
        const theirs = byHome.get(home);
        if (theirs) theirs.push(entry);
        else byHome.set(home, [entry]);
      }
    }
    const lacking = new Set<Owed>();
    let answers = !isMember;
    await Promise.all([...byHome].map(async ([home, theirs]) => {
      const has = await this.#bring(home, theirs);
      for (const entry of theirs) if (!has.has(entry.chunk!)) lacking.add(entry);
      if (home === node && has.size > 0) answers = true;
    }));
    return { settled: entries.filter((entry) => !lacking.has(entry)), answers };
  }

  /** Resolves with those that are at that home now; none when it is away. */
  async #bring(home: string, entries: readonly Owed[]): Promise<Set<ChunkId>> {
    const { chunks, gate, membership } = this.#deps;
    const has = new Set<ChunkId>();
    if (!membership.isAlive(home)) return has;
    const ids = [...new Set(entries.map(({ chunk }) => chunk!))];
    try {
      const { held } = await gate.call(home, { type: "chunks-held", ids }, { timeoutMs: ASK_TIMEOUT_MS });
      for (const [i, id] of ids.entries()) if (held[i] === true) has.add(id);
      await forEach(ids.filter((id) => !has.has(id)), AT_ONCE, async (id) => {
        const bytes = await chunks.get(id);
        if (bytes) {
          await gate.call(home, { type: "chunk-put", id, bytes }, { timeoutMs: PUT_TIMEOUT_MS });
          this.#home.add();
        }
        // Gone here as well: the replicas have it from each other, or nobody has.
        has.add(id);
      });
    } catch {
      // Away, or full: the rest stays on the list.
    }
    return has;
  }
}
