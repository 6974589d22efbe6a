/**
 * What lies on this node and is no longer its business, after a layout has settled: given up register by register, and
 * only when every replica has it whole. What one of them lacks is brought to it: a value may have come to it just before its
 * layout settled, and those it could fetch the chunks from are no replicas any more. Chunks that no register names then are
 * the garbage collector's.
 */
import type { ChunkId } from "../../core/manifest.ts";
import type { Name } from "../../core/names.ts";
import { PARTITIONS, slotOf, SLOTS_PER_PARTITION } from "../../core/partitions.ts";
import { messageOf } from "../../errors.ts";
import type { Catalog, Clock, Log } from "../../ports.ts";
import { Background, forEach } from "../background.ts";
import { bringChunks, lackedBy } from "../bringing.ts";
import type { ChunkStore } from "../chunk-store.ts";
import type { Content } from "../content.ts";
import type { Metrics } from "../metrics.ts";
import type { PeerGate } from "../peer-gate.ts";
import type { Reconciler } from "../repair/reconciler.ts";
import type { Replica } from "../replica.ts";
import type { Ring } from "../ring.ts";
import type { StrongReads } from "../strong-reads.ts";

const SCAN = 256;
const AT_ONCE = 16;
const CHUNKS_ASKED = 256;
/** What somebody still lacked is looked at again. */
const RETRY_MS = 2_000;
const RETRY_MAX_MS = 60_000;

export interface LeavingsDeps {
  ring: Ring;
  catalog: Catalog;
  replica: Replica;
  reconciler: Reconciler;
  strongReads: StrongReads;
  content: Content;
  chunks: ChunkStore;
  gate: PeerGate;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

export class Leavings {
  readonly #deps: LeavingsDeps;
  readonly #work: Background;
  #left = 0;
  #retryMs = RETRY_MS;

  constructor(deps: LeavingsDeps) {
    this.#deps = deps;
    this.#work = new Background(deps.clock, () => this.#run());
    deps.metrics.gauge(
      "atoll_leavings_registers",
      "Registers here that belong to others, and wait until those have them whole",
      () => this.#left,
    );
  }

  start(): void {
    this.#work.wake(RETRY_MS);
  }

  stop(): void {
    this.#work.stop();
  }

  /** Another layout is in use. */
  adopted(): void {
    this.#retryMs = RETRY_MS;
    this.#work.wake(RETRY_MS);
  }

  async #run(): Promise<number | undefined> {
    const { ring, log } = this.#deps;
    const { layout } = ring;
    // While it moves, old replicas are needed for every majority.
    if (!layout || layout.from) return undefined;
    let [gone, left] = [0, 0];
    try {
      for await (const names of this.#foreign()) {
        await forEach(names, AT_ONCE, async (name) => {
          if (this.#work.stopped || ring.number !== layout.number) return;
          if (await this.#giveUp(name)) gone++;
          else left++;
        });
        if (this.#work.stopped) return undefined;
        if (ring.number !== layout.number) return RETRY_MS;
      }
    } catch (error) {
      left++;
      log.info("what belongs to others stays for now", { reason: messageOf(error) });
    }
    this.#left = left;
    if (gone > 0) log.info("given up what others have", { registers: gone, left });
    if (left === 0) return undefined;
    this.#retryMs = Math.min(RETRY_MAX_MS, 2 * this.#retryMs);
    return this.#retryMs;
  }

  /** Names of what lies here in partitions of others. Where all of them are this node's own nothing is read. */
  async *#foreign(): AsyncGenerator<Name[]> {
    const { ring, catalog } = this.#deps;
    const isForeign = (partition: number): boolean =>
      !ring.replicasOfPartition(partition).includes(ring.self);
    for (let partition = 0; partition < PARTITIONS; partition++) {
      if (!isForeign(partition)) continue;
      let [slot, after] = [partition * SLOTS_PER_PARTITION, ""];
      while (partition + 1 < PARTITIONS && isForeign(partition + 1)) partition++;
      const end = (partition + 1) * SLOTS_PER_PARTITION;
      for (let rows; !rows || rows.length === SCAN;) {
        rows = await catalog.slotRows(slot, after, SCAN, end);
        if (rows.length === 0) break;
        after = rows.at(-1)!.name;
        slot = slotOf(after);
        yield rows.map(({ name }) => name);
      }
    }
  }

  async #giveUp(name: Name): Promise<boolean> {
    const { ring, replica, reconciler } = this.#deps;
    try {
      const replicas = ring.replicas(name);
      // What this node holds is in nobody's way: if it was ever committed, a majority of them has it.
      const alike = await reconciler.reconcile(name);
      if (!replicas.every((id) => alike.has(id)) || !await this.#isWholeAt(replicas, name)) return false;
      return await replica.drop(name);
    } catch {
      return false; // somebody is away
    }
  }

  async #isWholeAt(replicas: readonly string[], name: Name): Promise<boolean> {
    const { strongReads, content, gate } = this.#deps;
    const { value } = await strongReads.read(name);
    if (value?.content.kind !== "object") return true;
    const ids: ChunkId[] = [];
    const areHeld = async (): Promise<boolean> => {
      const asked = ids.splice(0);
      if (asked.length === 0) return true;
      const areWhole = await Promise.all(replicas.map(async (node) => {
        return await bringChunks(this.#deps, node, await lackedBy(gate, node, asked));
      }));
      return areWhole.every((whole) => whole);
    };
    for await (const { id } of content.chunksOf(name, value.content.manifest)) {
      if (ids.push(id) === CHUNKS_ASKED && !await areHeld()) return false;
    }
    return await areHeld();
  }
}
