/**
 * Several nodes in one process, over a fake network, on fake disks, in fake time: whole nodes, as production makes them,
 * or only their parts (memory-ring-parts.ts). What a node has on its disk outlives it.
 */
import { createStaticDiscovery } from "../../src/adapters/discovery-static.ts";
import { createHashing } from "../../src/adapters/hashing.ts";
import { foundingLayout, type Layout } from "../../src/core/layout.ts";
import type { ChunkSizes } from "../../src/core/manifest.ts";
import { objectName } from "../../src/core/names.ts";
import { partitionOf } from "../../src/core/partitions.ts";
import { replicasOfPartition } from "../../src/core/layout.ts";
import { Metrics } from "../../src/node/metrics.ts";
import { type AtollNode, createNode, type NodeOptions, type NodePorts } from "../../src/node/node.ts";
import type { RepairTimings } from "../../src/node/repair/repair.ts";
import { defer, type Deferred } from "../../src/node/waiting.ts";
import type { Hashing, LayoutBoard, Log, NodeCard } from "../../src/ports.ts";
import { FakeClock } from "./fake-clock.ts";
import { FakeDisk } from "./fake-disk.ts";
import { FakeNetwork, type Message } from "./fake-network.ts";
import { createSeededRandom, type SeededRandom } from "./fake-random.ts";

export const RING_ID = "ring-of-the-test";

export interface RingOptions {
  /** Members of the layout, each in a zone of its own. */
  readonly ids: readonly string[];
  /** Default: each in a region of its own, too. */
  readonly regionOf?: (id: string) => string;
  readonly replicas?: number;
  readonly seed?: number;
  /** Of a message, one way. */
  readonly delayMs?: (message: Message, random: SeededRandom) => number;
  /** Of what is written. */
  readonly diskMs?: (random: SeededRandom) => number;
  readonly memoryCacheBytes?: number;
  readonly diskCacheBytes?: number;
  readonly chunkSizes?: ChunkSizes;
  /** How far a node's wall clock is off, now. */
  readonly skewMs?: (id: string) => number;
  readonly repair?: Partial<RepairTimings>;
  /** As in `NodeOptions`, where it is said. */
  readonly joinAfterMs?: number | undefined;
  /** Of all nodes; default: what they log is lost. */
  readonly log?: Log;
  /** False: nodes begin with empty disks and these settings, and no layout. */
  readonly founded?: boolean;
}

/** What belongs to one node, whichever of its lives. */
export interface Site {
  readonly id: string;
  readonly url: string;
  disk: FakeDisk;
  /** On the monotonic clock: the process is paused until then. */
  heldUntilMs: number;
  /** Of its present life. */
  metrics: Metrics;
  life: number;
  /** Resolves when its present life ends. */
  ended: Deferred<void>;
}

const QUIET: Log = { info() {}, warn() {}, error() {} };

/** Every digest at once: another thread would bring in time that the fake clock knows nothing of. */
export const HASHING: Hashing = {
  ...createHashing(),
};

export class MemoryRing {
  readonly clock = new FakeClock();
  readonly random: SeededRandom;
  readonly network: FakeNetwork;
  readonly layout: Layout;
  readonly #options: RingOptions;
  readonly #sites = new Map<string, Site>();
  readonly #nodes = new Map<string, AtollNode>();

