/**
 * A node: everything between the ports and the public interface, put together. The same code runs in production and in
 * simulation; whatever it is given decides which.
 */
import type { Layout } from "../core/layout.ts";
import { foundingLayout, layoutProblem } from "../core/layout.ts";
import { AtollError, messageOf } from "../errors.ts";
import type {
  Catalog,
  ChunkCache,
  ChunkFiles,
  Clock,
  Hashing,
  Log,
  NodeCard,
  PeerHandler,
  Peers,
  Random,
} from "../ports.ts";
import { ChunkReader } from "./chunk-reader.ts";
import { ChunkStore } from "./chunk-store.ts";
import { ChunkWriter } from "./chunk-writer.ts";
import { Completion } from "./completion.ts";
import { Content } from "./content.ts";
import { Founder, FoundingAcceptor } from "./founding.ts";
import { Listings } from "./list-objects.ts";
import { measuredCatalog } from "./measured-catalog.ts";
import { Membership } from "./membership.ts";
import { MemoryCache } from "./memory-cache.ts";
import type { Metrics } from "./metrics.ts";
import { Notices } from "./notices.ts";
import { Objects } from "./objects.ts";
import { PeerGate } from "./peer-gate.ts";
import { createPeerService } from "./peer-service.ts";
import { Registers } from "./registers.ts";
import { Replica } from "./replica.ts";
import { Ring } from "./ring.ts";
import { StrongReads } from "./strong-reads.ts";

export interface NodeOptions {
  readonly id: string;
  readonly region: string;
  readonly zone: string;
  readonly peerUrl: string;
  readonly publicUrl: string;
  /** Peer URLs to find a ring by. None and nothing on disk: a ring of one, at once. */
  readonly seeds: readonly string[];
  readonly bootstrapExpect: number;
  readonly replicas: number;
  readonly memoryCacheBytes: number;
}

export interface NodePorts {
  readonly catalog: Catalog;
  readonly chunkFiles: ChunkFiles;
  readonly chunkCache: ChunkCache;
  readonly peers: Peers;
  readonly hashing: Hashing;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
}

export interface AtollNode {
  readonly id: string;
  readonly objects: Objects;
  readonly listings: Listings;
  readonly membership: Membership;
  readonly metrics: Metrics;
  readonly handlePeer: PeerHandler;
  readonly card: () => NodeCard;
  readonly layout: () => Layout | undefined;
  /** Begins to ping, to found or join a ring, and to complete what was left incomplete. */
  start(): Promise<void>;
  /** Ends the background work; what others ask is still answered. */
  stop(): void;
}

const LAYOUT_DOCUMENT = "layout";
const CARDS_DOCUMENT = "peers";
const CONSIDER_MS = 250;

