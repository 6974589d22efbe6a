/** What this node does for others: the other end of the peers' port. */
import type { Name } from "../core/names.ts";
import { partitionOf } from "../core/partitions.ts";
import { AtollError } from "../errors.ts";
import type {
  Catalog,
  MoveProgress,
  NodeCard,
  PeerHandler,
  PeerReply,
  PeerRequest,
  ScanRange,
} from "../ports.ts";
import type { ChunkReader } from "./chunk-reader.ts";
import type { ChunkStore } from "./chunk-store.ts";
import type { Completion } from "./completion.ts";
import type { Board } from "./layout/board.ts";
import type { DecreeAcceptor } from "./layout/decree-acceptor.ts";
import type { Layouts } from "./layout/layouts.ts";
import { scanCatalog } from "./list-objects.ts";
import type { Membership } from "./membership.ts";
import type { MemoryCache } from "./memory-cache.ts";
import type { Digests } from "./repair/digests.ts";
import type { Handoffs } from "./repair/handoffs.ts";
import type { Memories } from "./repair/memories.ts";
import type { Recovery } from "./repair/recovery.ts";
import { slotPage, statesPage } from "./repair/slot-rows.ts";
import type { Purges } from "./purges.ts";
import type { Replica } from "./replica.ts";
import type { Ring } from "./ring.ts";

/** The number of a ring's first layout. */
const FIRST = 1;
/** What counts only among nodes that go by one and the same layout. */
const VOTES: ReadonlySet<PeerRequest["type"]> = new Set(["prepare", "accept", "read", "scan", "forget"]);

export interface PeerServiceDeps {
  ring: Ring;
  self: () => NodeCard;
  membership: Membership;
  decree: DecreeAcceptor;
  board: Board;
  layouts: Layouts;
  /** How far this node is with taking over what that layout gives it. */
  moved: (number: number) => MoveProgress;
  replica: Replica;
  chunks: ChunkStore;
  reader: ChunkReader;
  memory: MemoryCache;
  catalog: Catalog;
  memories: Memories;
  handoffs: Handoffs;
  digests: Digests;
  purges: Purges;
  /** A newer version of it was committed. */
  outdated: (name: Name, version: number) => void;
  recovery: Recovery;
  completion: Completion;
}

