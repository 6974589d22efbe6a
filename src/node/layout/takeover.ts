/**
 * Taking over what a moving layout gives this node. For each partition whose replicas change, every member of the new
 * set, old members too, makes sure that it has accepted whatever a majority of the old set ever committed:
 *
 * 1. It asks a majority of the old set, each of which goes by this layout by then, so that no vote by an earlier one can
 *    be added any more, and says only what is durable (`Layouts.drained`).
 * 2. Each register found there is accepted here, as if its accept arrived late. Where this node has promised more, a
 *    round of its own comes instead. What was promised there is promised here as well: whoever accepted in a ballot that
 *    came no further may come into a majority later, and what is committed until then must stand above that ballot.
 * 3. The chunks of what it accepted until then are fetched; what is written meanwhile is written to both sets anyway.
 *    An object whose missing chunks nobody has any more counts as taken over after a while (gone-chunks.ts): no layout
 *    would ever settle otherwise. It stays on the list of the incomplete, and what is left of it where it lies.
 *
 * A commit by the old layouts was accepted by a majority of the old set, which shares a member with the one that was
 * asked; a commit by this one was accepted by a majority of the new set as well. So when a majority of a new set is done,
 * it alone knows everything that was ever committed.
 */
import { type Ballot, compareBallots } from "../../core/ballot.ts";
import { type Move, MoveEstimate } from "../../core/move-estimate.ts";
import type { Name } from "../../core/names.ts";
import { partitionOf, SLOTS_PER_PARTITION } from "../../core/partitions.ts";
import { majorityOf } from "../../core/quorum.ts";
import { type Floor, higherFloor, NO_FLOOR, type RegisterValue } from "../../core/register.ts";
import { AtollError, messageOf } from "../../errors.ts";
import type { Catalog, Clock, Log, MoveProgress } from "../../ports.ts";
import { Background, forEach } from "../background.ts";
import { byDistance } from "../fanout.ts";
import type { Membership } from "../membership.ts";
import type { Counter, Metrics } from "../metrics.ts";
import type { PeerGate } from "../peer-gate.ts";
import type { Registers } from "../registers.ts";
import { isRefusal } from "../repair/others-states.ts";
import type { Recovery } from "../repair/recovery.ts";
import { QuestionSize, statesPages } from "../repair/slot-rows.ts";
import type { Replica } from "../replica.ts";
import type { Ring } from "../ring.ts";
import type { GoneChunks } from "./gone-chunks.ts";
import type { Layouts } from "./layouts.ts";
import { measureMove } from "./move-metrics.ts";

const DOCUMENT = "takeover";
const CALL_TIMEOUT_MS = 5_000;
const RETRY_MS = 500;
const RETRY_MAX_MS = 10_000;
/** Looks whether the last chunks have come. */
const LOOK_MS = 500;
/** Partitions after which it is noted how far this got. */
const BATCH = 64;
const QUESTIONS_AT_ONCE = 8;
const REGISTERS_AT_ONCE = 32;
const ROUNDS_MAX = 8;
/** Incomplete objects waited for, by name. */
const INCOMPLETE_MAX = 1_024;
/** Looked at, with those that are not waited for: of other partitions, or gone. */
const LOOKED_AT_MAX = 16_384;
/** How long missing chunks are waited for before others are asked whether they are gone for good, and between two times. */
const GONE_MS = 60_000;
const GONE_AT_ONCE = 8;
/** Named in the log. */
const GONE_NAMED_MAX = 16;

export interface TakeoverDeps {
  ring: Ring;
  layouts: Layouts;
  catalog: Catalog;
  replica: Replica;
  registers: Registers;
  gone: GoneChunks;
  gate: PeerGate;
  membership: Membership;
  recovery: Pick<Recovery, "mustRememberPartitions">;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** Bytes of chunks this node has fetched for itself so far, and of those objects still lacks. */
  fetchedBytes: () => number;
  lackingBytes: (counts: (name: Name) => boolean) => number;
}

