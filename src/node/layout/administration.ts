/** What an operator sees of the ring and may do to it: looked at first, and refused where more than asked would be lost. */
import { type Layout, type LayoutNode, type Table } from "../../core/layout.ts";
import { changedLayout, type LayoutChange, type Planned } from "../../core/layout-change.ts";
import { compareTables, type TableChange } from "../../core/layout-comparison.ts";
import { type Move, MoveEstimate } from "../../core/move-estimate.ts";
import { majorityOf } from "../../core/quorum.ts";
import { AtollError } from "../../errors.ts";
import type { Clock, Log, NodeCard } from "../../ports.ts";
import type { Membership } from "../membership.ts";
import type { Ring } from "../ring.ts";
import type { Decrees } from "./decrees.ts";
import type { Layouts } from "./layouts.ts";
import { recoveredLayout } from "../../core/layout-recovery.ts";
import { type Objection, objectionTo } from "./objections.ts";
import { layoutNode, type Steward } from "./steward.ts";

/** As an operator says it: nodes by their IDs. */
export interface RingChange extends Omit<LayoutChange, "join" | "replace"> {
  readonly join?: readonly string[] | undefined;
  readonly replace?: readonly { readonly from: string; readonly to: string }[] | undefined;
  /** The words that were asked for. */
  readonly confirm?: string | undefined;
}

export interface NodeStatus extends LayoutNode {
  readonly member: boolean;
  readonly voter: boolean;
  readonly state: "joining" | "alive" | "suspect" | "dead" | "leaving" | "gone";
  readonly peerUrl: string;
  readonly publicUrl: string;
  readonly rttMs: number | null;
  readonly partitions: { readonly before: number; readonly after: number };
  /** Has all that a moving layout gives it. */
  readonly synced: boolean;
}

export interface RingStatus {
  readonly self: string;
  readonly ringId: string | null;
  readonly layout: {
    readonly number: number;
    readonly state: "settled" | "moving" | "none";
    readonly replicas: number;
    readonly voters: readonly string[];
  };
  readonly nodes: readonly NodeStatus[];
  readonly move: Move | null;
}

export interface RingPlan {
  readonly base: number;
  readonly change: RingChange;
  readonly nodes: readonly (TableChange["nodes"][number] & { readonly zone: string })[];
  readonly replicasMoved: number;
  readonly partitionsTouched: number;
  /** Those. */
  readonly partitions: TableChange["touched"];
  /** About; null where this node has not counted yet what it holds. */
  readonly bytesToMove: number | null;
  readonly balance: { readonly before: number; readonly after: number };
  readonly zoneSpread: { readonly wanted: number; readonly before: number; readonly after: number };
  readonly warnings: readonly string[];
}

export type Applied =
  | { readonly kind: "applied"; readonly layout: number }
  /** Another layout is in use than the one that was looked at. */
  | { readonly kind: "changed"; readonly detail: string; readonly plan: RingPlan | undefined }
  /** `confirm`: the words that make it go through, where any do. */
  | { readonly kind: "refused"; readonly detail: string; readonly confirm?: string | undefined };

export interface AdministrationDeps {
  ring: Ring;
  layouts: Layouts;
  decrees: Decrees;
  steward: Steward;
  membership: Membership;
  clock: Clock;
  log: Log;
  /** Bytes of chunks here, or undefined before they were counted. */
  storedBytes: () => number | undefined;
}

export class Administration {
  readonly #deps: AdministrationDeps;
  /** A table takes long to compute, and what is applied was as a rule planned a moment before. */
  #last: { readonly layout: Layout; readonly text: string; readonly planned: Planned } | undefined;
  readonly #estimate = new MoveEstimate();

  constructor(deps: AdministrationDeps) {
    this.#deps = deps;
  }

  async status(): Promise<RingStatus> {
    const { ring, steward, clock } = this.#deps;
    const { layout } = ring;
    const progress = layout?.from ? await steward.progress() : undefined;
    const move = layout && progress
      ? this.#estimate.of(layout.number, [...progress.values()], clock.monotonicMs())
      : null;
    return {
      self: ring.self,
      ringId: layout?.ringId ?? null,
      layout: {
        number: ring.number,
        state: layout ? layout.from ? "moving" : "settled" : "none",
        replicas: layout?.replicas ?? 0,
        voters: layout?.voters ?? [],
      },
      nodes: this.#nodes(layout, (id) => progress ? progress.get(id)?.done === true : true),
      move,
    };
  }

