/**
 * A node: everything between the ports and the public interface, put together. The same code runs in production and in
 * simulation; whatever it is given decides which.
 */
import type { Layout } from "../core/layout.ts";
import { foundingLayout } from "../core/layout.ts";
import type { ChunkSizes } from "../core/manifest.ts";
import { messageOf } from "../errors.ts";
import type {
  Catalog,
  ChunkCache,
  ChunkFiles,
  Clock,
  Discovery,
  Hashing,
  LayoutBoard,
  Log,
  NodeCard,
  Origin,
  PeerHandler,
  Peers,
  Random,
} from "../ports.ts";
import type { Administration } from "./layout/administration.ts";
import { Board } from "./layout/board.ts";
import { DecreeAcceptor } from "./layout/decree-acceptor.ts";
import { Founder } from "./layout/founding.ts";
import { loadLayout } from "./layout/layouts.ts";
import type { Listings } from "./list-objects.ts";
import { measuredCatalog } from "./measured-catalog.ts";
import type { Membership } from "./membership.ts";
import type { Metrics } from "./metrics.ts";
import type { Objects } from "./objects.ts";
import type { Origins } from "./origins.ts";
import { createParts } from "./parts.ts";
import { DEFAULT_TIMINGS, type Repair, type RepairTimings } from "./repair/repair.ts";
import type { Prewarms } from "./prewarms.ts";
import type { Purges } from "./purges.ts";
import { Ring } from "./ring.ts";
import type { RingDocuments } from "./ring-documents.ts";
import type { Routes } from "./routes.ts";
import { Seeds } from "./seeds.ts";

export interface NodeOptions {
  readonly id: string;
  readonly region: string;
  readonly zone: string;
  readonly peerUrl: string;
  readonly publicUrl: string;
  readonly bootstrapExpect: number;
  readonly replicas: number;
  readonly memoryCacheBytes: number;
  /** Of bodies on their way to and from clients; undefined: as many as come. */
  readonly bufferBytes?: number | undefined;
  /** Ms a node must have been there before it is taken into the ring; undefined: never by itself. Default 10 s. */
  readonly joinAfterMs?: number | undefined;
  /** `CHUNK_SIZES` unless said: see there. */
  readonly chunkSizes?: ChunkSizes | undefined;
  /** Larger answers of origins are passed on and not stored; undefined: none is. */
  readonly maxObjectBytes?: number | undefined;
  /** Of what goes on in the background; what is not said is as in `DEFAULT_TIMINGS`. */
  readonly repair?: Partial<RepairTimings> | undefined;
}

export interface NodePorts {
  readonly catalog: Catalog;
  readonly chunkFiles: ChunkFiles;
  readonly chunkCache: ChunkCache;
  readonly peers: Peers;
  /** None and nothing on disk: a ring of one, at once. */
  readonly discovery: Discovery | undefined;
  /** Where the ring's layout is shown, besides. */
  readonly layoutBoard: LayoutBoard | undefined;
  /** Where buckets' origins are asked; undefined: nowhere. */
  readonly origin?: Origin | undefined;
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
  readonly routes: Routes;
  readonly purges: Purges;
  readonly documents: RingDocuments;
  readonly origins: Origins;
  readonly prewarms: Prewarms;
  readonly membership: Membership;
  readonly repair: Repair;
  readonly administration: Administration;
  readonly metrics: Metrics;
  readonly handlePeer: PeerHandler;
  readonly card: () => NodeCard;
  readonly layout: () => Layout | undefined;
  /** Begins to ping, to found or join a ring, and to complete what was left incomplete. */
  start(): Promise<void>;
  /** Tells the others, best effort and within half a second, that it is about to end. */
  leave(): Promise<void>;
  /** Ends the background work; what others ask is still answered. */
  stop(): void;
}

const CARDS_DOCUMENT = "peers";
const CONSIDER_MS = 250;
const JOIN_AFTER_MS = 10_000;

/** Reads what the node remembers; nothing is sent before `start`. */
export async function createNode(options: NodeOptions, ports: NodePorts): Promise<AtollNode> {
  const { clock, log, metrics, peers, random } = ports;
  const catalog = measuredCatalog(ports.catalog, clock, metrics);
  const ring = new Ring(options.id, await loadLayout(catalog));
  const incarnation = random.hex(8);
  const board = new Board({
    board: ports.layoutBoard,
    ring,
    adopt: (layout) => layouts.adopt(layout),
    log,
  });
  const self = (): NodeCard => ({
    id: options.id,
    region: options.region,
    zone: options.zone,
    peerUrl: options.peerUrl,
    publicUrl: options.publicUrl,
    incarnation,
    ringId: ring.layout?.ringId,
    layoutNumber: ring.layout?.number ?? 0,
    // Where others can be found a node founds nothing alone: who expects only itself waits for a ring to join.
    bootstrapExpect: !ports.discovery || options.bootstrapExpect < 2 || !board.mayFound
      ? 0
      : options.bootstrapExpect,
  });
  const decree = new DecreeAcceptor(catalog, () => ring.number);
  await decree.load();
  const seeds = new Seeds(ports.discovery, log);

  let stopped = false;
  const parts = createParts({
    ...ports,
    catalog,
    ring,
    self,
    decree,
    board,
    seeds: () => seeds.next(),
    cards: await loadCards(catalog),
    memoryCacheBytes: options.memoryCacheBytes,
    bufferBytes: options.bufferBytes,
    chunkSizes: options.chunkSizes,
    maxObjectBytes: options.maxObjectBytes ?? Number.MAX_SAFE_INTEGER,
    repairTimings: { ...DEFAULT_TIMINGS, ...options.repair },
    joinAfterMs: "joinAfterMs" in options ? options.joinAfterMs : JOIN_AFTER_MS,
    onCards: remember,
  });
  const { completion, layouts, leavings, membership, repair, steward, takeover } = parts;
  await parts.load();
  const founder = new Founder({
    acceptor: decree,
    self,
    alive: () => membership.alive(),
    peers,
    clock,
    random,
    log,
    replicas: options.replicas,
    onFounded: (layout) => layouts.adopt(layout),
  });

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
    objects: parts.objects,
    listings: parts.listings,
    routes: parts.routes,
    purges: parts.purges,
    documents: parts.documents,
    origins: parts.origins,
    prewarms: parts.prewarms,
    handlePeer: parts.handlePeer,
    membership,
    metrics,
    card: self,
    layout: () => ring.layout,
    repair,
    administration: parts.administration,
    async start() {
      if (!ring.layout && !ports.discovery) {
        const { id, region, zone } = options;
        await layouts.adopt(
          foundingLayout(random.hex(8), options.replicas, [{ id, region, zone, weight: 1 }]),
        );
      }
      seeds.start();
      board.start();
      membership.start();
      completion.start();
      await repair.start();
      takeover.start();
      leavings.start();
      steward.start();
      considerFounding();
    },
    leave: () => membership.leave(),
    stop() {
      stopped = true;
      seeds.stop();
      board.stop();
      membership.stop();
      completion.stop();
      repair.stop();
      takeover.stop();
      leavings.stop();
      steward.stop();
    },
  };
}

async function loadCards(catalog: Catalog): Promise<NodeCard[]> {
  const text = await catalog.document(CARDS_DOCUMENT);
  return text === undefined ? [] : JSON.parse(text) as NodeCard[];
}
