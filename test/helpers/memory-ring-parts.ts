/** The parts of one node within a memory ring, each for itself: for tests of what `AtollNode` does not show. */
import { Board } from "../../src/node/layout/board.ts";
import { DecreeAcceptor } from "../../src/node/layout/decree-acceptor.ts";
import type { Membership } from "../../src/node/membership.ts";
import { createParts as createNodeParts, type Parts as NodeParts } from "../../src/node/parts.ts";
import { DEFAULT_TIMINGS } from "../../src/node/repair/repair.ts";
import { Ring } from "../../src/node/ring.ts";
import { MemoryRing, type RingOptions, urlOf } from "./memory-ring.ts";

/** By then even far nodes have answered a ping. */
const MEASURED_MS = 1_500;

export type Parts = NodeParts & { readonly id: string; readonly ring: Ring };

/** Begins a new life of the node and listens; nothing pings until the test says so, and nothing is repaired. */
export function createParts(memoryRing: MemoryRing, id: string): Parts {
  const ports = memoryRing.portsOf(id);
  const ring = new Ring(id, memoryRing.layout);
  const parts = createNodeParts({
    ...ports,
    ring,
    self: () => memoryRing.card(id),
    decree: new DecreeAcceptor(ports.catalog, () => 1),
    board: new Board({ board: undefined, ring, adopt: () => Promise.resolve(), log: ports.log }),
    seeds: () => [],
    cards: [],
    memoryCacheBytes: 8 << 20,
    maxObjectBytes: 1 << 30,
    repairTimings: DEFAULT_TIMINGS,
    joinAfterMs: undefined,
    onCards: () => {},
  });
  // Peers that are introduced have returned, in its eyes.
  parts.repair.stop();
  memoryRing.network.listen(urlOf(id), {
    id,
    handler: parts.handlePeer,
    ringId: () => memoryRing.layout.ringId,
  });
  return { id, ring, ...parts };
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
