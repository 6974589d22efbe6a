/**
 * Two nodes under one ID: a data directory that was copied, an ATOLL_NODE_ID that was. Their votes would count for each
 * other's, so whoever comes second is refused for as long as the first one answers. A node that merely comes back at another
 * address is let in as soon as its former self is seen to be gone.
 */
import { AtollError, isAtollError } from "../errors.ts";
import type { Log, NodeCard } from "../ports.ts";

export class Namesakes {
  readonly #self: () => NodeCard;
  readonly #log: Log;
  /** By ID, the incarnation that was last complained of: it tries again each second. */
  readonly #told = new Map<string, string>();
  #isRefused = false;

  constructor({ self, log }: { self: () => NodeCard; log: Log }) {
    this.#self = self;
    this.#log = log;
  }

  /** `living`: whoever is known under that ID, if it answers. Throws `id-taken` when that is not the one that comes. */
  refuse(card: NodeCard, living: NodeCard | undefined, onRefused: () => void): void {
    const self = this.#self();
    const holder = card.id === self.id ? self : living;
    if (!holder || holder.incarnation === card.incarnation) return;
    // At one address there cannot be two: it was started anew.
    if (holder.peerUrl === card.peerUrl) return;
    if (this.#told.get(card.id) !== card.incarnation) {
      this.#told.set(card.id, card.incarnation);
      const fields = { peer: card.id, peerUrl: holder.peerUrl, refusedPeerUrl: card.peerUrl };
      this.#log.error("two nodes have one ID: the second is refused while the first answers", fields);
    }
    onRefused();
    throw new AtollError(
      "id-taken",
      `wanted an ID of its own, got ${card.id}, which lives at ${holder.peerUrl}`,
    );
  }

  /** What became of a ping of this node's own: says so when it is this one that comes second. Throws it again. */
  pinged(error: unknown): never {
    if (isAtollError(error, "id-taken") && !this.#isRefused) {
      this.#isRefused = true;
      this.#log.error("this node is refused: set another ATOLL_NODE_ID, or end the other node", {
        reason: error.message,
      });
    }
    throw error;
  }
}
