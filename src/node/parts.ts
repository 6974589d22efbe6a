/** The parts of a node, each made from those it needs. How a node begins, joins its ring and ends is in node.ts. */
import type { ChunkSizes } from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import { AtollError } from "../errors.ts";
import type { NodeCard, Origin } from "../ports.ts";
import { BufferBudget } from "./buffer-budget.ts";
import { ChunkReader } from "./chunk-reader.ts";
import { ChunkSources } from "./chunk-sources.ts";
import { ChunkStore } from "./chunk-store.ts";
import { ChunkWriter } from "./chunk-writer.ts";
import { Completion } from "./completion.ts";
import { Content } from "./content.ts";
import { Courtesy } from "./courtesy.ts";
import type { Board } from "./layout/board.ts";
import type { DecreeAcceptor } from "./layout/decree-acceptor.ts";
import { Administration } from "./layout/administration.ts";
import { Decrees } from "./layout/decrees.ts";
import { Layouts } from "./layout/layouts.ts";
import { Leavings } from "./layout/leavings.ts";
import { Steward } from "./layout/steward.ts";
import { GoneChunks } from "./layout/gone-chunks.ts";
import { Takeover } from "./layout/takeover.ts";
import { Listings } from "./list-objects.ts";
import { Membership } from "./membership.ts";
import { MemoryCache } from "./memory-cache.ts";
import type { NodePorts } from "./node.ts";
import { Notices } from "./notices.ts";
import { Objects } from "./objects.ts";
import { Outlook } from "./outlook.ts";
import { Origins } from "./origins.ts";
import { PeerGate } from "./peer-gate.ts";
import { createPeerService } from "./peer-service.ts";
import { Prewarms } from "./prewarms.ts";
import { Purges } from "./purges.ts";
import { Region } from "./region.ts";
import { Registers } from "./registers.ts";
import { Handoffs } from "./repair/handoffs.ts";
import { Memories } from "./repair/memories.ts";
import { Recovery } from "./repair/recovery.ts";
import { Repair, type RepairTimings } from "./repair/repair.ts";
import { Replica } from "./replica.ts";
import type { Ring } from "./ring.ts";
import { RingDocuments } from "./ring-documents.ts";
import { Routes } from "./routes.ts";
import { StrongReads } from "./strong-reads.ts";

export interface PartsDeps extends NodePorts {
  ring: Ring;
  self: () => NodeCard;
  decree: DecreeAcceptor;
  board: Board;
  seeds: () => readonly string[];
  /** Of peers that were known before. */
  cards: readonly NodeCard[];
  memoryCacheBytes: number;
  bufferBytes?: number | undefined;
  chunkSizes?: ChunkSizes | undefined;
  maxObjectBytes: number;
  repairTimings: RepairTimings;
  /** Ms a node must have been there before it is taken into the ring; undefined: never by itself. */
  joinAfterMs: number | undefined;
  onCards: (cards: readonly NodeCard[]) => void;
}

export type Parts = ReturnType<typeof createParts>;

const NO_ORIGIN: Origin = {
  fetch: () => Promise.reject(new AtollError("origin-forbidden", "this node connects to no origins")),
};

