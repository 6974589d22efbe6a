/**
 * Scrub: every chunk that an object here names is read and checked once in a cycle, since disks rot in silence. One that is
 * damaged or missing is fetched from another replica. What nobody names is not read: it will be collected.
 */
import { LRUCache } from "lru-cache";
import type { ChunkId, Manifest } from "../../core/manifest.ts";
import type { Name } from "../../core/names.ts";
import { messageOf } from "../../errors.ts";
import type { Catalog, Clock, Log } from "../../ports.ts";
import { Background } from "../background.ts";
import type { ChunkReader } from "../chunk-reader.ts";
import type { ChunkStore } from "../chunk-store.ts";
import type { Content } from "../content.ts";
import type { Counter, Metrics } from "../metrics.ts";
import type { Ring } from "../ring.ts";
import { pause } from "../waiting.ts";
import { nextRegisters } from "./register-rows.ts";

const DOCUMENT = "scrub";
const SCAN = 64;
const RETRY_MS = 60_000;
/** Chunks that many objects name are read once, if they come within so many. */
const RECENT_MAX = 8_192;
/** Rests are gathered to this length: a timer for every small chunk would cost more than the chunk. */
const REST_MIN_MS = 20;

export interface ScrubDeps {
  ring: Ring;
  catalog: Catalog;
  chunks: ChunkStore;
  content: Content;
  reader: ChunkReader;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  onDamaged: (name: string) => void;
  /** Chunks of it are missing, and cannot be had now. Resolves when that is durably on the list of what is to be fetched. */
  onLacking: (name: Name) => Promise<void>;
  cycleMs: number;
  /** Of the time that may be spent reading and checking, 0 to 1. */
  share: number;
}

export interface ScrubReport {
  readonly objects: number;
  readonly chunks: number;
  readonly bytes: number;
  /** Chunks that were damaged or missing, and are here again. */
  readonly mended: number;
  /** Those that could not be had from anybody now. */
  readonly failed: number;
}

const NOTHING: ScrubReport = { objects: 0, chunks: 0, bytes: 0, mended: 0, failed: 0 };

/** Where a cycle stands, so that a restart goes on with it. */
interface Progress {
  readonly after: Name;
  /** Wall clock: a cycle outlives processes, and nothing but the pace hangs on it. */
  readonly begunMs: number;
  readonly report: ScrubReport;
}

export class Scrub {
  readonly #deps: ScrubDeps;
  readonly #work: Background;
  readonly #recent = new LRUCache<ChunkId, true>({ maxSize: RECENT_MAX, sizeCalculation: () => 1 });
  readonly #checked: Counter;
  readonly #mended: Counter;
  #restMs = 0;
  #onDemand: Promise<ScrubReport> | undefined;
  /** Of the walk that is under way or ended last. */
  #report: ScrubReport = NOTHING;

