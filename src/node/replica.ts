/**
 * This node as one of an object's replicas: the acceptors of its registers, durable before every reply.
 */
import { LRUCache } from "lru-cache";
import { type Ballot, compareBallots, sameBallot } from "../core/ballot.ts";
import { CHUNK_SIZES, type ChunkId, type ChunkSizes, inlineContent } from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import { slotOf } from "../core/partitions.ts";
import {
  accept,
  type AcceptorState,
  type AcceptReply,
  EMPTY_ACCEPTOR,
  type Floor,
  higherFloor,
  NO_FLOOR,
  prepare,
  type PrepareReply,
  type RegisterValue,
  valueBytes,
} from "../core/register.ts";
import { AtollError, DamagedRegister } from "../errors.ts";
import type { Catalog, Hashing, RegisterRow } from "../ports.ts";
import type { ChunkStore } from "./chunk-store.ts";
import { KeyedQueue } from "./keyed-queue.ts";
import type { Ring } from "./ring.ts";

const STATE_CACHE_BYTES = 16 << 20;

export interface ReplicaDeps {
  catalog: Catalog;
  chunks: ChunkStore;
  hashing: Hashing;
  ring: Ring;
  chunkSizes?: ChunkSizes | undefined;
  /** Throws where this node has forgotten how it voted: until it was told, it has no vote. */
  mustRemember: (name: Name) => void;
  /** The value is about to be made durable; what is returned is called when it is, or failed to be. */
  onAccepting: (value: RegisterValue) => () => void;
  /** Told after the value is durable here. It may not be committed yet. */
  onAccepted: (name: Name, value: RegisterValue, complete: boolean) => void;
  /** A row that cannot be believed was met. */
  onDamaged: (name: Name) => void;
}

