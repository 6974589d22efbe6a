/**
 * What this node's disk is called, and which disks of others it knows to be the newest; see `Testimony` in core/quorum.ts.
 * Both are durable before anybody is told.
 */
import { NODES_MAX } from "../../core/layout-node.ts";
import { type Ballot, compareBallots, NO_BALLOT, sameBallot } from "../../core/ballot.ts";
import type { Testimony } from "../../core/quorum.ts";
import type { Catalog } from "../../ports.ts";
import { KeyedQueue } from "../keyed-queue.ts";

const DOCUMENT = "memories";

interface State {
  readonly own: Ballot;
  readonly witnessed: readonly { readonly node: string; readonly memory: Ballot }[];
}

export class Memories {
  readonly #catalog: Catalog;
  readonly #members: () => readonly string[];
  readonly #queue = new KeyedQueue();
  #state: State = { own: NO_BALLOT, witnessed: [] };

  /** `members`: of the ring, as it is now. */
  constructor(catalog: Catalog, members: () => readonly string[]) {
    this.#catalog = catalog;
    this.#members = members;
  }

  async load(): Promise<void> {
    const text = await this.#catalog.document(DOCUMENT);
    if (text !== undefined) this.#state = JSON.parse(text) as State;
  }

  get own(): Ballot {
    return this.#state.own;
  }

  /** To go with every vote; undefined as long as no disk was ever lost. */
  testimony(): Testimony | undefined {
    const { own, witnessed } = this.#state;
    if (witnessed.length === 0 && sameBallot(own, NO_BALLOT)) return undefined;
    if (witnessed.length <= NODES_MAX) return { memory: own, witnessed };
    // In a long life more nodes may have come and gone than one message holds: no vote is any but a member's.
    const members = new Set(this.#members());
    return { memory: own, witnessed: witnessed.filter(({ node }) => members.has(node)) };
  }

  /** A node says what its disk is called. Resolves with the newest name that is known, durably. */
  witness(node: string, memory: Ballot): Promise<Ballot> {
    return this.#queue.run("", async () => {
      const known = this.#state.witnessed.find((entry) => entry.node === node)?.memory ?? NO_BALLOT;
      if (compareBallots(memory, known) <= 0) return known;
      const others = this.#state.witnessed.filter((entry) => entry.node !== node);
      await this.#save({ ...this.#state, witnessed: [...others, { node, memory }] });
      return memory;
    });
  }

  /** From now on this node's votes speak from that disk. */
  rename(own: Ballot): Promise<void> {
    return this.#queue.run("", () => this.#save({ ...this.#state, own }));
  }

  async #save(state: State): Promise<void> {
    await this.#catalog.commit({ documents: [{ key: DOCUMENT, text: JSON.stringify(state) }] });
    this.#state = state;
  }
}
