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
import type { ChunkId } from "../../core/manifest.ts";
import type { RegisterValue } from "../../core/register.ts";
import { DamagedRegister, messageOf } from "../../errors.ts";
import type { Catalog, Clock, Log, Random, RegisterRow, StoredChunk } from "../../ports.ts";
import { IdFilter } from "../../core/id-filter.ts";
import { Background } from "../background.ts";
import type { ChunkStore } from "../chunk-store.ts";
import type { Content } from "../content.ts";
import type { Counter, Metrics } from "../metrics.ts";
import type { PeerGate } from "../peer-gate.ts";
import { WRITE_DEADLINE_MS } from "../registers.ts";
import type { Ring } from "../ring.ts";
import { Lately } from "./lately.ts";

const SCAN = 256;
/** Deletions under way. */
const BATCH = 64;
const ASK_TIMEOUT_MS = 5_000;
/** How long after its upload a change may still be accepted somewhere: a write's deadline, and a late last message. */
const LATE_MS = WRITE_DEADLINE_MS + 30_000;

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
}

export class Garbage {
  readonly #deps: GarbageDeps;
  readonly #work: Background;
  readonly #lately: Lately;
  /** Chunks of values that are being accepted right now, by how many. */
  readonly #held = new Map<ChunkId, number>();
  readonly #collected: Counter;
  readonly #bytes = { live: 0, dead: 0 };
  #storedCount: number | undefined;

  constructor(deps: GarbageDeps) {
    this.#deps = deps;
    this.#work = new Background(deps.clock, () => this.#run());
    // What was named at the last run before it was replaced must be remembered for the whole grace after that.
    this.#lately = new Lately(deps.clock, deps.random, deps.graceMs + deps.intervalMs + LATE_MS);
    deps.chunks.onStored = (id) => this.#lately.add(id);
    const bytes = (state: "live" | "dead") =>
      deps.metrics.gauge(
        "atoll_stored_bytes",
        "Bytes of chunks here as the last garbage collection found them: named by an object, or by none",
        () => this.#bytes[state],
        { state },
      );
    bytes("live");
    bytes("dead");
    this.#collected = deps.metrics.counter(
      "atoll_garbage_collected_bytes_total",
      "Bytes of chunks taken away",
    );
  }

  start(): void {
    this.#work.wake(this.#deps.intervalMs);
  }

  stop(): void {
    this.#work.stop();
  }

  /** Of chunks that registers here name, as of the last run; undefined before the first. */
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
    const { log, onDamaged } = this.#deps;
    try {
      this.#lately.age(this.#storedCount ?? 0);
      const live = await this.#mark();
      if (!this.#work.stopped) await this.#sweep(live);
    } catch (error) {
      if (error instanceof DamagedRegister) onDamaged(error.register);
      log.warn("garbage was not collected", { reason: messageOf(error) });
    }
    return this.#deps.intervalMs;
  }

  /** All chunks that registers name now. */
  async #mark(): Promise<IdFilter> {
    const { catalog, content, random, visit } = this.#deps;
    const live = new IdFilter(this.#storedCount ?? 0, random.fraction() * 2 ** 32);
    for (let after = "", ended = false; !ended && !this.#work.stopped;) {
      const rows = await catalog.scan({ prefix: "", after, limit: SCAN });
      ended = rows.length < SCAN;
      after = rows.at(-1)?.name ?? after;
      for (const row of rows) {
        visit(row);
        const { value } = row.state;
        if (value?.content.kind !== "object") continue;
        for await (const { id } of content.chunksOf(row.name, value.content.manifest)) {
          live.add(id);
          this.#lately.add(id);
        }
      }
    }
    return live;
  }

  async #sweep(live: IdFilter): Promise<void> {
    const { chunks, log } = this.#deps;
    const bytes = { live: 0, dead: 0 };
    let count = 0;
    let dead: StoredChunk[] = [];
    let collected = 0;
    for await (const chunk of chunks.all()) {
      if (this.#work.stopped) return;
      count++;
      bytes[live.has(chunk.id) ? "live" : "dead"] += chunk.sizeBytes;
      if (!this.#isWanted(chunk.id)) dead.push(chunk);
      if (dead.length < BATCH) continue;
      collected += await this.#collect(dead);
      dead = [];
    }
    collected += await this.#collect(dead);
    bytes.dead -= collected;
    Object.assign(this.#bytes, bytes);
    this.#storedCount = count;
    if (collected > 0) log.info("garbage collected", { bytes: collected, liveBytes: bytes.live });
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
        for (const [i, id] of ids.entries()) if (reply.wanted[i] !== false) wanted.add(id);
      }),
    );
    return wanted;
  }

  /** Resolves with how many bytes went. */
  async #collect(dead: readonly StoredChunk[]): Promise<number> {
    const { catalog, chunks } = this.#deps;
    if (dead.length === 0) return 0;
    const ids = dead.map(({ id }) => id);
    const [owed, wanted] = [await catalog.areOwed(ids), await this.#wantedElsewhere(ids)];
    let bytes = 0;
    await Promise.all(dead.map(async (chunk, i) => {
      if (owed[i] === true || wanted.has(chunk.id)) return;
      if (await chunks.collect(chunk, () => this.#isWanted(chunk.id))) bytes += chunk.sizeBytes;
    }));
    this.#collected.add(bytes);
    return bytes;
  }
}