export class Replica {
  readonly #catalog: Catalog;
  readonly #chunks: ChunkStore;
  readonly #hashing: Hashing;
  readonly #deps: ReplicaDeps;
  readonly #queue = new KeyedQueue();
  /** By slot; as many as have ever lost a tombstone, at most one each. */
  readonly #floors = new Map<number, Floor>();
  /** Durable states only: an entry is written after its commit. Absence is remembered too. */
  readonly #states = new LRUCache<Name, AcceptorState>({
    maxSize: STATE_CACHE_BYTES,
    sizeCalculation: (state, name) => 2 * name.length + stateBytes(state),
  });

  constructor(deps: ReplicaDeps) {
    this.#catalog = deps.catalog;
    this.#chunks = deps.chunks;
    this.#hashing = deps.hashing;
    this.#deps = deps;
  }

  /** Before anything is asked of it. */
  async load(): Promise<void> {
    for (const { slot, floor } of await this.#catalog.floors()) this.#floors.set(slot, floor);
  }

  /** The durable state, if it is in memory. */
  peek(name: Name): AcceptorState | undefined {
    return this.#states.get(name);
  }

  /** `layout`: the number of the one by which it is asked. */
  async read(name: Name, layout: number): Promise<AcceptorState> {
    this.#mustVote(name, layout);
    const state = this.#states.get(name) ?? await this.#queue.run(name, () => this.#load(name));
    // Another layout that came meanwhile may have let others change it.
    this.#mustVote(name, layout);
    return state;
  }

  /** For this node's own business, whatever the layout. With what it promised, which a reader need not know. */
  state(name: Name): Promise<AcceptorState> {
    return this.#queue.run(name, () => {
      this.#deps.mustRemember(name);
      return this.#load(name);
    });
  }

  /**
   * Votes by layouts that this node has left behind are durable when this resolves, and none of them comes after: who is
   * told what lies here then is told all of them.
   */
  drained(): Promise<void> {
    return this.#queue.drained();
  }

  /** Of registers that are not here; see `Floor`. */
  floorOf(slot: number): Floor {
    return this.#floors.get(slot) ?? NO_FLOOR;
  }

  /**
   * Phase 1. A small object's chunk becomes durable in the very commit that holds the promise, whether or not the
   * promise is given, and `stored` says the digest computed here.
   */
  prepare(
    name: Name,
    ballot: Ballot,
    layout: number,
    chunk?: { id: ChunkId; bytes: Uint8Array },
  ): Promise<{ reply: PrepareReply; stored?: ChunkId }> {
    if (chunk) this.#check(chunk);
    return this.#queue.run(name, async () => {
      this.#mustVote(name, layout);
      const before = await this.#load(name);
      const { state, reply: bare } = prepare(before, ballot);
      const floor = bare.kind === "promised" && bare.value === null ? this.floorOf(slotOf(name)).version : 0;
      const reply = floor > 0 ? { ...bare, floor } : bare;
      if (chunk) this.#chunks.storing(chunk.id);
      if (state !== before || chunk) {
        await this.#catalog.commit({
          ...(state !== before && { registers: [{ name, state }] }),
          ...(chunk && { chunks: [chunk] }),
        });
        this.#states.set(name, state);
      }
      if (!chunk) return { reply };
      this.#chunks.stored(chunk.id);
      return { reply, stored: chunk.id };
    });
  }

  /** Phase 2. A chunk that comes with it becomes durable in the very commit that accepts, if it changes anything. */
  accept(
    name: Name,
    ballot: Ballot,
    value: RegisterValue,
    layout: number,
    chunk?: { id: ChunkId; bytes: Uint8Array },
  ): Promise<AcceptReply> {
    if (chunk) this.#check(chunk);
    this.#checkContent(value);
    return this.#queue.run(name, async () => {
      this.#mustVote(name, layout);
      const before = await this.#load(name);
      const floor = this.floorOf(slotOf(name)).promised;
      // The accept that made a tombstone, once more after it was collected: see `forget`.
      if (before.value === null && compareBallots(ballot, floor) <= 0) {
        return { kind: "refused", promised: floor };
      }
      const { state, reply } = accept(before, ballot, value);
      if (state !== before) await this.#commitValue(name, state, value, chunk);
      return reply;
    });
  }

  /** A round with oneself as the only acceptor: promise and acceptance in one commit. */
  change(
    name: Name,
    layout: number,
    ballotFor: (state: AcceptorState) => Ballot,
    decide: (current: RegisterValue | null, floor: number) => RegisterValue | undefined,
    chunk?: { id: ChunkId; bytes: Uint8Array },
  ): Promise<AcceptorState> {
    return this.#queue.run(name, async () => {
      this.#mustVote(name, layout);
      const before = await this.#load(name);
      const value = decide(before.value, this.floorOf(slotOf(name)).version);
      if (!value) return before;
      const ballot = ballotFor(before);
      const state = { promised: ballot, accepted: ballot, value };
      await this.#commitValue(name, state, value, chunk);
      return state;
    });
  }

  /**
   * Takes away a register whose tombstone every replica holds in `ballot`, with nothing promised beyond; false where that
   * is not so here. What it leaves is the slot's floor.
   *
   * Why no old message can bring the key back: a message of this register carries a ballot, and one that could change
   * anything is a prepare or an accept. One of a ballot up to `ballot` is refused ever after, since the floor promises
   * `ballot`, and where there is no value not even an accept of that very ballot is taken. One of a higher ballot
   * that was sent before the collection began would have been promised by a majority first, if it is an accept, and one of
   * those is among the replicas asked to forget: it refuses, having promised more than it accepted; so at most a minority
   * has forgotten, the round that is under way saw the tombstone, and its version is one above it. An accept in a later
   * step of a ballot (`stepAfter`) was promised with the ballot; a majority accepted the step before it, which was not the
   * tombstone, as no step is made after one: so that step was above `ballot`, and again one of those who are asked refuses.
   * If it is a prepare, it is a new round like any other: those who forgot answer with the floor's version, the others
   * with the tombstone, and the version it makes is above both.
   */
  forget(name: Name, ballot: Ballot, layout: number): Promise<boolean> {
    return this.#queue.run(name, async () => {
      this.#mustVote(name, layout);
      const { promised, accepted, value } = await this.#load(name);
      if (value === null) return compareBallots(promised, ballot) >= 0;
      if (value.content.kind !== "tombstone") return false;
      if (!sameBallot(promised, ballot) || !sameBallot(accepted, ballot)) return false;
      const slot = slotOf(name);
      const floor = { version: value.version, promised };
      await this.#catalog.commit({ forgotten: [name], floors: [{ slot, floor }] });
      this.#raise(slot, floor);
      this.#states.delete(name);
      return true;
    });
  }

  /** What registers of a slot that are not here are taken for, as another replica has it. */
  async raiseFloor(slot: number, floor: Floor): Promise<void> {
    await this.#catalog.commit({ floors: [{ slot, floor }] });
    this.#raise(slot, floor);
  }

  /**
   * Gives up the register of a name that this node is no replica of any more; false where it is one again. Its votes counted
   * by layouts that are past.
   */
  drop(name: Name): Promise<boolean> {
    return this.#queue.run(name, async () => {
      if (this.#deps.ring.isReplica(name)) return false;
      await this.#forget(name);
      return true;
    });
  }

  /** Gives up a register that this node has no vote on: see node/layout/layouts.ts, node/repair/recovery.ts. */
  discard(name: Name): Promise<void> {
    return this.#queue.run(name, () => this.#forget(name));
  }

  async #forget(name: Name): Promise<void> {
    await this.#catalog.commit({ forgotten: [name], incomplete: [{ name, version: null }] });
    this.#states.delete(name);
  }

  /**
   * Puts back what this node's acceptors lost with their disk, as a majority of the others knows it. The caller sees to it
   * that nobody votes on these names meanwhile.
   */
  async restore(slot: number, rows: readonly RegisterRow[], floor: Floor): Promise<void> {
    for (const { state } of rows) this.#checkContent(state.value);
    const owing = rows.filter(({ state }) => state.value?.content.kind === "object");
    await this.#catalog.commit({
      registers: rows,
      incomplete: owing.map(({ name, state }) => ({ name, version: state.value!.version })),
      ...(floor.version > 0 && { floors: [{ slot, floor }] }),
    });
    this.#raise(slot, floor);
    for (const { name, state } of rows) {
      this.#states.delete(name);
      if (state.value) this.#deps.onAccepted(name, state.value, state.value.content.kind !== "object");
    }
  }

  /** `restore` of one register while the others of this node go on voting. */
  restoreOne(name: Name, state: AcceptorState, floor: Floor): Promise<void> {
    return this.#queue.run(name, () => this.restore(slotOf(name), [{ name, state }], floor));
  }

  /**
   * The chunks of what was accepted in `ballot` are all here, or cannot be had now: its place on the list of the incomplete
   * is given up, or is the last one again. Where another value came meanwhile, that is the one to look at next. By ballot,
   * since two proposers may each have made a value of the same version. Resolves with whether it is off the list.
   */
  looked(name: Name, ballot: Ballot, complete: boolean): Promise<boolean> {
    return this.#queue.run(name, async () => {
      const { accepted, value } = await this.#load(name);
      const done = value === null || (complete && sameBallot(accepted, ballot));
      await this.#catalog.commit({ incomplete: [{ name, version: done ? null : value.version }] });
      return done;
    });
  }

  /** Throws `peer-refused` or `wrong-layout`: also what was decided before a wait must not be done after it unasked. */
  #mustVote(name: Name, layout: number): void {
    this.#deps.mustRemember(name);
    this.#deps.ring.mustGoBy(layout);
  }

  async #load(name: Name): Promise<AcceptorState> {
    const cached = this.#states.get(name);
    if (cached) return cached;
    const state = await this.#row(name) ?? this.#absent(name);
    this.#states.set(name, state);
    return state;
  }

  async #row(name: Name): Promise<AcceptorState | undefined> {
    try {
      return await this.#catalog.register(name);
    } catch (error) {
      if (error instanceof DamagedRegister) this.#deps.onDamaged(name);
      throw error;
    }
  }

  #absent(name: Name): AcceptorState {
    const { promised } = this.floorOf(slotOf(name));
    return { ...EMPTY_ACCEPTOR, promised };
  }

  #raise(slot: number, floor: Floor): void {
    if (floor.version > 0) this.#floors.set(slot, higherFloor(this.floorOf(slot), floor));
  }

  /** A manifest whose chunks are not all here is put on the list of those to complete, in the same commit. */
  async #commitValue(
    name: Name,
    state: AcceptorState,
    value: RegisterValue,
    chunk?: { id: ChunkId; bytes: Uint8Array },
  ): Promise<void> {
    const done = this.#deps.onAccepting(value);
    if (chunk) this.#chunks.storing(chunk.id);
    try {
      const complete = this.#hasAllChunks(value, chunk?.id);
      await this.#catalog.commit({
        registers: [{ name, state }],
        ...(chunk && { chunks: [chunk] }),
        ...(!complete && { incomplete: [{ name, version: value.version }] }),
      });
      if (chunk) this.#chunks.stored(chunk.id);
      this.#states.set(name, state);
      this.#deps.onAccepted(name, value, complete);
    } finally {
      done();
    }
  }

  #check(chunk: { id: ChunkId; bytes: Uint8Array }): void {
    const { smallBytes } = this.#deps.chunkSizes ?? CHUNK_SIZES;
    if (chunk.bytes.length > smallBytes) {
      throw new AtollError(
        "invalid-argument",
        `wanted a chunk of at most ${smallBytes} bytes with a vote, got ${chunk.bytes.length}`,
      );
    }
    const computed = this.#hashing.sha256(chunk.bytes);
    if (computed !== chunk.id) {
      throw new AtollError("digest-mismatch", `wanted a chunk with SHA-256 ${chunk.id}, got ${computed}`);
    }
  }

  /** What arrives within a value is hashed here, as what arrives as a chunk is. */
  #checkContent(value: RegisterValue | null): void {
    if (value?.content.kind !== "object" || value.content.manifest.layout !== "inline") return;
    const { manifest } = value.content;
    if (inlineContent(manifest, (bytes) => this.#hashing.sha256(bytes))) return;
    throw new AtollError(
      "digest-mismatch",
      `wanted content with SHA-256 ${manifest.sha256}, got something else`,
    );
  }

  /** Index chunks name others, which are not looked at here: such an object is completed, that is checked, later. */
  #hasAllChunks(value: RegisterValue, arriving?: ChunkId): boolean {
    if (value.content.kind !== "object") return true;
    const { layout, chunks } = value.content.manifest;
    return layout !== "index" && chunks.every((id) => id === arriving || this.#chunks.isKnown(id));
  }
}

/** Roughly what a state takes in memory. */
function stateBytes({ value }: AcceptorState): number {
  return value ? valueBytes(value) : 200;
}
