/**
 * The layout on a board beside the ring, where there is one: whoever goes by a layout sees to it that it is shown, whoever
 * is behind learns it from there. It decides nothing, so one that is away, wiped or older than the ring does no harm.
 *
 * A node without a layout founds no ring as long as the board may show one. It takes a layout from there only if that names
 * it among others: then it is a member whose disk was lost, and has no vote until it has resynced. A newcomer waits for a
 * node of the ring: by a layout from before it was a member, one that lost its disk would take itself for new.
 */
import type { Layout } from "../../core/layout.ts";
import { messageOf } from "../../errors.ts";
import type { LayoutBoard, Log } from "../../ports.ts";
import type { Ring } from "../ring.ts";

export interface BoardDeps {
  /** None: nothing is shown, and nothing forbids to found a ring. */
  board: LayoutBoard | undefined;
  ring: Ring;
  adopt: (layout: Layout) => Promise<void>;
  log: Log;
}

export class Board {
  readonly #deps: BoardDeps;
  #isEmpty = false;
  #hasToldOfWaiting = false;

  constructor(deps: BoardDeps) {
    this.#deps = deps;
  }

  /** Whether it is known that no ring is shown there. */
  get mayFound(): boolean {
    return !this.#deps.board || this.#isEmpty;
  }

  start(): void {
    const { board, ring } = this.#deps;
    board?.start((shown) => this.#shown(shown));
    if (ring.layout) this.publish(ring.layout);
  }

  stop(): void {
    void this.#deps.board?.stop();
  }

  /** It is in use here, durably. */
  publish(layout: Layout): void {
    this.#deps.board?.publish(layout);
  }

  #shown(shown: Layout | "unreadable" | undefined): void {
    const { ring, adopt, log } = this.#deps;
    this.#isEmpty = shown === undefined;
    if (shown === undefined) return;
    if (shown !== "unreadable" && this.#isForUs(shown)) {
      return void adopt(shown).catch((error: unknown) =>
        log.warn("the layout on the board could not be adopted", {
          layout: shown.number,
          reason: messageOf(error),
        })
      );
    }
    if (ring.layout || this.#hasToldOfWaiting) return;
    this.#hasToldOfWaiting = true;
    log.info("a ring is shown on the board: this node founds none and waits for one of its nodes", {
      ringId: shown === "unreadable" ? "unreadable" : shown.ringId,
    });
  }

  #isForUs({ ringId, number, nodes }: Layout): boolean {
    const { ring } = this.#deps;
    if (ring.layout) return ring.layout.ringId === ringId && number > ring.number;
    return nodes.length > 1 && nodes.some(({ id }) => id === ring.self);
  }
}
