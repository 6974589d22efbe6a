/**
 * What a layout becomes by a change of its members: moving, until the new replicas have what the old ones had, then
 * settled. Whoever proposes a layout computes it by this, and the document is what all go by.
 */
import {
  type Layout,
  LAYOUT_FORMAT,
  type LayoutNode,
  replicaSince,
  sameLayout,
  sameMembers,
  setsOfPartition,
  type Table,
} from "./layout.ts";
import { NODES_MAX } from "./layout-node.ts";
import { computeTable } from "./layout-table.ts";
import { chooseVoters } from "./layout-voters.ts";
import { hasMajority } from "./quorum.ts";

export const REPLICAS_MAX = 7;

/** Everything at once; what is not named stays. */
export interface LayoutChange {
  readonly join?: readonly LayoutNode[] | undefined;
  /** These are to hold nothing, and stay members; alive, they hand over what they have. */
  readonly drain?: readonly string[] | undefined;
  /** These are no members any more once the others have what they had. */
  readonly remove?: readonly string[] | undefined;
  /** The second takes the first one's place. */
  readonly replace?: readonly { readonly from: string; readonly to: LayoutNode }[] | undefined;
  readonly weight?: Readonly<Record<string, number>> | undefined;
  readonly zone?: Readonly<Record<string, string>> | undefined;
  readonly replicas?: number | undefined;
}

export type Planned =
  | { readonly kind: "planned"; readonly layout: Layout }
  /** It is so already. */
  | { readonly kind: "nothing" }
  /** `reason`: what was wanted and what came. */
  | { readonly kind: "refused"; readonly reason: string };

/** While replicas move the aim is changed: they still come from where they were last settled. */
export function changedLayout(current: Layout, change: LayoutChange): Planned {
  const reason = problemOf(current, change);
  if (reason !== undefined) return { kind: "refused", reason };
  const replaced = new Map((change.replace ?? []).map(({ from, to }) => [from, to]));
  const gone = new Set([...change.remove ?? [], ...replaced.keys()]);
  const drained = new Set([...change.drain ?? [], ...gone]);
  const nodes = new Map(current.nodes.map((node) => [node.id, {
    ...node,
    weight: drained.has(node.id) ? 0 : change.weight?.[node.id] ?? node.weight,
    zone: change.zone?.[node.id] ?? node.zone,
  }]));
  for (const node of change.join ?? []) nodes.set(node.id, node);
  for (const [id, to] of replaced) {
    nodes.set(to.id, { ...to, weight: current.nodes.find((node) => node.id === id)!.weight || to.weight });
  }
  if (nodes.size > NODES_MAX) {
    return {
      kind: "refused",
      reason: `wanted at most ${NODES_MAX} nodes, those included that are leaving, got ${nodes.size}`,
    };
  }
  const all = sorted([...nodes.values()]);
  const replicas = change.replicas ?? current.replicas;
  // Whoever takes another's place takes it in every row.
  const heirs = current.nodes.map((node) => replaced.get(node.id) ?? node);
  // As close as can be to where everything surely is: a move that is called off is over at once.
  const table = computeTable(all, replicas, { nodes: heirs, table: current.from ?? current.table });
  const leaving = [...new Set([...current.leaving ?? [], ...gone])].filter((id) =>
    !table.some((row) => row.some((index) => all[index]!.id === id))
  );
  const number = current.number + 1;
  const next = pruned({
    format: LAYOUT_FORMAT,
    ringId: current.ringId,
    number,
    replicas,
    nodes: all,
    voters: chooseVoters(all, current.voters),
    table,
    from: reindexed(current.from ?? current.table, current.nodes, all),
    since: table.map((row, partition) =>
      row.map((index) => replicaSince(current, partition, all[index]!.id) ?? number)
    ),
    fromSince: current.from ? current.fromSince : current.since,
    leaving,
  });
  return isAlike(current, next) ? { kind: "nothing" } : { kind: "planned", layout: next };
}

