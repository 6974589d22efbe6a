/**
 * Which layout this node goes by: adopted only when it is decided, durable before it is used, never an older one again.
 * Who is behind fetches the newer one from whoever told of it.
 */
import { freshPartitions } from "../../core/layout-continuity.ts";
import { type Layout, layoutProblem, partitionsOf } from "../../core/layout.ts";
import { AtollError, messageOf } from "../../errors.ts";
import type { Catalog, Log, NodeCard, Peers } from "../../ports.ts";
import { KeyedQueue } from "../keyed-queue.ts";
import { partitionNames } from "../repair/slot-rows.ts";
import type { Recovery } from "../repair/recovery.ts";
import type { Replica } from "../replica.ts";
import type { Ring } from "../ring.ts";
import type { DecreeAcceptor } from "./decree-acceptor.ts";

const DOCUMENT = "layout";
const FETCH_TIMEOUT_MS = 2_000;

export interface LayoutsDeps {
  ring: Ring;
  catalog: Catalog;
  peers: Peers;
  decree: DecreeAcceptor;
  /** Where a peer is reached, as far as that is known. */
  cardOf: (id: string) => NodeCard | undefined;
  replica: () => Replica;
  recovery: () => Recovery;
  log: Log;
  /** It is in use from now on. */
  onAdopted: (layout: Layout) => void;
}

export class Layouts {
  readonly #deps: LayoutsDeps;
  readonly #queue = new KeyedQueue();
  #fetching: Promise<void> | undefined;
  #drained: Promise<void> = Promise.resolve();

  constructor(deps: LayoutsDeps) {
    this.#deps = deps;
  }

  /** One that was decided; what is not newer changes nothing. Rejects with `peer-garbage` for what is no layout. */
  adopt(layout: Layout): Promise<void> {
    return this.#queue.run("", async () => {
      const { ring, catalog, decree, log } = this.#deps;
      const problem = layoutProblem(layout);
      if (problem !== undefined) throw new AtollError("peer-garbage", `not a layout: ${problem}`);
      if (layout.number <= ring.number) return;
      if (ring.layout && ring.layout.ringId !== layout.ringId) {
        const wanted = `wanted a layout of ring ${ring.layout.ringId}, got one of ring ${layout.ringId}`;
        throw new AtollError("wrong-ring", wanted);
      }
      const recovery = this.#deps.recovery();
      // A newcomer goes by some layout that does not name it before one does. Whose disk knows of none, and nothing of having
      // founded the ring, has lost what it voted.
      const isMember = layout.nodes.some((node) => node.id === ring.self);
      const isLost = !ring.layout && isMember && layout.nodes.length > 1 && !decree.hasAccepted(layout);
      await recovery.relearning(async () => {
        const lost = isLost ? partitionsOf(layout, ring.self) : await this.#stillLost(layout);
        await catalog.commit({
          documents: [
            { key: DOCUMENT, text: JSON.stringify(layout) },
            recovery.document(lost),
            ...(isLost ? [decree.forgotten()] : []),
          ],
        });
        return lost;
      });
      ring.adopt(layout);
      this.#drained = this.#deps.replica().drained();
      log.info("layout adopted", {
        ringId: layout.ringId,
        layout: layout.number,
        nodes: layout.nodes.length,
        moving: layout.from !== undefined,
        member: isMember,
      });
      this.#deps.onAdopted(layout);
    });
  }

  /**
   * Throws away what lies here of partitions that the layout makes this node a new replica of. Resolves with those it has
   * no vote in until it has learned anew what the others hold.
   */
  async #stillLost(layout: Layout): Promise<number[]> {
    const { ring, catalog, decree } = this.#deps;
    const [recovery, replica] = [this.#deps.recovery(), this.#deps.replica()];
    if (!ring.layout) return [];
    const fresh = freshPartitions(ring.layout, layout, ring.self);
    // By the layout that goes it may still have a vote on some of them.
    const voting = fresh.filter((partition) => ring.replicasOfPartition(partition).includes(ring.self));
    if (voting.length > 0) await recovery.suspend(voting);
    for (const partition of fresh) {
      for await (const name of partitionNames(catalog, partition)) await replica.discard(name);
    }
    const isFresh = new Set(fresh);
    const lost = recovery.lost.filter((partition) => !isFresh.has(partition));
    // Its lost disk may have known this layout, and voted by it.
    return decree.hasForgotten || lost.length > 0 ? [...lost, ...fresh] : lost;
  }

  /** Resolves when all votes that were given by earlier layouts are durable. */
  drained(): Promise<void> {
    return this.#drained;
  }

  /** A card was seen: its layout, if that is newer, is fetched. */
  heard(card: NodeCard): void {
    const { ring } = this.#deps;
    if (card.ringId === undefined || card.layoutNumber <= ring.number) return;
    if (ring.layout && ring.layout.ringId !== card.ringId) return;
    this.#fetch(card);
  }

  /** That peer goes by a newer layout than this node. */
  behind(id: string): void {
    const card = this.#deps.cardOf(id);
    if (card) this.#fetch(card);
  }

  /** Resolves when no newer layout is being fetched, however that went. */
  caughtUp(): Promise<void> {
    return this.#fetching ?? Promise.resolve();
  }

  /** Fetches from `id` unless this node goes by that layout already. Resolves however that went. */
  async atLeast(number: number, id: string): Promise<void> {
    if (this.#deps.ring.number >= number) return;
    this.behind(id);
    await this.caughtUp();
  }

  #fetch(card: NodeCard): void {
    this.#fetching ??= this.#fetchFrom(card).finally(() => (this.#fetching = undefined));
  }

  async #fetchFrom(card: NodeCard): Promise<void> {
    const { peers, log } = this.#deps;
    try {
      const { layout } = await peers.call(card.peerUrl, { type: "layout" }, {
        timeoutMs: FETCH_TIMEOUT_MS,
        expect: card.id,
      });
      if (layout) await this.adopt(layout);
    } catch (error) {
      log.warn("the layout could not be fetched yet", { peer: card.id, reason: messageOf(error) });
    }
  }
}

/** The layout that was adopted last, if any was. Throws `data-dir` for what cannot be read. */
export async function loadLayout(catalog: Catalog): Promise<Layout | undefined> {
  const text = await catalog.document(DOCUMENT);
  if (text === undefined) return undefined;
  const unreadable = (why: string, cause?: unknown) =>
    new AtollError("data-dir", `the layout on disk cannot be read: ${why}`, { cause });
  let layout: Layout;
  let problem: string | undefined;
  try {
    layout = JSON.parse(text) as Layout;
    // What is no layout at all, a null or a table that is none, throws there.
    problem = layoutProblem(layout);
  } catch (error) {
    throw unreadable(messageOf(error), error);
  }
  if (problem !== undefined) throw unreadable(problem);
  return layout;
}
