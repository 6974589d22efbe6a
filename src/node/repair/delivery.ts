/** Delivers to each node what is on the durable list of what it is owed, when it is there, with back-off when it is not. */
import { messageOf } from "../../errors.ts";
import type { Catalog, Clock, Log, Owed } from "../../ports.ts";
import { Background } from "../background.ts";
import type { Membership } from "../membership.ts";
import type { Ring } from "../ring.ts";

const BATCH = 256;
const LOOK_MS = 1_000;
const BACKOFF_MAX_MS = 60_000;

export interface DeliveryDeps {
  ring: Ring;
  catalog: Catalog;
  membership: Membership;
  clock: Clock;
  log: Log;
}

interface Debt {
  /** At most: a name that was on the list already is counted twice until it is delivered. */
  count: number;
  /** Not before this reading of the monotonic clock. */
  nextMs: number;
  backoffMs: number;
}

export class Delivery {
  readonly #deps: DeliveryDeps;
  readonly #what: "changes" | "chunks";
  readonly #deliver: (node: string, entries: readonly Owed[]) => Promise<readonly Owed[]>;
  readonly #debts = new Map<string, Debt>();
  readonly #work: Background;

  /** `deliver` resolves with the entries that are settled; the others go to the end of the list. */
  constructor(
    deps: DeliveryDeps,
    what: "changes" | "chunks",
    deliver: (node: string, entries: readonly Owed[]) => Promise<readonly Owed[]>,
  ) {
    this.#deps = deps;
    this.#what = what;
    this.#deliver = deliver;
    this.#work = new Background(deps.clock, () => this.#run());
  }

  /** Entries, at most. */
  get owed(): number {
    let sum = 0;
    for (const { count } of this.#debts.values()) sum += count;
    return sum;
  }

  owedTo(node: string): number {
    return this.#debts.get(node)?.count ?? 0;
  }

  async start(): Promise<void> {
    for (const { node, [this.#what]: count } of await this.#deps.catalog.owedCounts()) {
      if (count > 0) this.added(node, count);
    }
  }

  stop(): void {
    this.#work.stop();
  }

  /** So many entries were put on the list. */
  added(node: string, count: number): void {
    const debt = this.#debts.get(node);
    if (debt) debt.count += count;
    else this.#debts.set(node, { count, nextMs: 0, backoffMs: 0 });
    this.#work.wake(LOOK_MS);
  }

  async #run(): Promise<number | undefined> {
    const { membership, clock, ring } = this.#deps;
    for (const [node, debt] of this.#debts) {
      if (this.#work.stopped) return undefined;
      if (ring.layout && !ring.members.includes(node)) await this.#forgive(node);
      // A node can miss its own changes: while its disk is full, or it has no vote.
      else if (node !== ring.self && !membership.isAlive(node)) continue;
      else if (clock.monotonicMs() >= debt.nextMs) await this.#pay(node, debt);
    }
    return this.#debts.size > 0 ? LOOK_MS : undefined;
  }

  /** As long as all goes well. */
  async #pay(node: string, debt: Debt): Promise<void> {
    const { catalog, clock, log } = this.#deps;
    try {
      while (!this.#work.stopped) {
        const entries = await catalog.owedTo(node, this.#what, BATCH);
        if (entries.length === 0) {
          this.#debts.delete(node);
          return;
        }
        const settled = await this.#deliver(node, entries);
        const left = entries.filter((entry) => !settled.includes(entry));
        await catalog.commit({
          owed: [
            ...entries.map((entry) => ({ ...entry, settled: true })),
            ...left.map((entry) => ({ ...entry, settled: false })),
          ],
        });
        debt.count = Math.max(1, debt.count - settled.length);
        if (left.length > 0) throw new Error(`${left.length} of ${entries.length} could not be delivered`);
        debt.backoffMs = 0;
      }
    } catch (error) {
      debt.backoffMs = Math.min(BACKOFF_MAX_MS, Math.max(LOOK_MS, 2 * debt.backoffMs));
      debt.nextMs = clock.monotonicMs() + debt.backoffMs;
      log.info("what a peer is owed waits", {
        peer: node,
        what: this.#what,
        owed: debt.count,
        forMs: debt.backoffMs,
        reason: messageOf(error),
      });
    }
  }

  /** The node left the ring: nobody asks for it any more. */
  async #forgive(node: string): Promise<void> {
    const { catalog, log } = this.#deps;
    try {
      const entries = await catalog.owedTo(node, this.#what, BATCH);
      await catalog.commit({ owed: entries.map((entry) => ({ ...entry, settled: true })) });
      if (entries.length < BATCH) this.#debts.delete(node);
    } catch (error) {
      log.warn("what a former peer is owed could not be struck off", {
        peer: node,
        reason: messageOf(error),
      });
    }
  }
}