/** After the new replicas have everything. */
export function settledLayout(moving: Layout): Layout {
  const { from: _, ...rest } = moving;
  return pruned({ ...rest, number: moving.number + 1 });
}

/** Of the sets that are left behind: those of which no majority is reachable can hand over nothing. */
export function lostPartitions(layout: Layout, isReachable: (id: string) => boolean): number[] {
  return [...layout.table.keys()].filter((partition) => {
    return !hasMajority(setsOfPartition(layout, partition)[0]!, isReachable);
  });
}

/** Those that a majority of every set can decide on, and no longer when the new sets have a say as well. */
export function stoppedPartitions(
  current: Layout,
  next: Layout,
  isReachable: (id: string) => boolean,
): number[] {
  const decides = (set: readonly string[]): boolean => hasMajority(set, isReachable);
  return [...next.table.keys()].filter((partition) =>
    setsOfPartition(current, partition).every(decides) && !setsOfPartition(next, partition).every(decides)
  );
}

function problemOf(current: Layout, change: LayoutChange): string | undefined {
  const ids = new Set(current.nodes.map((node) => node.id));
  const named = [
    ...change.drain ?? [],
    ...change.remove ?? [],
    ...(change.replace ?? []).map(({ from }) => from),
    ...Object.keys(change.weight ?? {}),
    ...Object.keys(change.zone ?? {}),
  ];
  const stranger = named.find((id) => !ids.has(id));
  if (stranger !== undefined) return `wanted members of the ring, got ${stranger}`;
  const joining = [...change.join ?? [], ...(change.replace ?? []).map(({ to }) => to)];
  const known = joining.find(({ id }) => ids.has(id));
  if (known) return `wanted nodes that are no members yet, got ${known.id}`;
  if (new Set(joining.map(({ id }) => id)).size < joining.length) return "a node was named twice";
  const weight = [...Object.values(change.weight ?? {}), ...joining.map((node) => node.weight)]
    .find((one) => !(one >= 0 && Number.isFinite(one)));
  if (weight !== undefined) return `wanted weights of 0 or more, got ${weight}`;
  const { replicas = 1 } = change;
  if (!Number.isInteger(replicas) || replicas < 1 || replicas > REPLICAS_MAX || replicas % 2 === 0) {
    return `wanted an odd number of replicas from 1 to ${REPLICAS_MAX}, got ${replicas}`;
  }
  const gone = new Set([
    ...change.drain ?? [],
    ...change.remove ?? [],
    ...(change.replace ?? []).map(({ from }) => from),
  ]);
  const left = current.nodes.some((node) =>
    !gone.has(node.id) && (change.weight?.[node.id] ?? node.weight) > 0
  );
  if (!left && !joining.some((node) => node.weight > 0)) {
    return "wanted somebody to hold the data, got nobody";
  }
  return undefined;
}

/** Nothing moves: then it is settled. Nodes that hold nothing and are to go, go. */
function pruned(layout: Layout): Layout {
  const { from, fromSince, leaving = [], ...settled } = layout;
  const isMoving = from !== undefined &&
    layout.table.some((row, partition) => !sameMembers(row, from[partition]!));
  if (isMoving) return leaving.length > 0 ? layout : { ...settled, from, fromSince };
  const nodes = layout.nodes.filter((node) => !leaving.includes(node.id));
  return {
    ...settled,
    nodes,
    voters: chooseVoters(nodes, layout.voters),
    table: reindexed(layout.table, layout.nodes, nodes),
  };
}

function reindexed(table: Table, before: readonly LayoutNode[], after: readonly LayoutNode[]): Table {
  const indexes = new Map(after.map((node, index) => [node.id, index]));
  return table.map((row) => row.map((index) => indexes.get(before[index]!.id)!));
}

function sorted(nodes: LayoutNode[]): LayoutNode[] {
  return nodes.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

function isAlike(a: Layout, b: Layout): boolean {
  const what = (layout: Layout): Layout => ({
    ...layout,
    number: 0,
    format: 1,
    since: undefined,
    fromSince: undefined,
  });
  return sameLayout(what(a), what(b));
}
