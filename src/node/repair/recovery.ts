/**
 * A node whose disk was wiped, or whose catalog lost a row, has forgotten what it promised and accepted. An acceptor that
 * forgets can undo a commit, so it has no vote until it knows again. The way back:
 *
 * 1. It takes a new name for its memory, durably, and goes by it from now on.
 * 2. It tells the other replicas. Each notes the name durably and says it with every vote, by which votes from the old
 *    memory become void (`Testimony` in core/quorum.ts).
 * 3. A majority of all replicas, itself not among them, having noted it, those tell it their states, and it takes the
 *    greatest promise and the greatest acceptance of each register. Every majority its old memory ever voted in shares a
 *    member with them: that member knew the ballot before it was asked, or voids the old vote.
 *
 * Not all that they tell may be vouched for as it is, and not all of them must: see others-states.ts.
 *
 * With fewer than a majority of others there is no safe way back, and it waits.
 */
import { type Ballot, compareBallots, NO_BALLOT, sameBallot } from "../../core/ballot.ts";
import type { Name } from "../../core/names.ts";
import { partitionOf, slotOf } from "../../core/partitions.ts";
import { majorityOf } from "../../core/quorum.ts";
import { EMPTY_ACCEPTOR, NO_FLOOR } from "../../core/register.ts";
import { AtollError, messageOf } from "../../errors.ts";
import type { Catalog, Clock, DecreeState, Log, Random, RegisterRow } from "../../ports.ts";
import { Background, forEach } from "../background.ts";
import { KeyedQueue } from "../keyed-queue.ts";
import type { DecreeAcceptor } from "../layout/decree-acceptor.ts";
import type { Metrics } from "../metrics.ts";
import type { PeerGate } from "../peer-gate.ts";
import type { Registers } from "../registers.ts";
import type { Replica } from "../replica.ts";
import type { Ring } from "../ring.ts";
import type { Memories } from "./memories.ts";
import { isRefusal, OthersStates, type Sources, toldByEnough } from "./others-states.ts";
import { partitionNames, QuestionSize } from "./slot-rows.ts";

const DOCUMENT = "recovery";
const CALL_TIMEOUT_MS = 5_000;
const RETRY_MS = 1_000;
const RETRY_MAX_MS = 30_000;
/** Partitions after which it is noted how far this got. */
const BATCH = 64;
const QUESTIONS_AT_ONCE = 8;
const SLOTS_AT_ONCE = 32;
/** Damaged registers that are mended together; others are found again. */
const DAMAGED_MAX = 1_024;

export interface RecoveryDeps {
  ring: Ring;
  catalog: Catalog;
  decree: DecreeAcceptor;
  /** Undefined until the replica is made, which needs this. */
  replica: () => Replica;
  registers: () => Pick<Registers, "rewrite">;
  memories: Memories;
  gate: PeerGate;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
}

/** Partitions of the same sets, and who is asked for them. */
interface Question {
  readonly partitions: number[];
  readonly sources: Sources;
}

export class Recovery {
  readonly #deps: RecoveryDeps;
  /** Partitions this node has no vote in; empty as a rule. */
  #lost = new Set<number>();
  /** Registers whose rows cannot be believed. */
  readonly #damaged = new Set<Name>();
  readonly #others: OthersStates;
  readonly #work: Background;
  /** Whoever changes what is lost waits for the others, so that what is durable is the last word. */
  readonly #queue = new KeyedQueue();
  #turn = 0;
  #total = 0;
  /** What the partitions of one question hold is kept in memory until all sources have answered. */
  readonly #size = new QuestionSize();
  #retryMs = RETRY_MS;

  constructor(deps: RecoveryDeps) {
    this.#deps = deps;
    this.#others = new OthersStates({ gate: deps.gate, registers: deps.registers });
    this.#work = new Background(deps.clock, () => this.#run());
    deps.metrics.gauge(
      "atoll_recovery_partitions_left",
      "Partitions this node has no vote in until it has learned anew what it held",
      () => this.#lost.size,
    );
    deps.metrics.gauge(
      "atoll_registers_damaged",
      "Registers whose rows cannot be believed, waiting to be fetched anew",
      () => this.#damaged.size,
    );
  }

