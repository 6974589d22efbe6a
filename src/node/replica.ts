/**
 * This node as one of an object's replicas: the acceptors of its registers, durable before every reply.
 */
import { LRUCache } from "lru-cache";
import { type Ballot, sameBallot } from "../core/ballot.ts";
import type { ChunkId } from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import {
  accept,
  type AcceptorState,
  type AcceptReply,
  EMPTY_ACCEPTOR,
  prepare,
  type PrepareReply,
  type RegisterValue,
} from "../core/register.ts";
import { AtollError } from "../errors.ts";
import type { Catalog, Hashing } from "../ports.ts";
import { type ChunkStore, SMALL_CHUNK_BYTES } from "./chunk-store.ts";
import { KeyedQueue } from "./keyed-queue.ts";

const STATE_CACHE_BYTES = 16 << 20;

export class Replica {
  readonly #catalog: Catalog;
  readonly #chunks: ChunkStore;
  readonly #hashing: Hashing;
  readonly #onAccepted: (name: Name, value: RegisterValue, complete: boolean) => void;
  readonly #queue = new KeyedQueue();
  /** Durable states only: an entry is written after its commit. Absence is remembered too. */
  readonly #states = new LRUCache<Name, AcceptorState>({
    maxSize: STATE_CACHE_BYTES,
    sizeCalculation: (state, name) => 2 * name.length + stateBytes(state),
  });

  constructor(deps: {
    catalog: Catalog;
    chunks: ChunkStore;
    hashing: Hashing;
    /** Told after the value is durable here. It may not be committed yet. */
    onAccepted: (name: Name, value: RegisterValue, complete: boolean) => void;
  }) {
    this.#catalog = deps.catalog;
    this.#chunks = deps.chunks;
    this.#hashing = deps.hashing;
    this.#onAccepted = deps.onAccepted;
  }

  /** The durable state, if it is in memory. */
  peek(name: Name): AcceptorState | undefined {
    return this.#states.get(name);
  }

  async read(name: Name): Promise<AcceptorState> {
    return this.#states.get(name) ?? await this.#queue.run(name, () => this.#load(name));
  }

  /**
   * Phase 1. A small object's chunk becomes durable in the very commit that holds the promise, whether or not the
   * promise is given, and `stored` says the digest computed here.
   */
  prepare(
    name: Name,
    ballot: Ballot,
    chunk?: { id: ChunkId; bytes: Uint8Array },
  ): Promise<{ reply: PrepareReply; stored?: ChunkId }> {
    if (chunk) this.#check(chunk);
    return this.#queue.run(name, async () => {
      const before = await this.#load(name);
      const { state, reply } = prepare(before, ballot);
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

  /** Phase 2. A manifest whose chunks are not all here is put on the list of those to complete, in the same commit. */
  accept(name: Name, ballot: Ballot, value: RegisterValue): Promise<AcceptReply> {
    return this.#queue.run(name, async () => {
      const before = await this.#load(name);
      const { state, reply } = accept(before, ballot, value);
      if (state !== before) {
        const complete = this.#hasAllChunks(value);
        await this.#catalog.commit({
          registers: [{ name, state }],
          ...(!complete && { incomplete: [{ name, version: value.version }] }),
        });
        this.#states.set(name, state);
        this.#onAccepted(name, value, complete);
      }
      return reply;
    });
  }

  /** A round with oneself as the only acceptor: promise and acceptance in one commit. */
  change(
    name: Name,
    ballotFor: (state: AcceptorState) => Ballot,
    decide: (current: RegisterValue | null) => RegisterValue | undefined,
    chunk?: { id: ChunkId; bytes: Uint8Array },
  ): Promise<AcceptorState> {
    return this.#queue.run(name, async () => {
      const before = await this.#load(name);
      const value = decide(before.value);
      if (!value) return before;
      const ballot = ballotFor(before);
      const state = { promised: ballot, accepted: ballot, value };
      const complete = this.#hasAllChunks(value, chunk?.id);
      await this.#catalog.commit({
        registers: [{ name, state }],
        ...(chunk && { chunks: [chunk] }),
        ...(!complete && { incomplete: [{ name, version: value.version }] }),
      });
      if (chunk) this.#chunks.stored(chunk.id);
      this.#states.set(name, state);
      this.#onAccepted(name, value, complete);
      return state;
    });
  }

  /**
   * The chunks of what was accepted in `ballot` are all here, or cannot be had now: its place on the list of the incomplete
   * is given up, or is the last one again. Where another value came meanwhile, that is the one to look at next. By ballot,
   * since two proposers may each have made a value of the same version.
   */
  looked(name: Name, ballot: Ballot, complete: boolean): Promise<void> {
    return this.#queue.run(name, async () => {
      const { accepted, value } = await this.#load(name);
      const done = value === null || (complete && sameBallot(accepted, ballot));
      await this.#catalog.commit({ incomplete: [{ name, version: done ? null : value.version }] });
    });
  }

  async #load(name: Name): Promise<AcceptorState> {
    const cached = this.#states.get(name);
    if (cached) return cached;
    const state = await this.#catalog.register(name) ?? EMPTY_ACCEPTOR;
    this.#states.set(name, state);
    return state;
  }

  #check(chunk: { id: ChunkId; bytes: Uint8Array }): void {
    if (chunk.bytes.length > SMALL_CHUNK_BYTES) {
      throw new AtollError(
        "invalid-argument",
        `wanted a chunk of at most ${SMALL_CHUNK_BYTES} bytes with a promise, got ${chunk.bytes.length}`,
      );
    }
    const computed = this.#hashing.sha256(chunk.bytes);
    if (computed !== chunk.id) {
      throw new AtollError("digest-mismatch", `wanted a chunk with SHA-256 ${chunk.id}, got ${computed}`);
    }
  }

  /** Index chunks name others, which are not looked at here: such an object is completed, that is checked, later. */
  #hasAllChunks(value: RegisterValue, arriving?: ChunkId): boolean {
    if (value.content.kind !== "object") return true;
    const { layout, chunks } = value.content.manifest;
    return layout === "list" && chunks.every((id) => id === arriving || this.#chunks.isKnown(id));
  }
}

/** Roughly what a state takes in memory. */
function stateBytes(state: AcceptorState): number {
  const value = state.value;
  if (!value) return 200;
  const ancestors = 40 * value.ancestors.length;
  if (value.content.kind !== "object") return 400 + ancestors;
  const { chunks, headers } = value.content.manifest;
  let headerBytes = 0;
  for (const name in headers) headerBytes += 2 * (name.length + headers[name]!.length);
  return 600 + ancestors + 90 * chunks.length + headerBytes;
}
