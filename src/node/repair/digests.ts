/**
 * Keeps the digests of this node's slots up to date. Every change marks its slot in its own transaction; marked slots are
 * digested anew soon after, from what lies in the catalog. Apart from that all slots are digested anew in a slow cycle,
 * so that a digest that lies is found.
 */
import { branchText, EMPTY_DIGEST, leafText } from "../../core/merkle.ts";
import { SLOTS, SLOTS_PER_PARTITION } from "../../core/partitions.ts";
import { DamagedRegister, messageOf } from "../../errors.ts";
import type { Catalog, Clock, Hashing, Log } from "../../ports.ts";
import { Background, forEach } from "../background.ts";
import type { Counter, Metrics } from "../metrics.ts";
import { slotRows } from "./slot-rows.ts";

/** Changes of this long are digested together. */
const GATHER_MS = 500;
const BATCH = 256;
const AT_ONCE = 8;
const RETRY_MS = 10_000;
/** Slots looked at in one step of the slow cycle. */
const CHECKED_AT_ONCE = 64;

export interface DigestsDeps {
  catalog: Catalog;
  hashing: Hashing;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  onDamaged: (name: string) => void;
  /** In which every slot is digested anew. */
  cycleMs: number;
}

export class Digests {
  readonly #deps: DigestsDeps;
  /** By partition, of slots that hold anything: a partition that is not there is empty. */
  readonly #slots = new Map<number, Map<number, string>>();
  /** Of partitions, as far as they were asked for since their last change. */
  readonly #partitions = new Map<number, string>();
  readonly #update: Background;
  readonly #check: Background;
  readonly #lies: Counter;
  #checkedUpTo = 0;

  constructor(deps: DigestsDeps) {
    this.#deps = deps;
    this.#update = new Background(deps.clock, () => this.#digestChanged());
    this.#check = new Background(deps.clock, () => this.#checkSome());
    this.#lies = deps.metrics.counter(
      "atoll_digests_wrong_total",
      "Digests of slots that were not those of what lay in the catalog",
    );
  }

  async start(): Promise<void> {
    for (const { slot, digest } of await this.#deps.catalog.digests()) this.#set(slot, digest);
    this.#update.wake();
    this.#check.wake(this.#stepMs);
  }

  stop(): void {
    this.#update.stop();
    this.#check.stop();
  }

  /** A register was changed. */
  changed(): void {
    this.#update.wake(GATHER_MS);
  }

  ofSlots(partition: number): string[] {
    const first = partition * SLOTS_PER_PARTITION;
    return Array.from({ length: SLOTS_PER_PARTITION }, (_, i) => this.#ofSlot(first + i));
  }

  ofPartition(partition: number): string {
    if (!this.#slots.has(partition)) return EMPTY_DIGEST;
    let digest = this.#partitions.get(partition);
    if (digest === undefined) {
      digest = this.#digest(branchText(this.ofSlots(partition)));
      this.#partitions.set(partition, digest);
    }
    return digest;
  }

  get #stepMs(): number {
    return this.#deps.cycleMs / (SLOTS / CHECKED_AT_ONCE);
  }

  #ofSlot(slot: number): string {
    return this.#slots.get(Math.floor(slot / SLOTS_PER_PARTITION))?.get(slot) ?? EMPTY_DIGEST;
  }

  #set(slot: number, digest: string): void {
    const partition = Math.floor(slot / SLOTS_PER_PARTITION);
    const slots = this.#slots.get(partition) ?? new Map<number, string>();
    if (digest === EMPTY_DIGEST) slots.delete(slot);
    else slots.set(slot, digest);
    if (slots.size === 0) this.#slots.delete(partition);
    else this.#slots.set(partition, slots);
    this.#partitions.delete(partition);
  }

  async #digestChanged(): Promise<number | undefined> {
    const { catalog, log } = this.#deps;
    try {
      const changed = await catalog.changedSlots(BATCH);
      await this.#digestAll(changed);
      return changed.length === BATCH ? 0 : undefined;
    } catch (error) {
      this.#noteDamage(error);
      log.warn("digests of changed registers could not be made", { reason: messageOf(error) });
      return RETRY_MS;
    }
  }

  /** A slot that cannot be read keeps its mark, and the others get their digests all the same. */
  async #digestAll(slots: readonly { slot: number; turn: number }[]): Promise<void> {
    const digests: { slot: number; turn: number; digest: string }[] = [];
    const faults: unknown[] = [];
    await forEach(slots, AT_ONCE, async ({ slot, turn }) => {
      try {
        digests.push({ slot, turn, digest: await this.#digestSlot(slot) });
      } catch (error) {
        this.#noteDamage(error);
        faults.push(error);
      }
    });
    if (digests.length > 0) {
      await this.#deps.catalog.commit({ digests });
      for (const { slot, digest } of digests) this.#set(slot, digest);
    }
    if (faults.length > 0) throw faults[0];
  }

  async #digestSlot(slot: number): Promise<string> {
    let text = "";
    for await (const { name, state } of slotRows(this.#deps.catalog, slot)) {
      text += leafText(name, state) ?? "";
    }
    return this.#digest(text === "" ? undefined : text);
  }

  #digest(text: string | undefined): string {
    return text === undefined ? EMPTY_DIGEST : this.#deps.hashing.sha256(new TextEncoder().encode(text));
  }

  /** The next slots in the slow cycle. One that cannot be read keeps no other from being checked. */
  async #checkSome(): Promise<number> {
    const { catalog, log } = this.#deps;
    const first = this.#checkedUpTo;
    this.#checkedUpTo = (first + CHECKED_AT_ONCE) % SLOTS;
    const warn = (error: unknown): void => {
      this.#noteDamage(error);
      log.warn("digests could not be checked", { reason: messageOf(error) });
    };
    try {
      const marked = new Set((await catalog.changedSlots(SLOTS)).map(({ slot }) => slot));
      for (let slot = first; slot < first + CHECKED_AT_ONCE; slot++) {
        if (!marked.has(slot) && !this.#check.stopped) await this.#checkSlot(slot).catch(warn);
      }
    } catch (error) {
      warn(error);
    }
    return this.#stepMs;
  }

  /** One that changes meanwhile is marked, and its digest is made anew anyway. */
  async #checkSlot(slot: number): Promise<void> {
    const { catalog, log } = this.#deps;
    const known = this.#ofSlot(slot);
    const digest = await this.#digestSlot(slot);
    if (digest === known || known !== this.#ofSlot(slot)) return;
    const changed = await catalog.changedSlots(SLOTS);
    if (changed.some((entry) => entry.slot === slot)) return;
    this.#lies.add();
    log.warn("a slot's digest was not that of its registers", { slot });
    await catalog.commit({ digests: [{ slot, digest, turn: -1 }] });
    this.#set(slot, digest);
  }

  #noteDamage(error: unknown): void {
    if (error instanceof DamagedRegister) this.#deps.onDamaged(error.register);
  }
}
