/**
 * Takes chunks away that no register of this node names and that it holds for nobody.
 *
 * A chunk that an upload has just brought is not named yet, and one that was just replaced is still being read: so a chunk
 * goes only when it was neither named nor stored for `graceMs` and what a write's last messages may take, and the first so
 * long after a start none goes at all. No clock but the monotonic one is asked. Only registers that lie here say what is
 * wanted here, and if one of them cannot be read nothing is taken away.
 *
 * A write may have reached one replica that lacks its chunks, which was then cut off: when that is back, its value may
 * still be carried on. So the other nodes are asked whether they are looking for a chunk before it goes, all of them, and
 * while one is away nothing goes.
 */
import type { ChunkId, Manifest } from "../../core/manifest.ts";
import type { Name } from "../../core/names.ts";
import type { RegisterValue } from "../../core/register.ts";
import { AtollError, messageOf } from "../../errors.ts";
import type { Catalog, Clock, Log, Random, RegisterRow, StoredChunk } from "../../ports.ts";
import { IdFilter } from "../../core/id-filter.ts";
import { Background } from "../background.ts";
import { bringChunks, lackedBy } from "../bringing.ts";
import type { ChunkStore } from "../chunk-store.ts";
import type { Content } from "../content.ts";
import type { Counter, Metrics } from "../metrics.ts";
import type { PeerGate } from "../peer-gate.ts";
import { WRITE_DEADLINE_MS } from "../registers.ts";
import type { Ring } from "../ring.ts";
import { Lately } from "./lately.ts";
import { nextRegisters } from "./register-rows.ts";

const SCAN = 256;
/** Deletions under way. */
const BATCH = 64;
const ASK_TIMEOUT_MS = 5_000;
/** Chunks that are brought to others in one run. */
const BROUGHT_MAX = 64;
/** Named in the log in one run. After so many nothing is read any more but the registers: each may take as long as a peer is silent. */
const UNREADABLE_MAX = 16;

export interface GarbageDeps {
  ring: Ring;
  gate: PeerGate;
  catalog: Catalog;
  chunks: ChunkStore;
  content: Content;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
  onDamaged: (name: string) => void;
  /** Every register of this node, once a run: whoever else has to look at them all. */
  visit: (row: RegisterRow) => void;
  graceMs: number;
  intervalMs: number;
  firstMs: number;
  lateMessageMs: number;
}

export class Garbage {
  readonly #deps: GarbageDeps;
  readonly #work: Background;
  readonly #lately: Lately;
  /** Chunks of values that are being accepted right now, by how many. */
  readonly #held = new Map<ChunkId, number>();
  readonly #collected: Counter;
  #toBring = BROUGHT_MAX;
  readonly #bytes = { live: 0, owed: 0, dead: 0 };
  /** Chunks here, as they were counted last. */
  #storedCount: number | undefined;

