/**
 * Hints: which register changes which node has missed. Kept durably by whoever noticed, bounded by key, and delivered
 * when the node is back. What finds no place here, or is lost in a crash before it was written, anti-entropy finds later.
 */
import type { Name } from "../../core/names.ts";
import { messageOf } from "../../errors.ts";
import type { Owed } from "../../ports.ts";
import { Background, forEach } from "../background.ts";
import type { Courtesy } from "../courtesy.ts";
import type { Counter, Metrics } from "../metrics.ts";
import { type Delivered, Delivery, type DeliveryDeps } from "./delivery.ts";
import type { Reconciler } from "./reconciler.ts";

/** Misses of this long share one commit. */
const GATHER_MS = 50;
const GATHERED_MAX = 16_384;
/** Names owed to one node; beyond, comparing digests is cheaper than a list. */
const OWED_MAX = 100_000;
const AT_ONCE = 32;

export interface HintsDeps extends DeliveryDeps {
  reconciler: Reconciler;
  courtesy: Courtesy;
  metrics: Metrics;
}

export class Hints {
  readonly #deps: HintsDeps;
  /** By node and name: noticed, and not on disk yet. */
  #gathered = new Map<string, Owed>();
  readonly #writing: Background;
  readonly #delivery: Delivery;
  readonly #dropped: Counter;

  constructor(deps: HintsDeps) {
    this.#deps = deps;
    this.#writing = new Background(deps.clock, () => this.#write());
    this.#delivery = new Delivery(deps, "changes", (node, entries) => this.#deliver(node, entries));
    deps.metrics.gauge(
      "atoll_hints_owed",
      "Register changes that other nodes have missed, at most",
      () => this.owed,
    );
    this.#dropped = deps.metrics.counter("atoll_hints_dropped_total", "Hints there was no room for");
  }

  get owed(): number {
    return this.#gathered.size + this.#delivery.owed;
  }

  start(): Promise<void> {
    return this.#delivery.start();
  }

  stop(): void {
    this.#writing.stop();
    this.#delivery.stop();
  }

  /** The node has not accepted, or not said so, what a majority did. */
  missed(node: string, name: Name): void {
    const entry = `${node} ${name}`;
    if (this.#gathered.has(entry)) return;
    const isFull = this.#delivery.owedTo(node) >= OWED_MAX;
    // Names that are missed again and again count each time: perhaps it is not so many.
    if (isFull) this.#delivery.recount();
    if (isFull || this.#gathered.size >= GATHERED_MAX) return this.#dropped.add();
    this.#gathered.set(entry, { node, name });
    this.#writing.wake(GATHER_MS);
  }

  async #write(): Promise<undefined> {
    const { log } = this.#deps;
    const entries = [...this.#gathered.values()];
    // What is missed once more from here on is gathered once more: the list may lose the first meanwhile.
    this.#gathered = new Map();
    try {
      await this.#delivery.add(entries);
    } catch (error) {
      this.#dropped.add(entries.length);
      log.warn("hints could not be written", { hints: entries.length, reason: messageOf(error) });
    }
  }

  async #deliver(node: string, entries: readonly Owed[]): Promise<Delivered> {
    const { reconciler, ring, courtesy } = this.#deps;
    const settled: Owed[] = [];
    await forEach(entries, AT_ONCE, async (entry) => {
      await courtesy.turn();
      // One that fails must not keep the others from being delivered.
      const isDone = !ring.replicas(entry.name).includes(node) ||
        (await reconciler.reconcile(entry.name).catch(() => undefined))?.has(node) === true;
      if (isDone) settled.push(entry);
    });
    return { settled, answers: settled.length > 0 };
  }
}
