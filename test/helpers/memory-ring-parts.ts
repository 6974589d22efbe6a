/** The parts of one node within a memory ring, each for itself: for tests of what `AtollNode` does not show. */
import { ChunkReader } from "../../src/node/chunk-reader.ts";
import { ChunkStore } from "../../src/node/chunk-store.ts";
import { ChunkWriter } from "../../src/node/chunk-writer.ts";
import { Completion } from "../../src/node/completion.ts";
import { Content } from "../../src/node/content.ts";
import { FoundingAcceptor } from "../../src/node/founding.ts";
import { Listings } from "../../src/node/list-objects.ts";
import { Membership } from "../../src/node/membership.ts";
import { MemoryCache } from "../../src/node/memory-cache.ts";
import { Objects } from "../../src/node/objects.ts";
import { PeerGate } from "../../src/node/peer-gate.ts";
import { createPeerService } from "../../src/node/peer-service.ts";
import { Registers } from "../../src/node/registers.ts";
import { Replica } from "../../src/node/replica.ts";
import { Ring } from "../../src/node/ring.ts";
import { StrongReads } from "../../src/node/strong-reads.ts";
import { MemoryRing, type RingOptions, urlOf } from "./memory-ring.ts";

/** By then even far nodes have answered a ping. */
const MEASURED_MS = 1_500;

export type Parts = ReturnType<typeof createParts>;

/** Begins a new life of the node and listens; nothing pings and nothing completes until the test says so. */
export function createParts(memoryRing: MemoryRing, id: string) {
  const ports = memoryRing.portsOf(id);
  const { catalog, clock, hashing, log, metrics, peers, random, chunkCache: cache } = ports;
  const ring = new Ring(id, memoryRing.layout);
  const self = () => memoryRing.card(id);
  const memory = new MemoryCache(8 << 20);
  const membership = new Membership({
    self,
    seeds: [],
    peers,
    clock,
    log,
    metrics,
    onHeard: () => {},
    onCards: () => {},
  });
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
  const held = (name: string) => memory.value(name);
  const strongReads = new StrongReads({
    ring,
    replica,
    gate,
    membership,
    registers,
    clock,
    metrics,
    held,
  });
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
  const onCommitted = () => {};
  const objects = new Objects({
    registers,
    strongReads,
    content,
    memory,
    writer,
    hashing,
    clock,
    onCommitted,
  });
  const listings = new Listings({ ring, catalog, gate, membership, strongReads, clock });
  const founding = new FoundingAcceptor(catalog);
  const handler = createPeerService({ ring, self, membership, founding, replica, chunks, memory, catalog });
  memoryRing.network.listen(urlOf(id), { id, handler, ringId: () => memoryRing.layout.ringId });
  return {
    id,
    memory,
    membership,
    gate,
    chunks,
    replica,
    registers,
    strongReads,
    reader,
    writer,
    objects,
    listings,
  };
}

export interface PartsRing {
  readonly ring: MemoryRing;
  readonly parts: Readonly<Record<string, Parts>>;
}

/** A ring of parts that believe each other alive, and know from one ping how far away each is. */
export async function openParts(options: RingOptions): Promise<PartsRing> {
  const ring = new MemoryRing(options);
  const parts: Record<string, Parts> = {};
  for (const id of options.ids) parts[id] = createParts(ring, id);
  for (const { id, membership } of Object.values(parts)) introduce(ring, membership, id);
  await ring.clock.advance(MEASURED_MS);
  return { ring, parts };
}

/** As if everybody had just pinged it; and it pings everybody. */
export function introduce(ring: MemoryRing, membership: Membership, id: string): void {
  for (const node of ring.layout.nodes) if (node.id !== id) membership.heard(ring.card(node.id), []);
  membership.announce();
}
