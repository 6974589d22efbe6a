/** What this node does for others: the other end of the peers' port. */
import { AtollError } from "../errors.ts";
import type { Catalog, NodeCard, PeerHandler, PeerReply, PeerRequest } from "../ports.ts";
import type { ChunkStore } from "./chunk-store.ts";
import type { FoundingAcceptor } from "./founding.ts";
import { scanCatalog } from "./list-objects.ts";
import type { Membership } from "./membership.ts";
import type { MemoryCache } from "./memory-cache.ts";
import type { Replica } from "./replica.ts";
import type { Ring } from "./ring.ts";

export interface PeerServiceDeps {
  ring: Ring;
  self: () => NodeCard;
  membership: Membership;
  founding: FoundingAcceptor;
  replica: Replica;
  chunks: ChunkStore;
  memory: MemoryCache;
  catalog: Catalog;
}

export function createPeerService(deps: PeerServiceDeps): PeerHandler {
  const { ring, membership, founding, replica, chunks, memory, catalog } = deps;

  return async (_from, request): Promise<PeerReply> => {
    switch (request.type) {
      case "ping":
        membership.heard(request.card, request.known);
        return { type: "pong", card: deps.self(), known: membership.alive() };
      case "layout":
        return { type: "layout", layout: ring.layout };
      case "found-prepare":
        refuseFounding();
        return { type: "found-prepare", reply: await founding.prepare(request.ballot) };
      case "found-accept":
        refuseFounding();
        return { type: "found-accept", reply: await founding.accept(request.ballot, request.layout) };
      case "prepare":
        return {
          type: "prepare",
          ...await replica.prepare(replicaOf(request), request.ballot, request.chunk),
        };
      case "accept":
        return {
          type: "accept",
          reply: await replica.accept(replicaOf(request), request.ballot, request.value),
        };
      case "read": {
        const { accepted, value } = await replica.read(replicaOf(request));
        const known = request.known;
        const held = known && known.counter === accepted.counter && known.node === accepted.node;
        return { type: "read", accepted, ...(!held && { value }) };
      }
      case "chunk-put":
        return { type: "chunk-put", stored: await chunks.put(request.id, request.bytes, request.computed) };
      case "chunk-get":
        return { type: "chunk-get", bytes: memory.chunk(request.id) ?? await chunks.get(request.id) };
      case "scan":
        return { type: "scan", ...await scanCatalog(catalog, request.range) };
      case "notice":
        for (const { name, version } of request.commits) memory.outdated(name, version);
        return { type: "notice" };
    }
  };

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
  }
}