  constructor(deps: GarbageDeps) {
    this.#deps = deps;
    this.#work = new Background(deps.clock, () => this.#run());
    // After an upload its change may still be accepted somewhere for a write's deadline, and what a last message may take.
    const memoryMs = deps.graceMs + WRITE_DEADLINE_MS + deps.lateMessageMs;
    this.#lately = new Lately(deps.clock, deps.random, memoryMs);
    deps.chunks.onStored = (id) => this.#lately.add(id);
    for (const state of ["live", "owed", "dead"] as const) {
      deps.metrics.gauge(
        "atoll_stored_bytes",
        "Bytes of content here as the last garbage collection found them: of an object here, only held for others, or neither",
        () => this.#bytes[state],
        { state },
      );
    }
    this.#collected = deps.metrics.counter(
      "atoll_garbage_collected_bytes_total",
      "Bytes of chunks taken away",
    );
  }

  start(): void {
    this.#work.wake(Math.min(this.#deps.intervalMs, this.#deps.firstMs));
  }

  stop(): void {
    this.#work.stop();
  }

  /** Of objects whose registers are here, as of the last run; undefined before the first. */
  get storedBytes(): number | undefined {
    return this.#storedCount === undefined ? undefined : this.#bytes.live;
  }

  /** Its chunks stay while it is being accepted; afterwards its register names them. */
  hold(value: RegisterValue): () => void {
    if (value.content.kind !== "object") return () => {};
    const { chunks } = value.content.manifest;
    for (const id of chunks) this.#held.set(id, (this.#held.get(id) ?? 0) + 1);
    return () => {
      for (const id of chunks) {
        this.#lately.add(id);
        const count = this.#held.get(id)! - 1;
        if (count > 0) this.#held.set(id, count);
        else this.#held.delete(id);
      }
    };
  }

  async #run(): Promise<number> {
    const { log } = this.#deps;
    try {
      this.#storedCount ??= await this.#count();
      const { live, inlineBytes, unreadable } = await this.#mark(this.#storedCount);
      if (this.#work.stopped) return this.#deps.intervalMs;
      if (unreadable > 0) {
        throw new AtollError(
          "damaged",
          `wanted to know the chunks of every object here, got those of all but ${unreadable}` +
            (unreadable < UNREADABLE_MAX ? "" : " or more"),
        );
      }
      this.#lately.age(this.#storedCount);
      await this.#sweep(live, inlineBytes);
    } catch (error) {
      log.warn("garbage was not collected", { reason: messageOf(error) });
    }
    return this.#deps.intervalMs;
  }

  /** Before the first run: filters made for too few take everything for live. */
  async #count(): Promise<number> {
    let count = 0;
    for await (const _chunk of this.#deps.chunks.all()) count++;
    return count;
  }

  /**
   * All chunks that registers name now, and how much content lies in the registers themselves. `unreadable`: objects of
   * which that is not known, at least.
   */
  async #mark(
    storedCount: number,
  ): Promise<{ live: IdFilter; inlineBytes: number; unreadable: number }> {
    const { catalog, random, visit, log } = this.#deps;
    const live = new IdFilter(storedCount, random.fraction() * 2 ** 32);
    let inlineBytes = 0;
    let unreadable = 0;
    const note = (name: Name, reason: string): void => {
      if (++unreadable > UNREADABLE_MAX) return;
      log.warn("the chunks of an object are not known, and no garbage is collected until they are", {
        name: name.replace("\0", "/"),
        reason,
      });
    };
    let damaged = "";
    const onDamaged = (name: Name): void => {
      if (name === damaged) return;
      damaged = name;
      this.#deps.onDamaged(name);
      note(name, "its register is damaged");
    };
    for (let after = "", ended = false; !ended && !this.#work.stopped;) {
      const rows = await nextRegisters({ catalog, onDamaged }, after, SCAN);
      ended = rows.length === 0;
      after = rows.at(-1)?.name ?? after;
      for (const row of rows) {
        visit(row);
        const { value } = row.state;
        if (value?.content.kind !== "object" || unreadable >= UNREADABLE_MAX) continue;
        const { manifest } = value.content;
        if (manifest.layout === "inline") inlineBytes += manifest.size;
        try {
          await this.#markChunks(row.name, manifest, live);
        } catch (error) {
          note(row.name, messageOf(error));
        }
      }
    }
    return { live, inlineBytes, unreadable };
  }

  /** Rejects when an index chunk cannot be had. */
  async #markChunks(name: Name, manifest: Manifest, live: IdFilter): Promise<void> {
    for await (const { id } of this.#deps.content.chunksOf(name, manifest)) {
      live.add(id);
      this.#lately.add(id);
    }
  }

  /** All are counted; where a peer that must be asked is away, nothing is taken away from there on. */
  async #sweep(live: IdFilter, inlineBytes: number): Promise<void> {
    const { chunks, log } = this.#deps;
    this.#toBring = BROUGHT_MAX;
    const bytes = { live: inlineBytes, owed: 0, dead: 0 };
    let count = 0;
    let collected = 0;
    const faults: unknown[] = [];
    let batch: StoredChunk[] = [];
    const look = async (): Promise<void> => {
      const unowed = await this.#unowed(batch);
      bytes.owed += bytesOf(batch) - bytesOf(unowed);
      bytes.dead += bytesOf(unowed);
      batch = [];
      const old = unowed.filter(({ id }) => !this.#isWanted(id));
      if (old.length === 0 || faults.length > 0) return;
      try {
        collected += await this.#collect(old);
      } catch (error) {
        faults.push(error);
      }
    };
    for await (const chunk of chunks.all()) {
      if (this.#work.stopped) return;
      count++;
      if (live.has(chunk.id)) bytes.live += chunk.sizeBytes;
      else if (batch.push(chunk) === BATCH) await look();
    }
    await look();
    bytes.dead -= collected;
    Object.assign(this.#bytes, bytes);
    this.#storedCount = count;
    if (collected > 0) log.info("garbage collected", { bytes: collected, liveBytes: bytes.live });
    if (faults.length > 0) throw faults[0];
  }

  /** Those of them that are not held for anybody. */
  async #unowed(stored: readonly StoredChunk[]): Promise<StoredChunk[]> {
    if (stored.length === 0) return [];
    const owed = await this.#deps.catalog.areOwed(stored.map(({ id }) => id));
    return stored.filter((_, i) => owed[i] === false);
  }

  #isWanted(id: ChunkId): boolean {
    return !this.#lately.knowsAll || this.#held.has(id) || this.#lately.has(id);
  }

  /** Rejects when somebody does not answer. */
  async #wantedElsewhere(ids: readonly ChunkId[]): Promise<Set<ChunkId>> {
    const { ring, gate } = this.#deps;
    const wanted = new Set<ChunkId>();
    await Promise.all(
      ring.members.filter((node) => node !== ring.self).map(async (node) => {
        const reply = await gate.call(node, { type: "chunks-wanted", ids }, { timeoutMs: ASK_TIMEOUT_MS });
        // One that answers less than it was asked for has not said no.
        const theirs = ids.filter((_, i) => reply.wanted[i] !== false);
        for (const id of theirs) wanted.add(id);
        await this.#bring(node, theirs);
      }),
    );
    return wanted;
  }

  /** Who lacks a chunk asks the object's replicas for it, and this node may be none, or have left the ring. */
  async #bring(node: string, wanted: readonly ChunkId[]): Promise<void> {
    if (wanted.length === 0 || this.#toBring <= 0) return;
    try {
      const ids = (await lackedBy(this.#deps.gate, node, wanted)).slice(0, this.#toBring);
      this.#toBring -= ids.length;
      await bringChunks(this.#deps, node, ids);
    } catch (error) {
      this.#deps.log.info("what another node lacks stays for now", { node, reason: messageOf(error) });
    }
  }

  /** Of what nobody names and nobody is owed. Resolves with how many bytes went; rejects when somebody does not answer. */
  async #collect(dead: readonly StoredChunk[]): Promise<number> {
    const { chunks } = this.#deps;
    const wanted = await this.#wantedElsewhere(dead.map(({ id }) => id));
    let bytes = 0;
    await Promise.all(dead.map(async (chunk) => {
      if (wanted.has(chunk.id)) return;
      // One that was put on the list of what is owed meanwhile was stored again before that: it is wanted.
      if (await chunks.collect(chunk, () => this.#isWanted(chunk.id))) bytes += chunk.sizeBytes;
    }));
    this.#collected.add(bytes);
    return bytes;
  }
}

function bytesOf(chunks: readonly StoredChunk[]): number {
  return chunks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
