/**
 * Objects whose manifest this replica accepted before it had all their chunks: fetched from the other replicas, in the
 * background. The list is durable, written with the acceptance itself, so a crash forgets none.
 */
import type { Name } from "../core/names.ts";
import { messageOf } from "../errors.ts";
import type { Catalog, Clock, Log } from "../ports.ts";
import type { ChunkReader } from "./chunk-reader.ts";
import type { ChunkStore } from "./chunk-store.ts";
import type { Content } from "./content.ts";
import type { Counter, Metrics } from "./metrics.ts";
import type { Replica } from "./replica.ts";

/** The coordinator is usually still sending what is missing: it gets this long. */
const FIRST_DELAY_MS = 1_000;
const RETRY_DELAY_MS = 2_000;
const RETRY_DELAY_MAX_MS = 60_000;
const BATCH = 64;
const AT_ONCE = 4;

export interface CompletionDeps {
  catalog: Catalog;
  replica: Replica;
  chunks: ChunkStore;
  reader: ChunkReader;
  content: Content;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

export class Completion {
  readonly #deps: CompletionDeps;
  readonly #completed: Counter;
  #timer: { readonly dueMs: number; readonly cancel: () => void } | undefined;
  #busy = false;
  /** Something came while the list was being worked on: it may have been read before. */
  #woken = false;
  #stopped = false;
  #owed = 0;
  #delayMs = RETRY_DELAY_MS;

  constructor(deps: CompletionDeps) {
    this.#deps = deps;
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

  start(): void {
    this.#schedule(0);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** An accepted manifest was put on the list. */
  wake(): void {
    this.#owed++;
    if (this.#busy) this.#woken = true;
    else this.#schedule(FIRST_DELAY_MS);
  }

  /** Looks at the list in so many ms, or earlier if that was planned already. */
  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    const { clock } = this.#deps;
    const dueMs = clock.monotonicMs() + delayMs;
    if (this.#timer && this.#timer.dueMs <= dueMs) return;
    this.#timer?.cancel();
    const cancel = clock.after(delayMs, () => {
      this.#timer = undefined;
      void this.#work();
    });
    this.#timer = { dueMs, cancel };
  }

  async #work(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    this.#woken = false;
    let failed = 0;
    let found = 0;
    try {
      const rows = await this.#deps.catalog.incomplete(BATCH);
      found = rows.length;
      this.#owed = found;
      const queue = rows.values();
      const worker = async (): Promise<void> => {
        for (const row of queue) {
          if (this.#stopped) return;
          if (!await this.#complete(row.name)) failed++;
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, worker));
    } catch (error) {
      failed++;
      this.#deps.log.warn("the list of incomplete objects could not be read", { reason: messageOf(error) });
    } finally {
      this.#busy = false;
    }
    this.#delayMs = failed > 0 ? Math.min(RETRY_DELAY_MAX_MS, 2 * this.#delayMs) : RETRY_DELAY_MS;
    if (failed > 0) this.#schedule(this.#delayMs);
    else if (found === BATCH) this.#schedule(0);
    if (this.#woken) this.#schedule(FIRST_DELAY_MS);
  }

  /** True when that version needs nothing any more. */
  async #complete(name: Name): Promise<boolean> {
    const { replica, chunks, content, reader, log } = this.#deps;
    const { accepted, value } = await replica.read(name);
    try {
      if (value?.content.kind === "object") {
        for await (const { id, sizeBytes } of content.chunksOf(name, value.content.manifest)) {
          if (this.#stopped) return false;
          if (!chunks.isKnown(id) && !await chunks.has(id)) {
            await reader.fetch({ name, id, sizeBytes, keep: false }); // which stores what a replica lacks
          }
        }
      }
      await replica.looked(name, accepted, true);
      this.#owed = Math.max(0, this.#owed - 1);
      this.#completed.add();
      return true;
    } catch (error) {
      log.warn("an object is still incomplete here", {
        name: name.replace("\0", "/"),
        reason: messageOf(error),
      });
      // Others may have more luck: it goes to the end of the list.
      await replica.looked(name, accepted, false);
      return false;
    }
  }
}