  constructor(options: RingOptions) {
    this.#options = options;
    this.random = createSeededRandom(options.seed ?? 1);
    this.network = new FakeNetwork(this.clock, (message) => options.delayMs?.(message, this.random) ?? 1);
    this.layout = foundingLayout(
      RING_ID,
      options.replicas ?? 3,
      options.ids.map((id) => ({ id, region: this.#regionOf(id), zone: `zone-${id}`, weight: 1 })),
    );
  }

  /** A ring whose nodes are up and know each other. */
  static async open(options: RingOptions): Promise<MemoryRing> {
    const ring = new MemoryRing(options);
    for (const id of options.ids) await ring.start(id);
    if (options.founded !== false) {
      await ring.clock.until(
        "all nodes know each other",
        () => options.ids.every((id) => ring.node(id).membership.alive().length === options.ids.length - 1),
      );
    }
    return ring;
  }

  site(id: string): Site {
    let site = this.#sites.get(id);
    if (!site) {
      site = {
        id,
        url: urlOf(id),
        disk: this.#newDisk(),
        heldUntilMs: 0,
        metrics: new Metrics(),
        life: 0,
        ended: defer(),
      };
      this.#sites.set(id, site);
    }
    return site;
  }

  #regionOf(id: string): string {
    return this.#options.regionOf?.(id) ?? `region-${id}`;
  }

  #newDisk(): FakeDisk {
    const { diskMs, diskCacheBytes } = this.#options;
    return new FakeDisk(() => diskMs?.(this.random) ?? 0, diskCacheBytes);
  }

  node(id: string): AtollNode {
    const node = this.#nodes.get(id);
    if (!node) throw new Error(`wanted node ${id}, it is not up`);
    return node;
  }

  isUp(id: string): boolean {
    return this.#nodes.has(id);
  }

  /** From whatever is on its disk; the first time that is the layout, if the ring is founded and the node one of its members. */
  async start(
    id: string,
    { seeds = this.#options.ids.map(urlOf), layoutBoard, ...overrides }: Partial<NodeOptions> & {
      /** None: nobody can be found. */
      readonly seeds?: readonly string[];
      readonly layoutBoard?: LayoutBoard;
    } = {},
  ): Promise<AtollNode> {
    const site = this.site(id);
    const isFounder = this.#options.ids.includes(id);
    if (site.life === 0 && this.#options.founded !== false && isFounder) await this.install(id);
    const ports = this.portsOf(id, () => this.#nodes.get(id)?.layout()?.ringId);
    const node = await createNode({
      id,
      region: this.#regionOf(id),
      zone: `zone-${id}`,
      peerUrl: site.url,
      publicUrl: `http://${id}.public`,
      bootstrapExpect: isFounder ? this.#options.ids.length : 1,
      replicas: this.#options.replicas ?? 3,
      memoryCacheBytes: this.#options.memoryCacheBytes ?? 8 << 20,
      chunkSizes: this.#options.chunkSizes,
      repair: this.#options.repair,
      ...("joinAfterMs" in this.#options && { joinAfterMs: this.#options.joinAfterMs }),
      ...overrides,
    }, {
      ...ports,
      discovery: seeds.length > 0 ? createStaticDiscovery(seeds, QUIET) : undefined,
      layoutBoard,
    });
    this.#nodes.set(id, node);
    this.network.listen(site.url, {
      id,
      handler: node.handlePeer,
      ringId: () => node.layout()?.ringId,
      heldUntilMs: () => site.heldUntilMs,
    });
    await node.start();
    return node;
  }

  /** At this instant: nothing of it goes on, what it had not made durable is gone. */
  crash(id: string): void {
    const site = this.site(id);
    site.life++;
    site.ended.resolve();
    this.#nodes.get(id)?.stop();
    this.#nodes.delete(id);
    this.network.close(urlOf(id));
  }

  /** A crash that the disk does not outlive: the next life begins with an empty one. */
  wipe(id: string): void {
    this.crash(id);
    this.site(id).disk = this.#newDisk();
  }

  /** The ports of a new life of the node. */
  portsOf(id: string, ringId: () => string | undefined = () => RING_ID): NodePorts {
    const site = this.site(id);
    const life = ++site.life;
    const isAlive = (): boolean => site.life === life;
    const heldUntilMs = (): number => site.heldUntilMs;
    const clock = this.clock.seenBy(isAlive, () => this.#options.skewMs?.(id) ?? 0, heldUntilMs);
    site.metrics = new Metrics();
    site.ended = defer();
    return {
      catalog: site.disk.openCatalog(isAlive, clock),
      chunkFiles: site.disk.openChunkFiles(isAlive, clock),
      chunkCache: site.disk.chunkCache,
      peers: this.network.peersOf(id, ringId, isAlive, heldUntilMs),
      discovery: undefined,
      layoutBoard: undefined,
      hashing: HASHING,
      clock,
      random: this.random,
      log: this.#options.log ?? QUIET,
      metrics: site.metrics,
    };
  }

  /** Writes the layout, and everybody's address, to the node's disk. */
  async install(id: string): Promise<void> {
    await this.site(id).disk.catalog.commit({
      documents: [
        { key: "layout", text: JSON.stringify(this.layout) },
        { key: "peers", text: JSON.stringify(this.#options.ids.map((other) => this.card(other))) },
      ],
    });
  }

  card(id: string): NodeCard {
    return {
      id,
      region: this.#regionOf(id),
      zone: `zone-${id}`,
      peerUrl: urlOf(id),
      publicUrl: `http://${id}.public`,
      incarnation: "0",
      ringId: RING_ID,
      layoutNumber: 1,
      bootstrapExpect: 0,
    };
  }

  /** The first name `bucket/key-N` with exactly these replicas, in any order. */
  nameOn(replicas: readonly string[]): string {
    const wanted = [...replicas].sort().join();
    for (let n = 0; n < 10_000; n++) {
      const name = objectName("bucket", `key-${n}`);
      if (replicasOfPartition(this.layout, partitionOf(name)).sort().join() === wanted) return name;
    }
    throw new Error(`wanted a name on ${wanted}, found none`);
  }

  /** The value of one of a node's counters, 0 before it was first counted. */
  count(id: string, series: string): number {
    const line = this.site(id).metrics.text().split("\n").find((text) => text.startsWith(`${series} `));
    return line === undefined ? 0 : Number(line.slice(series.length + 1));
  }

  async run<T>(promise: Promise<T>, label = "the promise", limitMs?: number): Promise<T> {
    return await this.clock.run(promise, label, limitMs);
  }

  close(): void {
    for (const id of this.#nodes.keys()) this.crash(id);
  }
}

export function urlOf(id: string): string {
  return `http://${id}.peer`;
}
