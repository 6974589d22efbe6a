/**
 * Objects whose manifest this replica accepted before it had all their chunks: fetched from the other replicas, in the
 * background. The list is durable, written with the acceptance itself, so a crash forgets none. The newest objects come
 * first, as they are the likeliest to be asked for; the longest on the list have their turn in between.
 */
import { NO_BALLOT } from "../core/ballot.ts";
import type { ChunkId } from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import { isAtollError, messageOf } from "../errors.ts";
import type { Catalog, Clock, Log } from "../ports.ts";
import { Background, forEach } from "./background.ts";
import type { ChunkReader } from "./chunk-reader.ts";
import type { ChunkStore } from "./chunk-store.ts";
import type { Content } from "./content.ts";
import type { Courtesy } from "./courtesy.ts";
import type { Counter, Metrics } from "./metrics.ts";
import { Pace } from "./pace.ts";
import type { Replica } from "./replica.ts";

/** The coordinator is usually still sending what is missing: it gets this long. */
const FIRST_DELAY_MS = 1_000;
const RETRY_DELAY_MS = 2_000;
const RETRY_DELAY_MAX_MS = 60_000;
/** After the first chunk of an object that could not be had its others are tried, for so long, unless who has them is silent. */
const OTHERS_MS = 5_000;
const BATCH = 64;
const AT_ONCE = 8;
/** Incomplete objects looked at to say what is wanted, and which are the newest; with more, everything is wanted. */
const LOOKED_AT_MAX = 1_024;
/** Each of so many in a row is the one that is longest on the list. */
const TURN_OF_OLDEST = 4;

export interface CompletionDeps {
  catalog: Catalog;
  replica: Replica;
  chunks: ChunkStore;
  reader: ChunkReader;
  content: Content;
  courtesy: Courtesy;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** At most, of chunks that others must send. */
  bytesPerSecond: number;
}

export class Completion {
  readonly #deps: CompletionDeps;
  readonly #completed: Counter;
  readonly #work: Background;
  #owed = 0;
  /** Bytes that the objects which were looked at last still lack, about. */
  #lacking = new Map<Name, number>();
  readonly #pace: Pace;
  #fetchedBytes = 0;
  #delayMs = RETRY_DELAY_MS;

