/**
 * Delivers to each node what is on the durable list of what it is owed, when it is there, with back-off when it is not.
 * Each node has a worker of its own: one that hangs keeps nobody else waiting.
 */
import { messageOf } from "../../errors.ts";
import type { Catalog, Clock, Log, Owed } from "../../ports.ts";
import { Background } from "../background.ts";
import type { Membership } from "../membership.ts";
import type { Ring } from "../ring.ts";

const BATCH = 256;
const LOOK_MS = 1_000;
const BACKOFF_MAX_MS = 60_000;
/** Counting reads the whole list. */
const RECOUNT_MS = 10_000;

export interface DeliveryDeps {
  ring: Ring;
  catalog: Catalog;
  membership: Membership;
  clock: Clock;
  log: Log;
}

export interface Delivered {
  /** Off the list; the other entries go to its end. */
  readonly settled: readonly Owed[];
  /** The node answers: what comes after on the list may well be delivered now. */
  readonly answers: boolean;
}

interface Debt {
  readonly work: Background;
  /** At most: a name that was on the list already is counted twice until it is delivered or the list is counted anew. */
  count: number;
  /** Of the batch under way; one that is put on the list again meanwhile is struck off here, and so stays there. */
  readonly batch: Set<string>;
  /** Not before this reading of the monotonic clock. */
  nextMs: number;
  backoffMs: number;
}

export class Delivery {
  readonly #deps: DeliveryDeps;
  readonly #what: "changes" | "chunks";
  readonly #deliver: (node: string, entries: readonly Owed[]) => Promise<Delivered>;
  /** By node, for good: there are no more of them than ever belonged to the ring. */
  readonly #debts = new Map<string, Debt>();
  readonly #counting: Background;
  #stopped = false;

  /** `deliver` must not reject for what one node does. */
  constructor(
    deps: DeliveryDeps,
    what: "changes" | "chunks",
    deliver: (node: string, entries: readonly Owed[]) => Promise<Delivered>,
  ) {
    this.#deps = deps;
    this.#what = what;
    this.#deliver = deliver;
    this.#counting = new Background(deps.clock, () => this.#count());
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
      if (count > 0) this.#added(node, count);
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#counting.stop();
    for (const { work } of this.#debts.values()) work.stop();
  }

  /** Puts them on the list; durable when it resolves. */
  async add(entries: readonly Owed[]): Promise<void> {
    // Before the commit: a batch that is settled after it must not take along what it did not deliver.
    for (const entry of entries) this.#debts.get(entry.node)?.batch.delete(keyOf(entry));
    await this.#deps.catalog.commit({ owed: entries.map((entry) => ({ ...entry, settled: false })) });
    for (const [node, some] of Map.groupBy(entries, (entry) => entry.node)) this.#added(node, some.length);
  }

  /** Has what is owed counted anew, soon. */
  recount(): void {
    this.#counting.wake(RECOUNT_MS);
  }

  async #count(): Promise<undefined> {
    const before = new Map([...this.#debts].map(([node, { count }]) => [node, count]));
    try {
      const counts = new Map<string, number>();
      for (const { node, [this.#what]: count } of await this.#deps.catalog.owedCounts()) {
        counts.set(node, count);
      }
      for (const [node, debt] of this.#debts) debt.count += (counts.get(node) ?? 0) - (before.get(node) ?? 0);
    } catch (error) {
      this.#deps.log.warn("what peers are owed could not be counted", { reason: messageOf(error) });
    }
  }

  #added(node: string, count: number): void {
    if (this.#stopped) return;
    let debt = this.#debts.get(node);
    if (!debt) {
      const work = new Background(this.#deps.clock, () => this.#run(node));
      this.#debts.set(node, debt = { work, count: 0, batch: new Set(), nextMs: 0, backoffMs: 0 });
    }
    debt.count += count;
    debt.work.wake(LOOK_MS);
  }

  async #run(node: string): Promise<number | undefined> {
    const { membership, clock, ring } = this.#deps;
    const debt = this.#debts.get(node)!;
    if (!ring.layout) return LOOK_MS;
    const left = !ring.members.includes(node);
    // A node can miss its own changes: while its disk is full, or it has no vote.
    if (!left && node !== ring.self && !membership.isAlive(node)) return LOOK_MS;
    const waitMs = debt.nextMs - clock.monotonicMs();
    if (waitMs > 0) return waitMs;
    try {
      await (left && this.#what === "changes" ? this.#forgive(node, debt) : this.#pay(node, debt));
      debt.backoffMs = 0;
      return debt.count > 0 ? 0 : undefined;
    } catch (error) {
      return this.#putOff(node, debt, error);
    }
  }

  /** Once around the list, as long as the node answers. */
  async #pay(node: string, debt: Debt): Promise<void> {
    let waiting = 0;
    const all = debt.count;
    for (let passed = 0; passed < all && !this.#stopped;) {
      const before = debt.count;
      const entries = await this.#deps.catalog.owedTo(node, this.#what, BATCH);
      if (entries.length === 0) {
        debt.count -= before;
        return;
      }
      passed += entries.length;
      for (const entry of entries) debt.batch.add(keyOf(entry));
      const { settled, answers } = await this.#deliver(node, entries);
      const settledCount = await this.#settle(entries, new Set(settled), debt);
      waiting += entries.length - settledCount;
      if (!answers) break;
    }
    if (waiting > 0) throw new Error(`${waiting} could not be delivered`);
  }

  /** Resolves with how many are off the list. */
  async #settle(entries: readonly Owed[], settled: ReadonlySet<Owed>, debt: Debt): Promise<number> {
    const left = entries.filter((entry) => !settled.has(entry) || !debt.batch.has(keyOf(entry)));
    debt.batch.clear();
    await this.#deps.catalog.commit({
      owed: [
        ...entries.map((entry) => ({ ...entry, settled: true })),
        ...left.map((entry) => ({ ...entry, settled: false })),
      ],
    });
    debt.count = Math.max(1, debt.count - (entries.length - left.length));
    return entries.length - left.length;
  }

  /** The node left the ring: who has its place now learns what it holds from the others. */
  async #forgive(node: string, debt: Debt): Promise<void> {
    const before = debt.count;
    const entries = await this.#deps.catalog.owedTo(node, this.#what, BATCH);
    await this.#deps.catalog.commit({ owed: entries.map((entry) => ({ ...entry, settled: true })) });
    debt.count = entries.length < BATCH ? debt.count - before : Math.max(1, debt.count - BATCH);
  }

  #putOff(node: string, debt: Debt, error: unknown): number {
    debt.backoffMs = Math.min(BACKOFF_MAX_MS, Math.max(LOOK_MS, 2 * debt.backoffMs));
    debt.nextMs = this.#deps.clock.monotonicMs() + debt.backoffMs;
    this.#deps.log.info("what a peer is owed waits", {
      peer: node,
      what: this.#what,
      owed: debt.count,
      forMs: debt.backoffMs,
      reason: messageOf(error),
    });
    return debt.backoffMs;
  }
}

function keyOf({ name, chunk }: Owed): string {
  return chunk === undefined ? name : `${chunk} ${name}`;
}