export class Takeover {
  readonly #deps: TakeoverDeps;
  readonly #work: Background;
  readonly #registers: Counter;
  /** The layout that is taken over; 0: none. */
  #number = 0;
  #partitions = 0;
  #left = new Set<number>();
  #objectsLeft = 0;
  /** Which of the objects that were incomplete here when the last register had come still are, by version. */
  #awaited: Map<Name, number> | undefined;
  /** Of those, by version, what nobody has the chunks of: not waited for any longer. */
  readonly #gone = new Map<Name, number>();
  /** Incomplete objects that were not waited for, when they were looked at last. */
  #passed = 0;
  /** When others are asked next what is gone. */
  #askMs: number | undefined;
  #isDone = false;
  #bytesBefore = 0;
  readonly #estimate = new MoveEstimate();
  #retryMs = RETRY_MS;
  readonly #size = new QuestionSize();

  constructor(deps: TakeoverDeps) {
    this.#deps = deps;
    this.#work = new Background(deps.clock, () => this.#run());
    measureMove(deps.metrics, () => this.#move());
    this.#registers = deps.metrics.counter(
      "atoll_takeover_registers_total",
      "Registers taken over from replicas of an earlier layout",
    );
    deps.metrics.gauge(
      "atoll_takeover_objects_gone",
      "Objects that the last move took over although chunks of them are missing, since nobody had those",
      () => this.#gone.size,
    );
  }

  start(): void {
    this.#work.wake();
  }

  stop(): void {
    this.#work.stop();
  }

  /** Another layout is in use. */
  adopted(): void {
    this.#work.wake();
  }

  /** Of that layout; nothing is known of another. */
  progress(number: number): MoveProgress {
    const isIt = this.#number === number && this.#deps.ring.number === number;
    return {
      done: isIt && this.#isDone,
      partitions: isIt ? this.#partitions : 0,
      partitionsLeft: isIt ? this.#left.size : 0,
      bytes: isIt ? this.#deps.fetchedBytes() - this.#bytesBefore : 0,
      bytesLeft: isIt && !this.#isDone ? this.#lackingBytes() : 0,
      objectsLeft: isIt ? this.#objectsLeft + this.#gone.size : 0,
    };
  }