/** To be loaded before anything is asked of them. */
export function createParts(deps: PartsDeps) {
  const { catalog, chunkCache, metrics, ring } = deps;
  const memory = new MemoryCache(deps.memoryCacheBytes);
  /** Something newer than this exists. */
  const outdated = (name: Name, version: number): void => {
    memory.outdated(name, version);
    documents.outdated(name);
  };
  const chunks = new ChunkStore({ ...deps, files: deps.chunkFiles });
  const memories = new Memories(catalog, () => ring.members);
  const membership: Membership = new Membership({
    ...deps,
    hasPlace: (id) => ring.layout === undefined || ring.members.includes(id),
    onHeard: (card) => layouts.heard(card),
    onReturned: () => repair.peerReturned(),
  }, deps.cards);
  const layouts: Layouts = new Layouts({
    ...deps,
    cardOf: (id) => membership.card(id),
    replica: () => replica,
    recovery: () => recovery,
    onAdopted: (layout) => {
      deps.board.publish(layout);
      membership.announce();
      takeover.adopted();
      leavings.adopted();
    },
  });
  const caughtUp = (): Promise<void> => layouts.caughtUp();
  const gate = new PeerGate({ ...deps, membership, onAhead: (id) => layouts.behind(id) });
  const decrees = new Decrees({ ...deps, layouts, memories, gate });
  const recovery: Recovery = new Recovery({
    ...deps,
    replica: () => replica,
    registers: () => registers,
    memories,
    gate,
  });
  const replica: Replica = new Replica({
    ...deps,
    chunks,
    mustRemember: (name) => recovery.mustRemember(name),
    onAccepting: (value) => repair.garbage.hold(value),
    onAccepted: (name, value, complete) => {
      outdated(name, value.version);
      repair.digests.changed();
      if (!complete) completion.wake();
    },
    onDamaged: (name) => recovery.damaged(name),
  });
  const voting = { ...deps, replica, gate, membership, memories, caughtUp };
  const registers: Registers = new Registers({
    ...voting,
    onMissed: (node, name) => repair.hints.missed(node, name),
  });
  const outlook = new Outlook({ ...deps, membership, gate });
  const strongReads = new StrongReads({ ...voting, registers, outlook, held: (name) => memory.value(name) });
  const region = new Region({ ...deps, membership });
  const sources = new ChunkSources({ ...deps, region, gate, membership });
  const reader = new ChunkReader({ ...deps, region, sources, memory, chunks, cache: chunkCache });
  const buffers = new BufferBudget({ ...deps, maxBytes: deps.bufferBytes ?? Infinity });
  const content = new Content({ ...deps, reader, memory, buffers });
  const courtesy = new Courtesy(deps.clock);
  const completion = new Completion({
    ...deps,
    replica,
    chunks,
    reader,
    content,
    courtesy,
    bytesPerSecond: deps.repairTimings.fetchBytesPerSecond,
  });
  const handoffs = new Handoffs({ ...deps, chunks, gate, membership });
  const writer = new ChunkWriter({ ...deps, chunks, handoffs, gate, membership });
  const notices = new Notices({ ...deps, gate, membership });
  const objects = new Objects({
    ...deps,
    registers,
    strongReads,
    content,
    memory,
    writer,
    buffers,
    mustHope: (name) => outlook.mustHope(ring.quorum(name)),
    uploadMaxMs: deps.repairTimings.garbageGraceMs,
    onCommitted: (name, version) => {
      documents.outdated(name);
      notices.committed(name, version);
    },
  });
  const repair: Repair = new Repair({
    ...deps,
    chunks,
    content,
    reader,
    replica,
    registers,
    gate,
    membership,
    recovery,
    handoffs,
    courtesy,
    expire: (name, version) => objects.expire(name, version),
    onLacking: (name) => completion.lacks(name),
    timings: deps.repairTimings,
  });
  const gone = new GoneChunks({ ...deps, replica, chunks, content, gate, membership, courtesy });
  const takeover: Takeover = new Takeover({
    ...deps,
    layouts,
    replica,
    registers,
    gone,
    gate,
    membership,
    recovery,
    fetchedBytes: () => completion.fetchedBytes,
    lackingBytes: (counts) => completion.lackingBytes(counts),
  });
  const leavings: Leavings = new Leavings({
    ...deps,
    replica,
    reconciler: repair.reconciler,
    strongReads,
    content,
    chunks,
    gate,
  });
  const moved = (number: number) => takeover.progress(number);
  const steward = new Steward({ ...deps, decrees, gate, membership, moved });
  const administration = new Administration({
    ...deps,
    layouts,
    decrees,
    steward,
    membership,
    storedBytes: () => repair.garbage.storedBytes,
  });
  const listings = new Listings({ ...deps, gate, membership, strongReads, outlook, recovery, caughtUp });
  const documents: RingDocuments = new RingDocuments({ ...deps, objects, listings });
  const origin = deps.origin ?? NO_ORIGIN;
  const origins = new Origins({ ...deps, origin, objects, listings });
  const purges = new Purges({
    ...deps,
    memory,
    membership,
    gate,
    callOff: (purge) => origins.callOff(purge),
  });
  const prewarms = new Prewarms({
    ...deps,
    region,
    gate,
    reader,
    content,
    memory,
    listings,
    objects,
  });
  const routes = new Routes({ ...deps, membership, memory });
  const handlePeer = createPeerService({
    ...deps,
    membership,
    layouts,
    moved,
    replica,
    chunks,
    reader,
    memory,
    memories,
    handoffs,
    recovery,
    completion,
    digests: repair.digests,
    purges,
    outdated,
  });
  metrics.gauge("atoll_memory_cache_bytes", "Bytes in the memory cache", () => memory.usedBytes);
  metrics.gauge("atoll_chunks_in_use_bytes", "Bytes of chunks being sent", () => memory.inUseBytes);
  metrics.gauge("atoll_disk_cache_bytes", "Bytes in the disk cache", () => chunkCache.usedBytes);
  metrics.gauge(
    "atoll_layout_number",
    "Number of the layout in use; 0 before there is one",
    () => ring.layout?.number ?? 0,
  );
  return {
    memory,
    membership,
    layouts,
    administration,
    decrees,
    takeover,
    leavings,
    steward,
    gate,
    chunks,
    recovery,
    replica,
    registers,
    strongReads,
    reader,
    completion,
    writer,
    objects,
    repair,
    listings,
    routes,
    purges,
    documents,
    origins,
    prewarms,
    handlePeer,
    async load() {
      await memories.load();
      await recovery.load();
      await replica.load();
    },
  };
}