  constructor(deps: ScrubDeps) {
    this.#deps = deps;
    this.#work = new Background(deps.clock, () => this.#run());
    this.#checked = deps.metrics.counter("atoll_scrub_bytes_total", "Bytes of chunks read again and checked");
    this.#mended = deps.metrics.counter(
      "atoll_scrub_mended_total",
      "Chunks found damaged or missing by a scrub, and fetched anew",
    );
  }

  start(): void {
    this.#work.wake(Math.min(RETRY_MS, this.#deps.cycleMs));
  }

  stop(): void {
    this.#work.stop();
  }

  /** All of it now, as fast as the disk goes; one at a time, which others join. */
  now(): Promise<ScrubReport> {
    this.#recent.clear();
    this.#onDemand ??= this.#walk({ after: "", begunMs: this.#deps.clock.wallMs(), report: NOTHING }, 1)
      .finally(() => (this.#onDemand = undefined));
    return this.#onDemand;
  }

  /** Of the scrub that is under way or ended last. */
  get status(): { readonly onDemand: boolean; readonly report: ScrubReport } {
    return { onDemand: this.#onDemand !== undefined, report: this.#report };
  }

  async #run(): Promise<number> {
    const { catalog, clock, cycleMs, log, share } = this.#deps;
    try {
      const text = await catalog.document(DOCUMENT);
      const last = text === undefined ? undefined : JSON.parse(text) as Progress & { done: boolean };
      const now = clock.wallMs();
      if (last?.done && now < last.begunMs + cycleMs && now >= last.begunMs) {
        return Math.min(RETRY_MS * 60, last.begunMs + cycleMs - now);
      }
      const from = last && !last.done ? last : { after: "", begunMs: now, report: NOTHING };
      // What the last cycle read is to be read once more.
      if (!this.#onDemand) this.#recent.clear();
      const report = await this.#walk(from, share, async (progress) => {
        await this.#keep(progress, false);
      });
      if (this.#work.stopped) return RETRY_MS;
      await this.#keep({ after: "", begunMs: from.begunMs, report }, true);
      log.info("scrubbed", { ...report });
    } catch (error) {
      log.warn("the scrub waits", { reason: messageOf(error) });
    }
    return Math.min(RETRY_MS, cycleMs);
  }

  async #keep(progress: Progress, done: boolean): Promise<void> {
    const text = JSON.stringify({ ...progress, done });
    await this.#deps.catalog.commit({ documents: [{ key: DOCUMENT, text }] });
  }

  async #walk(
    from: Progress,
    share: number,
    keep: (progress: Progress) => Promise<void> = async () => {},
  ): Promise<ScrubReport> {
    const { ring } = this.#deps;
    let { after, report } = from;
    for (let ended = false; !ended && !this.#work.stopped;) {
      const rows = await nextRegisters(this.#deps, after, SCAN, true);
      ended = rows.length === 0;
      for (const { name, state: { value } } of rows) {
        if (this.#work.stopped) break;
        if (value?.content.kind === "object" && ring.isReplica(name)) {
          report = await this.#checkObject(name, value.content.manifest, share, report);
        }
        after = name;
        this.#report = report;
      }
      await keep({ after, begunMs: from.begunMs, report });
    }
    return report;
  }

  async #checkObject(
    name: Name,
    manifest: Manifest,
    share: number,
    before: ScrubReport,
  ): Promise<ScrubReport> {
    const report = { ...before, objects: before.objects + 1 };
    let lacks = false;
    const failed = (error: unknown): void => {
      lacks = true;
      report.failed++;
      this.#deps.log.warn("a chunk is damaged or missing, and could not be fetched yet", {
        name: name.replace("\0", "/"),
        reason: messageOf(error),
      });
    };
    try {
      for await (const { id, sizeBytes } of this.#deps.content.chunksOf(name, manifest)) {
        if (this.#work.stopped) break;
        if (this.#recent.has(id)) continue;
        try {
          const mended = await this.#checkChunk(name, id, sizeBytes, share);
          this.#recent.set(id, true);
          report.chunks++;
          report.bytes += sizeBytes;
          if (mended) report.mended++;
        } catch (error) {
          // The object's other chunks are looked at all the same.
          failed(error);
        }
      }
    } catch (error) {
      failed(error); // an index: what it names is not known
    }
    if (lacks) await this.#deps.onLacking(name).catch(failed);
    return report;
  }

  /** True when it had to be mended. */
  async #checkChunk(name: Name, id: ChunkId, sizeBytes: number, share: number): Promise<boolean> {
    const { chunks, reader, clock } = this.#deps;
    const begunMs = clock.monotonicMs();
    const good = await chunks.get(id, sizeBytes);
    this.#checked.add(sizeBytes);
    if (!good) {
      const { bytes } = await reader.fetch({ name, id, sizeBytes, keep: false });
      if (!await chunks.has(id)) await chunks.putVerified(id, bytes);
      this.#mended.add();
    }
    this.#restMs += (clock.monotonicMs() - begunMs) * (1 / share - 1);
    if (this.#restMs >= REST_MIN_MS) {
      await pause(clock, Math.min(this.#restMs, RETRY_MS));
      this.#restMs = 0;
    }
    return !good;
  }
}
