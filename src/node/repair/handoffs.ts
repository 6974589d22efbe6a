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
import { Delivery, type DeliveryDeps } from "./delivery.ts";

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
  async hold(node: string, name: Name, chunk: ChunkId): Promise<void> {
    await this.#deps.catalog.commit({ owed: [{ node, name, chunk, settled: false }] });
    this.#delivery.added(node, 1);
  }

  /** Resolves with what every home replica has now. */
  async #deliver(node: string, entries: readonly Owed[]): Promise<Owed[]> {
    const settled: Owed[] = [];
    await forEach(entries, AT_ONCE, async (entry) => {
      const id = entry.chunk!;
      const homes = new Set([...this.#deps.ring.replicas(entry.name), node]);
      homes.delete(this.#deps.ring.self);
      // The one it is owed to first: should another be away, that one has it all the same.
      const order = [...homes].sort((a, b) => Number(b === node) - Number(a === node));
      try {
        for (const home of order) await this.#bring(home, id);
        settled.push(entry);
      } catch {
        // Somebody is away: it stays on the list.
      }
    });
    return settled;
  }

  async #bring(home: string, id: ChunkId): Promise<void> {
    const { chunks, gate } = this.#deps;
    const { held } = await gate.call(home, { type: "chunks-held", ids: [id] }, { timeoutMs: ASK_TIMEOUT_MS });
    if (held[0] === true) return;
    const bytes = await chunks.get(id);
    if (!bytes) return; // gone here as well: the replicas have it from each other, or nobody has
    await gate.call(home, { type: "chunk-put", id, bytes }, { timeoutMs: PUT_TIMEOUT_MS });
    this.#home.add();
  }
}