  async load(): Promise<void> {
    const text = await this.#deps.catalog.document(DOCUMENT);
    if (text !== undefined) this.#lost = new Set(JSON.parse(text) as number[]);
    this.#total = this.#lost.size;
  }

  start(): void {
    if (this.#isNeeded) this.#work.wake();
  }

  stop(): void {
    this.#work.stop();
  }

  get #isNeeded(): boolean {
    return this.isUnderWay || this.#deps.decree.hasForgotten;
  }

  /** Whether there are registers this node has no vote on. */
  get isUnderWay(): boolean {
    return this.#lost.size > 0 || this.#damaged.size > 0;
  }

  /** Throws where this node has no vote. */
  mustRemember(name: Name): void {
    if (this.#lost.size > 0 && this.#lost.has(partitionOf(name))) throw forgotten();
    if (this.#damaged.size > 0 && this.#damaged.has(name)) throw forgotten();
  }

  /** Throws where this node knows nothing of one of these partitions; of single registers see `damagedAmong`. */
  mustRememberPartitions(partitions: readonly number[]): void {
    if (this.#lost.size > 0 && partitions.some((partition) => this.#lost.has(partition))) throw forgotten();
  }

  /** Throws where there are partitions this node knows nothing of. */
  mustRememberAllPartitions(): void {
    if (this.#lost.size > 0) throw forgotten();
  }

  /** Registers this node cannot tell of, wherever it was that their rows looked wrong. */
  damagedAmong(isAsked: (name: Name) => boolean): Name[] {
    return this.#damaged.size === 0 ? [] : [...this.#damaged].filter(isAsked);
  }

  get lost(): readonly number[] {
    return [...this.#lost];
  }

  /** No vote in these any more. */
  async suspend(partitions: readonly number[]): Promise<void> {
    const lost = new Set([...this.#lost, ...partitions]);
    this.#lost = lost;
    await this.#deps.catalog.commit({ documents: [this.document([...lost])] });
  }

  /** What to commit together with a layout that names a node which knows nothing of having been part of it. */
  document(partitions: readonly number[]): { key: string; text: string } {
    return { key: DOCUMENT, text: JSON.stringify(partitions) };
  }

  /**
   * `partitions`: makes the document of those it resolves with durable. Nothing that was learned before counts for them:
   * it begins anew.
   */
  relearning(partitions: () => Promise<readonly number[]>): Promise<void> {
    return this.#queue.run("", async () => {
      const lost = new Set(await partitions());
      const isMore = [...lost].some((partition) => !this.#lost.has(partition));
      this.#lost = lost;
      this.#turn++;
      if (isMore) this.#begin();
    });
  }

  #begin(): void {
    const { log } = this.#deps;
    this.#total = this.#lost.size;
    log.warn("this node may not know how it voted, and has no vote there until it has resynced", {
      partitions: this.#total,
    });
    this.#work.wake();
  }

  /** A row was found that cannot be believed. */
  damaged(name: Name): void {
    if (this.#damaged.has(name) || this.#damaged.size >= DAMAGED_MAX) return;
    this.#damaged.add(name);
    this.#deps.log.warn("a register's row is damaged: it is fetched anew from the other replicas", {
      name: name.replace("\0", "/"),
    });
    this.#work.wake();
  }

  async #run(): Promise<number | undefined> {
    if (!this.#isNeeded) return undefined;
    const { log } = this.#deps;
    try {
      const noted = await this.#rename();
      // What has to wait for somebody who is away keeps nothing else waiting.
      const faults: unknown[] = [];
      const lost = this.#sameSetsTogether([...this.#lost]);
      for (let begun = 0; begun < lost.length && !this.#work.stopped; begun += BATCH) {
        faults.push(...await this.#restoreSome(lost.slice(begun, begun + BATCH), noted));
      }
      for (const name of this.#damaged) {
        if (this.#work.stopped) return undefined;
        await this.#restoreRegister(name, noted).catch((error: unknown) => faults.push(error));
      }
      if (faults.length > 0) throw faults[0];
      if (this.#deps.decree.hasForgotten) await this.#restoreDecree(noted);
      this.#retryMs = RETRY_MS;
      return this.isUnderWay ? 0 : undefined;
    } catch (error) {
      log.warn("resyncing waits", {
        partitionsLeft: this.#lost.size,
        registersLeft: this.#damaged.size,
        reason: messageOf(error),
      });
      this.#retryMs = Math.min(RETRY_MAX_MS, 2 * this.#retryMs);
      return this.#retryMs;
    }
  }

  /** Steps 1 and 2: a new memory, and who has noted it. */
  async #rename(): Promise<Set<string>> {
    const { memories, random, ring } = this.#deps;
    for (let counter = memories.own.counter + 1;;) {
      const memory: Ballot = { counter, node: random.hex(8) };
      await memories.rename(memory);
      const noted = new Set<string>();
      let highest = memory;
      await Promise.all(
        ring.members.filter((id) => id !== ring.self).map(async (id) => {
          const reply = await this.#deps.gate.call(id, { type: "remember", memory }, {
            timeoutMs: CALL_TIMEOUT_MS,
          }).catch(() => undefined); // who is away has not noted it
          if (!reply) return;
          if (sameBallot(reply.known, memory)) noted.add(id);
          else if (compareBallots(reply.known, highest) > 0) highest = reply.known;
        }),
      );
      // Another disk of this node's had a higher name once: above that, then.
      if (sameBallot(highest, memory)) return noted;
      counter = highest.counter + 1;
    }
  }

  /** The other replicas that noted the new memory; fails with fewer than a majority of all in any set this node is in. */
  #sources(partition: number, noted: ReadonlySet<string>): Sources {
    const { ring } = this.#deps;
    const sets = ring.quorumOfPartition(partition).sets.filter((set) => set.includes(ring.self));
    return { ids: [...new Set(sets.flatMap((set) => this.#othersOf(set, noted)))].sort(), sets };
  }

  /** So that few questions ask for many of them. */
  #sameSetsTogether(partitions: readonly number[]): number[] {
    const { ring } = this.#deps;
    const groups = Map.groupBy(
      partitions,
      (partition) => ring.quorumOfPartition(partition).sets.map((set) => [...set].sort().join()).join(" "),
    );
    return [...groups.values()].flat();
  }

  #othersOf(set: readonly string[], noted: ReadonlySet<string>): string[] {
    const others = set.filter((id) => id !== this.#deps.ring.self && noted.has(id));
    const wanted = majorityOf(set.length);
    if (others.length >= wanted) return others;
    throw new AtollError(
      "no-quorum",
      `wanted ${wanted} others of ${set.length} to resync from, got ${others.length}`,
    );
  }

  /** As a voter on layouts; one that is none has nothing to learn. */
  async #restoreDecree(noted: ReadonlySet<string>): Promise<void> {
    const { ring, gate, decree } = this.#deps;
    const { number, voters } = ring.layout!;
    let state: DecreeState = { number: number + 1, promised: NO_BALLOT, accepted: NO_BALLOT, layout: null };
    if (voters.includes(ring.self)) {
      const sources: Sources = { ids: this.#othersOf(voters, noted), sets: [voters] };
      const replies = await toldByEnough(
        sources,
        (id) => gate.call(id, { type: "decree-state" }, { timeoutMs: CALL_TIMEOUT_MS, layout: number }),
      );
      for (const { state: other } of replies) {
        // One that is ahead was fetched from at once: the next try is by its layout.
        if (other.number !== state.number) throw new AtollError("wrong-layout", "the layout has changed");
        if (compareBallots(other.promised, state.promised) > 0) {
          state = { ...state, promised: other.promised };
        }
        if (compareBallots(other.accepted, state.accepted) > 0) {
          state = { ...state, accepted: other.accepted, layout: other.layout };
        }
      }
    }
    await decree.restore(state);
  }

  /** Resolves with why some of them stay lost for now. */
  async #restoreSome(some: readonly number[], noted: ReadonlySet<string>): Promise<unknown[]> {
    const { catalog, log } = this.#deps;
    const turn = this.#turn;
    const restored = new Set<number>();
    const faults: unknown[] = [];
    const restore = async ({ partitions, sources }: Question): Promise<void> => {
      if (this.#work.stopped) return;
      try {
        const registers = await this.#restorePartitions(partitions, sources);
        this.#size.answered(registers, partitions.length);
        for (const partition of partitions) restored.add(partition);
      } catch (error) {
        const isPart = partitions.length > 1 && error instanceof AtollError && isRefusal(error.cause);
        if (!isPart) return void faults.push(error);
        // Some source has lost one of them itself: the others are had without it.
        const half = partitions.length >> 1;
        for (const part of [partitions.slice(0, half), partitions.slice(half)]) {
          await restore({ partitions: part, sources });
        }
      }
    };
    await forEach(this.#together(some, noted, faults), QUESTIONS_AT_ONCE, restore);
    if (this.#work.stopped || restored.size === 0) return faults;
    await this.#queue.run("", async () => {
      // Another layout has come: it was learned from those who were asked by the one before.
      if (this.#turn !== turn) return;
      const left = [...this.#lost].filter((partition) => !restored.has(partition));
      await catalog.commit({ documents: [this.document(left)] });
      this.#lost = new Set(left);
      log.info("resyncing", { partitionsLeft: left.length, partitions: this.#total });
    });
    return faults;
  }

  /** Partitions with the same sources, as many together as may be by now; those that have too few become faults. */
  *#together(
    some: readonly number[],
    noted: ReadonlySet<string>,
    faults: unknown[],
  ): Generator<Question> {
    const groups = new Map<string, Question>();
    for (const partition of some) {
      try {
        const sources = this.#sources(partition, noted);
        const of = sources.sets.map((set) => [...set].sort().join()).join(" ");
        const group = groups.get(of);
        if (group) group.partitions.push(partition);
        else groups.set(of, { partitions: [partition], sources });
      } catch (error) {
        faults.push(error);
      }
    }
    for (const { partitions, sources } of groups.values()) {
      for (const slice of this.#size.slices(partitions)) yield { partitions: slice, sources };
    }
  }

  /** All of the same sources. Resolves with how many registers they hold. */
  async #restorePartitions(partitions: readonly number[], sources: Sources): Promise<number> {
    const { replica, catalog } = this.#deps;
    const { states, floors } = await this.#others.statesOf(sources, partitions);
    await forEach(Map.groupBy(states, ([name]) => slotOf(name)), SLOTS_AT_ONCE, async ([slot, group]) => {
      const rows = group.map(([name, state]): RegisterRow => ({ name, state }));
      await replica().restore(slot, rows, floors.get(slot) ?? NO_FLOOR);
    });
    // What none of the others knows was never committed, or was collected while this node was not asked.
    const known = new Set(states.keys());
    for (const partition of partitions) {
      for await (const name of partitionNames(catalog, partition)) {
        if (!known.has(name)) await replica().discard(name);
      }
    }
    for (const [slot, floor] of floors) await replica().restore(slot, [], floor);
    return known.size;
  }

  async #restoreRegister(name: Name, noted: ReadonlySet<string>): Promise<void> {
    const slot = slotOf(name);
    const partition = partitionOf(name);
    const sources = this.#sources(partition, noted);
    const { states, floors } = await this.#others.statesOf(sources, [partition], name);
    const floor = floors.get(slot) ?? NO_FLOOR;
    // Nobody else may have heard of it: then it is as if this node never had.
    const state = states.get(name) ?? { ...EMPTY_ACCEPTOR, promised: floor.promised };
    await this.#deps.replica().restoreOne(name, state, floor);
    this.#damaged.delete(name);
    this.#deps.log.info("a damaged register was mended", { name: name.replace("\0", "/") });
  }
}

function forgotten(): AtollError {
  return new AtollError(
    "peer-refused",
    "this replica has lost its disk, and has no vote until it has learned anew what it held",
  );
}