  /** Throws `invalid-argument` for what cannot be. */
  plan(change: RingChange): RingPlan {
    const layout = this.#layout();
    const planned = this.#planned(layout, change);
    if (planned.kind === "refused") throw new AtollError("invalid-argument", planned.reason);
    return this.#summary(layout, change, planned);
  }

  /** `base`: the number of the layout that was looked at. Rejects with `no-quorum` when the voters do not answer. */
  async apply(base: number, change: RingChange): Promise<Applied> {
    const { decrees, log } = this.#deps;
    const layout = this.#layout();
    // On an older one than was looked at there is nothing to object to: it is refused as it is.
    const refusal = layout.number === base
      ? this.#objection(layout, change, this.#planned(layout, change))
      : undefined;
    if (refusal && change.confirm !== refusal.confirm) return { kind: "refused", ...refusal };
    const decided = await decrees.propose((current) =>
      current.number === base
        ? this.#planned(current, change)
        : { kind: "refused", reason: `wanted layout ${base}, got layout ${current.number}` }
    );
    if (decided.kind === "decided") {
      log.info("the ring was changed", { layout: decided.layout.number, change: JSON.stringify(change) });
      return { kind: "applied", layout: decided.layout.number };
    }
    if (decided.kind === "nothing") return { kind: "applied", layout: this.#deps.ring.number };
    if (this.#deps.ring.number === base) return { kind: "refused", detail: decided.reason };
    const again = this.#planned(this.#layout(), change);
    // By this very request, whose layout others carried on and past, or an earlier copy of it: asking twice is no fault.
    if (again.kind === "nothing") return { kind: "applied", layout: this.#deps.ring.number };
    const plan = again.kind === "planned" ? this.#summary(this.#layout(), change, again) : undefined;
    return { kind: "changed", detail: decided.reason, plan };
  }

  /**
   * Goes on with the nodes that are left, without the voters: only for a ring that has lost a majority of them for good.
   * What only the others held is lost; should they still be there, there are two rings of one ID that disagree.
   */
  async forceRecover(
    survivors: readonly string[] | undefined,
    confirm: string | undefined,
  ): Promise<Applied> {
    const { ring, layouts, membership, log } = this.#deps;
    const layout = this.#layout();
    const alive = (id: string): boolean => id === ring.self || membership.isAlive(id);
    const voting = layout.voters.filter(alive).length;
    if (voting >= majorityOf(layout.voters.length)) {
      const detail =
        `wanted a ring whose voters cannot decide, got ${voting} of ${layout.voters.length} that ` +
        "answer: it is changed in the usual way";
      return { kind: "refused", detail };
    }
    const left = layout.nodes.filter(({ id }) => survivors ? survivors.includes(id) : alive(id));
    const silent = survivors?.find((id) => !left.some((node) => node.id === id) || !alive(id));
    if (silent !== undefined) {
      return { kind: "refused", detail: `wanted members that are alive as survivors, got ${silent}` };
    }
    if (left.length === 0) return { kind: "refused", detail: "wanted survivors, got none" };
    const { next, lost } = recoveredLayout(layout, left);
    const words = `lose ${lost} partitions`;
    if (confirm !== words) {
      const gone = layout.nodes.filter((node) => !left.includes(node)).map(({ id }) => id).join(" ");
      return {
        kind: "refused",
        detail:
          `this gives up on ${
            gone || "nobody"
          }: ${lost} of ${layout.table.length} partitions have no replica ` +
          "among the survivors, and newer writes of others may be lost",
        confirm: words,
      };
    }
    await layouts.adopt(next);
    log.error("the ring was recovered by force", { layout: next.number, lostPartitions: lost });
    return { kind: "applied", layout: next.number };
  }

  #layout(): Layout {
    const { layout } = this.#deps.ring;
    if (!layout) throw new AtollError("no-quorum", "this node does not belong to a ring yet");
    return layout;
  }

  #planned(layout: Layout, change: RingChange): Planned {
    const { membership } = this.#deps;
    const joining = [...change.join ?? [], ...(change.replace ?? []).map(({ to }) => to)];
    const own = membership.own();
    const cardOf = (id: string): NodeCard | undefined => id === own.id ? own : membership.card(id);
    const unknown = joining.find((id) => !cardOf(id));
    if (unknown !== undefined) {
      return { kind: "refused", reason: `wanted nodes that this one has heard of, got ${unknown}` };
    }
    // The first layout of its life must not name it: by that it is told from a member that has lost its disk, and would
    // wait for others to tell it what it never knew, in a ring of two for ever.
    const stranger = joining.find((id) => cardOf(id)!.ringId !== layout.ringId);
    if (stranger !== undefined) {
      return {
        kind: "refused",
        reason: `wanted nodes that know this ring, got ${stranger}, which does not yet`,
      };
    }
    const node = (id: string): LayoutNode => layoutNode(cardOf(id)!);
    const resolved: LayoutChange = {
      ...change,
      join: change.join?.map(node),
      replace: change.replace?.map(({ from, to }) => ({ from, to: node(to) })),
    };
    const text = JSON.stringify(resolved);
    if (this.#last?.layout !== layout || this.#last.text !== text) {
      this.#last = { layout, text, planned: changedLayout(layout, resolved) };
    }
    return this.#last.planned;
  }

  /** Why it must be said twice, if it must. */
  #objection(layout: Layout, change: RingChange, planned: Planned): Objection | undefined {
    const { ring, membership } = this.#deps;
    const next = planned.kind === "planned" ? planned.layout : undefined;
    return objectionTo(layout, next, change, (id) => id === ring.self || membership.isAlive(id));
  }