  constructor(deps: CompletionDeps) {
    this.#deps = deps;
    this.#work = new Background(deps.clock, () => this.#run());
    this.#pace = new Pace(deps.clock, deps.bytesPerSecond);
    this.#completed = deps.metrics.counter(
      "atoll_objects_completed_total",
      "Objects whose missing chunks were fetched",
    );
    deps.metrics.gauge(
      "atoll_objects_incomplete",
      "Objects that may lack chunks here, at least",
      () => this.#owed,
    );
  }

  /** Of chunks that were fetched for this node, since its start. */
  get fetchedBytes(): number {
    return this.#fetchedBytes;
  }

  /** Of chunks of those objects that are still to come here, of the first on the list; about, as some may be here. */
  lackingBytes(counts: (name: Name) => boolean): number {
    let bytes = 0;
    for (const [name, lacking] of this.#lacking) if (counts(name)) bytes += lacking;
    return bytes;
  }

  start(): void {
    this.#work.wake();
  }

  stop(): void {
    this.#work.stop();
  }

  /** An accepted manifest was put on the list. */
  wake(): void {
    this.#owed++;
    this.#work.wake(FIRST_DELAY_MS);
  }

  /** A chunk of an object turned out to be missing: it is fetched anew, however long that takes. */
  async lacks(name: Name): Promise<void> {
    const { accepted } = await this.#deps.replica.state(name);
    if (!await this.#deps.replica.looked(name, accepted, false)) this.wake();
  }

  /** Which of these an object that is incomplete here may need. */
  async wants(ids: readonly ChunkId[]): Promise<boolean[]> {
    const { catalog, replica } = this.#deps;
    const rows = await catalog.incomplete(LOOKED_AT_MAX);
    let perhapsAll = rows.length === LOOKED_AT_MAX;
    const wanted = new Set<ChunkId>();
    for (const { name } of rows) {
      const { value } = await replica.state(name);
      if (value?.content.kind !== "object") continue;
      // What index chunks name is not known while they are missing.
      if (value.content.manifest.layout === "index") perhapsAll = true;
      for (const id of value.content.manifest.chunks) wanted.add(id);
    }
    return ids.map((id) => perhapsAll || wanted.has(id));
  }

  async #run(): Promise<number | undefined> {
    let failed = 0;
    let found = 0;
    try {
      const rows = await this.#deps.catalog.incomplete(LOOKED_AT_MAX);
      found = rows.length;
      this.#owed = found;
      const names = (await this.#newestFirst(rows.map(({ name }) => name))).slice(0, BATCH);
      await forEach(names, AT_ONCE, async (name) => {
        if (!this.#work.stopped && !await this.#complete(name)) failed++;
      });
    } catch (error) {
      failed++;
      this.#deps.log.warn("the list of incomplete objects could not be read", { reason: messageOf(error) });
    }
    this.#delayMs = failed > 0 ? Math.min(RETRY_DELAY_MAX_MS, 2 * this.#delayMs) : RETRY_DELAY_MS;
    if (failed > 0) return this.#delayMs;
    return found > BATCH ? 0 : undefined;
  }

  /** `waiting`: in the order of the list. */
  async #newestFirst(waiting: readonly Name[]): Promise<Name[]> {
    const aged: { name: Name; modifiedMs: number }[] = [];
    const lacking = new Map<Name, number>();
    for (const name of waiting) {
      // Not all at once, which would keep every manifest in memory; one that is damaged waits for its turn.
      const state = await this.#deps.replica.state(name).catch(() => undefined);
      aged.push({ name, modifiedMs: state?.value?.modifiedMs ?? 0 });
      const content = state?.value?.content;
      lacking.set(name, content?.kind === "object" ? content.manifest.size : 0);
    }
    this.#lacking = lacking;
    aged.sort((a, b) => b.modifiedMs - a.modifiedMs);
    const oldest = waiting.values();
    const order = new Set<Name>();
    for (const { name } of aged) {
      if (order.size % TURN_OF_OLDEST === TURN_OF_OLDEST - 1) order.add(oldest.next().value ?? name);
      order.add(name);
    }
    return [...order];
  }

  /** True when that version needs nothing any more. */
  async #complete(name: Name): Promise<boolean> {
    const { replica, content, log, clock } = this.#deps;
    let accepted = NO_BALLOT;
    let failed: { readonly error: unknown; readonly atMs: number } | undefined;
    try {
      const state = await replica.state(name);
      const { value } = state;
      accepted = state.accepted;
      if (value?.content.kind === "object") {
        for await (const { id, sizeBytes } of content.chunksOf(name, value.content.manifest)) {
          if (this.#work.stopped) return false;
          await this.#deps.courtesy.turn();
          try {
            await this.#have(name, id, sizeBytes);
            this.#lacking.set(name, Math.max(0, (this.#lacking.get(name) ?? 0) - sizeBytes));
          } catch (error) {
            if (!isAtollError(error, "no-quorum")) throw error;
            failed ??= { error, atMs: clock.monotonicMs() };
            if (clock.monotonicMs() - failed.atMs > OTHERS_MS) break;
          }
        }
      }
      if (failed) throw failed.error;
      if (!await replica.looked(name, accepted, true)) return false;
      this.#owed = Math.max(0, this.#owed - 1);
      this.#lacking.delete(name);
      this.#completed.add();
      return true;
    } catch (error) {
      log.warn("an object is still incomplete here", {
        name: name.replace("\0", "/"),
        reason: messageOf(error),
      });
      // Others may have more luck: it goes to the end of the list, or stays where it is while its register is damaged.
      await replica.looked(name, accepted, false).catch(() => {});
      return false;
    }
  }

  async #have(name: Name, id: ChunkId, sizeBytes: number): Promise<void> {
    const { chunks, reader } = this.#deps;
    // Those that an index names are held by nothing but this while the collector has not seen the object.
    if (await chunks.keeps(id)) return;
    // This stores what a replica lacks, but says nothing when it could not, or had it in memory.
    const { bytes } = await reader.fetch({ name, id, sizeBytes, keep: false });
    if (!await chunks.has(id)) await chunks.putVerified(id, bytes);
    this.#fetchedBytes += bytes.length;
    await this.#pace.spend(bytes.length);
  }
}