/** Reads what the node remembers; nothing is sent before `start`. */
export async function createNode(options: NodeOptions, ports: NodePorts): Promise<AtollNode> {
  const { clock, hashing, log, metrics, peers, random } = ports;
  const catalog = measuredCatalog(ports.catalog, clock, metrics);
  const ring = new Ring(options.id, await loadLayout(catalog));
  const incarnation = random.hex(8);
  const self = (): NodeCard => ({
    id: options.id,
    region: options.region,
    zone: options.zone,
    peerUrl: options.peerUrl,
    publicUrl: options.publicUrl,
    incarnation,
    ringId: ring.layout?.ringId,
    layoutNumber: ring.layout?.number ?? 0,
    // With seeds a node founds nothing alone: who expects only itself waits for a ring to join.
    bootstrapExpect: options.seeds.length === 0 || options.bootstrapExpect < 2 ? 0 : options.bootstrapExpect,
  });
  const founding = new FoundingAcceptor(catalog);
  await founding.load();

  const memory = new MemoryCache(options.memoryCacheBytes);
  metrics.gauge("atoll_memory_cache_bytes", "Bytes in the memory cache", () => memory.usedBytes);
  metrics.gauge("atoll_disk_cache_bytes", "Bytes in the disk cache", () => ports.chunkCache.usedBytes);
  metrics.gauge(
    "atoll_layout_number",
    "Number of the layout in use; 0 before there is one",
    () => ring.layout?.number ?? 0,
  );
  const membership = new Membership({
    self,
    seeds: options.seeds,
    peers,
    clock,
    log,
    metrics,
    onHeard: (card) => void adoptFrom(card),
    onCards: (cards) => remember(cards),
  }, await loadCards(catalog));
  const gate = new PeerGate({ peers, membership, metrics });
  const chunks = new ChunkStore({ catalog, files: ports.chunkFiles, hashing, metrics });
  const replica = new Replica({
    catalog,
    chunks,
    hashing,
    onAccepted: (name, value, complete) => {
      memory.outdated(name, value.version);
      if (!complete) completion.wake();
    },
  });
  const registers = new Registers({ ring, replica, gate, membership, clock, random, metrics });
  const strongReads = new StrongReads({
    ring,
    replica,
    gate,
    membership,
    registers,
    clock,
    metrics,
    held: (name) => memory.value(name),
  });
  const cache = ports.chunkCache;
  const reader = new ChunkReader({
    ring,
    memory,
    chunks,
    cache,
    gate,
    membership,
    hashing,
    clock,
    log,
    metrics,
  });
  const content = new Content({ reader, memory });
  const completion = new Completion({ catalog, replica, chunks, reader, content, clock, log, metrics });
  const writer = new ChunkWriter({ ring, chunks, gate, membership, clock });
  const notices = new Notices({ ring, gate, membership, clock });
  const objects = new Objects({
    registers,
    strongReads,
    content,
    memory,
    writer,
    hashing,
    clock,
    onCommitted: (name, version) => notices.committed(name, version),
  });
  const listings = new Listings({ ring, catalog, gate, membership, strongReads, clock });
  const founder = new Founder({
    acceptor: founding,
    self,
    alive: () => membership.alive(),
    peers,
    clock,
    random,
    log,
    replicas: options.replicas,
    onFounded: adopt,
  });
  let stopped = false;

  /** Durable before it is used: a node that forgot its ring could found another. */
  async function adopt(layout: Layout): Promise<void> {
    const problem = layoutProblem(layout);
    if (problem !== undefined) throw new AtollError("peer-garbage", `not a layout: ${problem}`);
    await catalog.commit({ documents: [{ key: LAYOUT_DOCUMENT, text: JSON.stringify(layout) }] });
    ring.adopt(layout);
    log.info("layout adopted", {
      ringId: layout.ringId,
      layout: layout.number,
      nodes: layout.nodes.length,
      member: layout.nodes.some((node) => node.id === options.id),
    });
    membership.announce();
  }

  let adopting = false;
  async function adoptFrom(card: NodeCard): Promise<void> {
    if (ring.layout || !card.ringId || adopting) return;
    adopting = true;
    try {
      const { layout } = await peers.call(card.peerUrl, { type: "layout" }, {
        timeoutMs: 2_000,
        expect: card.id,
      });
      if (layout && !ring.layout) await adopt(layout);
    } catch (error) {
      log.warn("the layout could not be fetched yet", { peer: card.id, reason: messageOf(error) });
    } finally {
      adopting = false;
    }
  }

  function remember(cards: readonly NodeCard[]): void {
    catalog.commit({ documents: [{ key: CARDS_DOCUMENT, text: JSON.stringify(cards) }] }).catch((
      error: unknown,
    ) => log.warn("peers' addresses could not be kept", { reason: messageOf(error) }));
  }

  function considerFounding(): void {
    if (stopped || ring.layout) return;
    void founder.consider();
    clock.after(CONSIDER_MS, considerFounding);
  }

  return {
    id: options.id,
    objects,
    listings,
    membership,
    metrics,
    card: self,
    layout: () => ring.layout,
    handlePeer: createPeerService({ ring, self, membership, founding, replica, chunks, memory, catalog }),
    async start() {
      if (!ring.layout && options.seeds.length === 0) {
        const { id, region, zone } = options;
        await adopt(foundingLayout(random.hex(8), options.replicas, [{ id, region, zone, weight: 1 }]));
      }
      membership.start();
      completion.start();
      considerFounding();
    },
    stop() {
      stopped = true;
      membership.stop();
      completion.stop();
    },
  };
}

async function loadLayout(catalog: Catalog): Promise<Layout | undefined> {
  const text = await catalog.document(LAYOUT_DOCUMENT);
  if (text === undefined) return undefined;
  const layout = JSON.parse(text) as Layout;
  const problem = layoutProblem(layout);
  if (problem !== undefined) {
    throw new AtollError("data-dir", `the layout on disk cannot be read: ${problem}`);
  }
  return layout;
}

async function loadCards(catalog: Catalog): Promise<NodeCard[]> {
  const text = await catalog.document(CARDS_DOCUMENT);
  return text === undefined ? [] : JSON.parse(text) as NodeCard[];
}