export function createPeerService(deps: PeerServiceDeps): PeerHandler {
  const {
    ring,
    membership,
    decree,
    layouts,
    replica,
    chunks,
    catalog,
    memories,
    handoffs,
    digests,
    recovery,
  } = deps;

  return async (from, request): Promise<PeerReply> => {
    const isVote = VOTES.has(request.type);
    // Who says nothing of layouts knows of one only.
    const layout = from.layout ?? (isVote ? FIRST : 0);
    if (layout > ring.number) await layouts.atLeast(layout, from.node);
    if (isVote) ring.mustGoBy(layout);
    else if (layout > ring.number) {
      throw new AtollError(
        "wrong-layout",
        `wanted layout ${ring.number}, got ${layout}, which is not here yet`,
      );
    }
    switch (request.type) {
      case "ping":
        membership.heard(request.card, request.known ?? [], request.news);
        return { type: "pong", card: deps.self(), news: membership.newsFor(request.card.id) };
      case "probe":
        return { type: "probe", ...await membership.probe(from.node, request.target, request.news) };
      case "members":
        return { type: "members", ...membership.page(request.after) };
      case "layout":
        return { type: "layout", layout: ring.layout };
      case "decree-prepare":
        if (request.number === FIRST) refuseFounding();
        return {
          type: "decree-prepare",
          reply: await decree.prepare(request.number, request.ballot),
          testimony: memories.testimony(),
        };
      case "decree-accept":
        if (request.layout.number === FIRST) refuseFounding();
        return {
          type: "decree-accept",
          reply: await decree.accept(request.ballot, request.layout),
          testimony: memories.testimony(),
        };
      case "decree-state":
        return { type: "decree-state", state: decree.state };
      case "moved":
        return { type: "moved", progress: deps.moved(request.number) };
      case "prepare":
        return {
          type: "prepare",
          ...await replica.prepare(replicaOf(request), request.ballot, layout, request.chunk),
          testimony: memories.testimony(),
        };
      case "accept":
        return {
          type: "accept",
          reply: await replica.accept(
            replicaOf(request),
            request.ballot,
            request.value,
            layout,
            request.chunk,
          ),
          testimony: memories.testimony(),
        };
      case "read": {
        const { accepted, value } = await replica.read(replicaOf(request), layout);
        const known = request.known;
        const held = known && known.counter === accepted.counter && known.node === accepted.node;
        return { type: "read", accepted, ...(!held && { value }), testimony: memories.testimony() };
      }
      case "chunk-put": {
        const stored = await chunks.put(request.id, request.bytes, request.computed);
        if (request.owed) await handoffs.hold(request.owed.node, request.owed.name, stored);
        return { type: "chunk-put", stored };
      }
      case "chunk-get":
        return { type: "chunk-get", bytes: await deps.reader.give(request, from.trace) };
      case "chunks-held":
        return { type: "chunks-held", held: await Promise.all(request.ids.map((id) => chunks.keeps(id))) };
      case "chunks-wanted":
        // Of a damaged register it is asked, and refused, only if it is incomplete here.
        recovery.mustRememberAllPartitions();
        return { type: "chunks-wanted", wanted: await deps.completion.wants(request.ids) };
      case "scan":
        return await scan(request.range, layout);
      case "notice":
        for (const { name, version } of request.commits) deps.outdated(name, version);
        return { type: "notice" };
      case "purge":
        return { type: "purge", purged: deps.purges.here(request.what) };
      case "digests":
        return {
          type: "digests",
          digests: request.partitions.map((partition) => digests.ofPartition(partition)),
        };
      case "slot-digests":
        return { type: "slot-digests", digests: digests.ofSlots(request.partition) };
      case "slot-entries": {
        const { rows, next } = await slotPage(catalog, request.slot, request.after);
        const held = rows.filter(({ state }) => state.value !== null);
        return {
          type: "slot-entries",
          entries: held.map(({ name, state }) => ({ name, accepted: state.accepted })),
          next,
        };
      }
      case "slot-states": {
        recovery.mustRememberPartitions(request.partitions);
        await layouts.drained();
        const page = await statesPage(
          catalog,
          replica,
          request,
          (partition) => recovery.damagedAmong((name) => partitionOf(name) === partition),
        );
        // What was lost while it was read was told of no more.
        recovery.mustRememberPartitions(request.partitions);
        return { type: "slot-states", ...page };
      }
      case "state":
        return { type: "state", state: await replica.state(replicaOf(request)) };
      case "remember":
        return { type: "remember", known: await memories.witness(from.node, request.memory) };
      case "forget":
        return {
          type: "forget",
          forgotten: await replica.forget(replicaOf(request), request.ballot, layout),
        };
    }
  };

  async function scan(range: ScanRange, layout: number): Promise<PeerReply> {
    const page = await scanCatalog(catalog, range, recovery);
    ring.mustGoBy(layout); // still: by another the others may have gone on meanwhile
    return { type: "scan", ...page };
  }

  /** A register lives on its replicas alone: anywhere else its votes would count for nothing, or worse. */
  function replicaOf(request: Extract<PeerRequest, { name: string }>): string {
    if (!ring.isReplica(request.name)) {
      throw new AtollError("peer-refused", "this node is no replica of that name in its layout");
    }
    return request.name;
  }

  function refuseFounding(): void {
    if (ring.layout) {
      throw new AtollError("peer-refused", `this node belongs to ring ${ring.layout.ringId} already`);
    }
    if (!deps.board.mayFound) {
      throw new AtollError("peer-refused", "there may be a ring already, or this node has yet to look");
    }
  }
}