  /** Of this node alone; undefined while there is nothing to take over. */
  #move(): Move | undefined {
    if (this.#number === 0 || this.#isDone) return undefined;
    return this.#estimate.of(
      this.#number,
      [this.progress(this.#number)],
      this.#deps.clock.monotonicMs(),
    );
  }

  #lackingBytes(): number {
    const { ring, lackingBytes } = this.#deps;
    return lackingBytes((name) => ring.isMoving(partitionOf(name)) && !this.#gone.has(name));
  }

  async #run(): Promise<number | undefined> {
    const { ring, log } = this.#deps;
    const { layout } = ring;
    if (!layout?.from) {
      this.#forget();
      return undefined;
    }
    try {
      if (this.#number !== layout.number) await this.#begin(layout.number);
      while (this.#left.size > 0) {
        if (this.#work.stopped || ring.number !== layout.number) return 0;
        await this.#takeSome();
      }
      if (this.#isDone) return undefined;
      this.#objectsLeft = await this.#stillIncomplete();
      if (this.#objectsLeft > 0) return LOOK_MS * Math.floor(1 + this.#passed / INCOMPLETE_MAX);
      if (ring.number !== layout.number) return 0;
      this.#isDone = true;
      this.#retryMs = RETRY_MS;
      log.info("taken over", { layout: layout.number, partitions: this.#partitions });
      if (this.#gone.size > 0) {
        log.error("taken over without chunks that no node has: these objects cannot be read whole", {
          layout: layout.number,
          objects: this.#gone.size,
        });
      }
      return undefined;
    } catch (error) {
      log.warn("taking over waits", {
        layout: layout.number,
        partitionsLeft: this.#left.size,
        reason: messageOf(error),
      });
      this.#retryMs = Math.min(RETRY_MAX_MS, 2 * this.#retryMs);
      return this.#retryMs;
    }
  }

  #forget(): void {
    this.#number = 0;
    this.#partitions = 0;
    this.#left.clear();
    this.#objectsLeft = 0;
    this.#awaited = undefined;
    this.#passed = 0;
    this.#askMs = undefined;
    this.#isDone = false;
  }

  /** What was taken over by an earlier layout's number does not count: its old sets may have gone on since. */
  async #begin(number: number): Promise<void> {
    const { ring, catalog, fetchedBytes, log } = this.#deps;
    this.#forget();
    this.#gone.clear();
    const mine = ring.movingPartitions().filter((partition) =>
      ring.quorumOfPartition(partition).sets[1]!.includes(ring.self)
    );
    const text = await catalog.document(DOCUMENT);
    const kept = text === undefined ? undefined : JSON.parse(text) as { number: number; left: number[] };
    const left = kept?.number === number ? mine.filter((partition) => kept.left.includes(partition)) : mine;
    this.#number = number;
    this.#partitions = mine.length;
    this.#left = new Set(this.#mostEndangeredFirst(left));
    this.#bytesBefore = fetchedBytes();
    if (left.length > 0) log.info("taking over", { layout: number, partitions: left.length });
  }

  /** Those that the fewest reachable nodes hold; among them those of the same old replicas together. */
  #mostEndangeredFirst(partitions: readonly number[]): number[] {
    const { ring, membership } = this.#deps;
    const holders = (partition: number): number =>
      ring.quorumOfPartition(partition).sets[0]!.filter((id) => id === ring.self || membership.isAlive(id))
        .length;
    return partitions
      .map((partition) => ({ partition, count: holders(partition), old: this.#oldOf(partition) }))
      .sort((a, b) =>
        a.count - b.count || (a.old < b.old ? -1 : a.old > b.old ? 1 : a.partition - b.partition)
      )
      .map(({ partition }) => partition);
  }

  /** Alike for those of the same old replicas. */
  #oldOf(partition: number): string {
    return [...this.#deps.ring.quorumOfPartition(partition).sets[0]!].sort().join();
  }

  async #takeSome(): Promise<void> {
    const { catalog, log } = this.#deps;
    const number = this.#number;
    const some = [...this.#left].slice(0, BATCH);
    await forEach(this.#together(some), QUESTIONS_AT_ONCE, (partitions) => this.#takeAll(partitions, number));
    if (this.#work.stopped) return;
    const left = [...this.#left].slice(some.length);
    await catalog.commit({ documents: [{ key: DOCUMENT, text: JSON.stringify({ number, left }) }] });
    this.#left = new Set(left);
    log.info("taking over", { layout: number, partitionsLeft: left.length, partitions: this.#partitions });
  }

  /** Those of the same old replicas are asked for together. */
  *#together(partitions: readonly number[]): Generator<number[]> {
    const groups = Map.groupBy(partitions, (partition) => this.#oldOf(partition));
    for (const group of groups.values()) yield* this.#size.slices(group);
  }

  /** By halves where some of the old set cannot tell of all: one may have lost this, another that. */
  async #takeAll(partitions: readonly number[], number: number): Promise<void> {
    if (this.#work.stopped) return;
    try {
      await this.#take(partitions, number);
    } catch (error) {
      const isPart = partitions.length > 1 && error instanceof AtollError && isRefusal(error.cause);
      if (!isPart) throw error;
      const half = partitions.length >> 1;
      await this.#takeAll(partitions.slice(0, half), number);
      await this.#takeAll(partitions.slice(half), number);
    }
  }

  /** Of the same old set: from a majority of it, the nearest that answer. */
  async #take(partitions: readonly number[], number: number): Promise<void> {
    const { ring, layouts, membership, recovery } = this.#deps;
    const { sets } = ring.quorumOfPartition(partitions[0]!);
    if (ring.number !== number) throw new AtollError("wrong-layout", "another layout has come");
    const old = sets[0]!;
    const { order } = byDistance(old, ring.self, membership);
    const floors = new Map<number, Floor>();
    let reason: unknown;
    let asked = 0;
    for (const source of order) {
      if (asked === majorityOf(old.length)) break;
      try {
        // What lies here is accepted here already, unless it was lost.
        if (source === ring.self) {
          recovery.mustRememberPartitions(partitions);
          await layouts.drained();
        } else await this.#takeFrom(source, partitions, number, floors);
        asked++;
      } catch (error) {
        if (!isRefusal(reason)) reason = error;
      }
    }
    if (asked < majorityOf(old.length)) {
      throw new AtollError(
        "no-quorum",
        `wanted ${majorityOf(old.length)} of ${old.length} earlier replicas of partition ${partitions[0]} ` +
          `to answer, got ${asked}: ${messageOf(reason)}`,
        { cause: reason },
      );
    }
    // Last: a floor of its slot would keep out registers that are still to come.
    for (const [slot, floor] of floors) await this.#deps.replica.raiseFloor(slot, floor);
  }

  async #takeFrom(
    source: string,
    partitions: readonly number[],
    number: number,
    floors: Map<number, Floor>,
  ): Promise<void> {
    const { gate, replica } = this.#deps;
    const options = { timeoutMs: CALL_TIMEOUT_MS, layout: number };
    let registers = 0;
    for await (const page of statesPages((request) => gate.call(source, request, options), partitions)) {
      registers += page.rows.length;
      await forEach(page.rows, REGISTERS_AT_ONCE, async ({ name, state: { promised, accepted, value } }) => {
        if (!partitions.includes(partitionOf(name))) return;
        if (value !== null) await this.#learn(name, accepted, value, number);
        // Refused where as much is promised already.
        if (compareBallots(promised, accepted) > 0) await replica.prepare(name, promised, number);
      });
      for (const { slot, floor } of page.floors) {
        if (!partitions.includes(Math.floor(slot / SLOTS_PER_PARTITION))) continue;
        floors.set(slot, higherFloor(floors.get(slot) ?? NO_FLOOR, floor));
      }
    }
    this.#size.answered(registers, partitions.length);
  }

  /** When it resolves this node has accepted that value, or a later one. */
  async #learn(name: Name, ballot: Ballot, value: RegisterValue, number: number): Promise<void> {
    const { replica, registers } = this.#deps;
    for (let rounds = 0; rounds < ROUNDS_MAX; rounds++) {
      const { accepted } = await replica.state(name);
      if (compareBallots(accepted, ballot) >= 0) return;
      const reply = await replica.accept(name, ballot, value, number);
      if (reply.kind === "accepted") return this.#registers.add();
      await registers.rewrite(name, reply.promised);
    }
    throw new AtollError(
      "overloaded",
      `wanted ${name.replace("\0", "/")} to rest for a moment, others keep writing it`,
    );
  }

  /** How many that are waited for, at least. */
  async #stillIncomplete(): Promise<number> {
    const { ring, catalog } = this.#deps;
    const limit = Math.min(LOOKED_AT_MAX, INCOMPLETE_MAX + this.#passed);
    const rows = await catalog.incomplete(limit);
    const moving = new Map<Name, number>();
    for (const { name, version } of rows) if (ring.isMoving(partitionOf(name))) moving.set(name, version);
    const isStill = ([name, version]: readonly [Name, number]): boolean => moving.get(name) === version;
    // With more than can be looked at, those that are looked at tell at least which of them are gone.
    const areAll = rows.length < limit;
    for (const entry of this.#gone) {
      if (!isStill(entry) && (areAll || moving.has(entry[0]))) this.#gone.delete(entry[0]);
    }
    if (areAll) this.#awaited = new Map([...this.#awaited ?? moving].filter(isStill));
    const isGone = ([name, version]: readonly [Name, number]): boolean => this.#gone.get(name) === version;
    const left = [...areAll ? this.#awaited! : moving].filter((entry) => !isGone(entry));
    const kept = left.length - await this.#askWhatIsGone(left);
    this.#passed = Math.max(rows.length - kept, this.#gone.size);
    return areAll ? kept : Math.max(1, kept);
  }

  /** Resolves with how many of them are. */
  async #askWhatIsGone(left: readonly (readonly [Name, number])[]): Promise<number> {
    const { clock, gone, log, ring } = this.#deps;
    const now = clock.monotonicMs();
    this.#askMs ??= now + GONE_MS;
    if (now < this.#askMs || this.#gone.size >= LOOKED_AT_MAX) return 0;
    const before = this.#gone.size;
    try {
      await forEach(left, GONE_AT_ONCE, async ([name, version]) => {
        if (this.#work.stopped || ring.number !== this.#number) return;
        if (!await gone.areAll(name, version) || ring.number !== this.#number) return;
        this.#gone.set(name, version);
        if (this.#gone.size > GONE_NAMED_MAX) return;
        log.error("an object lacks chunks that no node has", { name: name.replace("\0", "/"), version });
      });
    } catch (error) {
      // Once somebody who may have them is silent, nobody else need be asked for now.
      log.warn("whether missing chunks are gone is not known yet", { reason: messageOf(error) });
    }
    this.#askMs = clock.monotonicMs() + GONE_MS;
    return this.#gone.size - before;
  }
}