  #summary(before: Layout, change: RingChange, planned: Planned): RingPlan {
    const after = planned.kind === "planned" ? planned.layout : before;
    const compared = compareTables(before, after);
    const stored = this.#deps.storedBytes();
    const held = compared.nodes.find(({ id }) => id === this.#deps.ring.self)?.before ?? 0;
    const zones = new Set(after.nodes.filter(({ weight }) => weight > 0).map(({ zone }) => zone)).size;
    const copies = after.table[0]!.length;
    const zoneOf = new Map([...before.nodes, ...after.nodes].map(({ id, zone }) => [id, zone]));
    return {
      base: before.number,
      change,
      nodes: compared.nodes.map((node) => ({ ...node, zone: zoneOf.get(node.id)! })),
      replicasMoved: compared.replicasMoved,
      partitionsTouched: compared.touched.length,
      partitions: compared.touched,
      bytesToMove: stored === undefined || held === 0
        ? null
        : Math.round((stored / held) * compared.replicasMoved),
      balance: { before: compared.before.fullest, after: compared.after.fullest },
      zoneSpread: {
        wanted: Math.min(copies, zones),
        before: compared.before.spread,
        after: compared.after.spread,
      },
      warnings: [
        ...(copies < after.replicas
          ? [`wanted ${after.replicas} copies, got ${copies}: no more nodes hold data`]
          : []),
        ...(zones < copies ? [`wanted ${copies} zones, got ${zones}: losing one loses several copies`] : []),
        ...(before.from ? ["replicas are moving already: the move gets another aim"] : []),
        ...[this.#objection(before, change, planned)?.detail ?? []].flat(),
      ],
    };
  }

  #nodes(layout: Layout | undefined, isSynced: (id: string) => boolean): NodeStatus[] {
    const { ring, membership } = this.#deps;
    const cards = new Map([...membership.cards()].map((card) => [card.id, card]));
    const nodes = new Map((layout?.nodes ?? []).map((node) => [node.id, node]));
    const own = membership.own();
    cards.set(own.id, own);
    const before = countsOf(layout, layout?.from ?? layout?.table);
    const after = countsOf(layout, layout?.table);
    return [...new Set([...nodes.keys(), ...cards.keys()])].sort().map((id) => {
      const card = cards.get(id);
      const node = nodes.get(id) ?? (card ? { ...layoutNode(card), weight: 0 } : undefined);
      const isHere = id === ring.self;
      const isAlive = isHere || membership.isAlive(id);
      return {
        id,
        region: node?.region ?? "",
        zone: node?.zone ?? "",
        weight: node?.weight ?? 0,
        member: nodes.has(id),
        voter: layout?.voters.includes(id) ?? false,
        state: stateOf(isHere ? "alive" : membership.state(id) ?? "suspect", nodes.has(id)),
        peerUrl: card?.peerUrl ?? "",
        publicUrl: card?.publicUrl ?? "",
        rttMs: isHere ? 0 : isAlive ? membership.rttMs(id) : null,
        partitions: { before: before.get(id) ?? 0, after: after.get(id) ?? 0 },
        synced: isSynced(id),
      };
    });
  }
}

function countsOf(layout: Layout | undefined, table: Table | undefined): Map<string, number> {
  const counts = new Map<string, number>();
  for (const row of table ?? []) {
    for (const index of row) {
      const { id } = layout!.nodes[index]!;
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
  }
  return counts;
}

/** Whoever is there and no member of the layout is on its way in. */
function stateOf(state: NodeStatus["state"], isMember: boolean): NodeStatus["state"] {
  return state === "alive" && !isMember ? "joining" : state;
}
