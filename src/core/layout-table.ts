/**
 * Which nodes hold which partition: computed once, by whoever proposes a layout.
 *
 * In order of preference: as many copies as there can be, in zones as distinct as there are, every node at its target
 * (layout-targets.ts), and of what is left to choose the least change. What may stay stays; a missing copy goes to a
 * node below its target, and a node above its target gives copies to one below, one move each where the zones allow
 * it. Where they do not, a chain of moves is searched for (layout-chains.ts). Garage computes its layouts as flows in the
 * same graph (arXiv 2302.13798).
 */
import { moveByChain, moveFreely } from "./layout-chains.ts";
import { Draft, lot, NOBODY } from "./layout-draft.ts";
import { homesFirst } from "./layout-homes.ts";
import { copiesOf, effectiveWeights, type LayoutNode } from "./layout-node.ts";
import { targetsOf, zoneRule } from "./layout-targets.ts";
import { PARTITIONS } from "./partitions.ts";

/** Moves considered for copies that might as well have stayed: some tenths of a second. Only huge rings ever need more. */
const RECLAIM_MAX = 2_000_000;

/** Nodes, and per partition the indexes of its holders among them, the home first. */
export interface Placement {
  readonly nodes: readonly LayoutNode[];
  readonly table: readonly (readonly number[])[];
}

/**
 * Per partition the indexes into `nodes` of its holders, the home first; deterministic in its arguments. `previous`: what
 * the ring holds now, of which as much as can be stays where it is, in its order.
 */
export function computeTable(
  nodes: readonly LayoutNode[],
  replicas: number,
  previous?: Placement,
): number[][] {
  const copies = copiesOf(nodes, replicas);
  const before = stillThere(nodes, previous);
  const held = nodes.map(() => 0);
  for (const row of before) for (const node of row) held[node]!++;
  const draft = new Draft(zoneRule(nodes, copies), copies, targetsOf(nodes, replicas, held));
  keep(draft, before);
  relieveFreely(draft, before);
  fill(draft, before);
  relieveFreely(draft, before);
  level(draft, before);
  reclaim(draft, before);
  const ranked = draft.rows.map((row, partition) => {
    const kept = before[partition]!.filter((node) => row.includes(node));
    return [...kept, ...row.filter((node) => !kept.includes(node))];
  });
  return homesFirst(ranked, before, draft.targets, copies);
}

/** The previous holders that may hold anything now, by their new indexes and in their old order. */
function stillThere(nodes: readonly LayoutNode[], previous: Placement | undefined): number[][] {
  const weights = effectiveWeights(nodes);
  const indexes = new Map(nodes.map((node, index) => [node.id, index]));
  return Array.from(
    { length: PARTITIONS },
    (_, partition) =>
      (previous?.table[partition] ?? []).map((index) => indexes.get(previous!.nodes[index]!.id) ?? -1)
        .filter((index) => index !== -1 && weights[index]! > 0),
  );
}

/** Of each partition as many holders as copies and zones allow: the home, then those who hold too little as it is. */
function keep(draft: Draft, before: readonly (readonly number[])[]): void {
  const surplus = draft.targets.map((target) => -target);
  for (const row of before) for (const node of row) surplus[node]!++;
  for (const [partition, row] of before.entries()) {
    const [home, ...others] = row;
    others.sort((a, b) => surplus[a]! - surplus[b]!);
    for (const node of home === undefined ? [] : [home, ...others]) {
      if (draft.mayHold(partition, node, NOBODY)) draft.add(partition, node);
      else surplus[node]!--;
    }
  }
}

/** Nodes above their target give to those below it as long as that costs nothing. */
function relieveFreely(draft: Draft, before: readonly (readonly number[])[]): void {
  for (const node of draft.targets.keys()) {
    while (draft.lack(node) < 0 && moveFreely(draft, before, node));
  }
}

/** Gives every partition all of its copies. */
function fill(draft: Draft, before: readonly (readonly number[])[]): void {
  const short = [...draft.rows.keys()].filter((partition) => draft.rows[partition]!.length < draft.copies);
  const stuck: number[] = [];
  for (const [done, partition] of short.entries()) {
    while (draft.rows[partition]!.length < draft.copies) {
      const node = neediest(draft, partition, short.length - done);
      if (node === undefined) break;
      draft.add(partition, node);
    }
    if (draft.rows[partition]!.length < draft.copies) stuck.push(partition);
  }
  for (const partition of stuck) {
    while (draft.rows[partition]!.length < draft.copies) moveByChain(draft, before, NOBODY, partition);
  }
}

/**
 * The node below its target that should get a copy of the partition. First a zone: one that must have a copy of every
 * partition, else the one that lacks the largest part of its extras; then the node in it that lacks the largest part
 * of its target. Whoever lacks as much as there are partitions left (`left`) cannot wait.
 */
function neediest(draft: Draft, partition: number, left: number): number | undefined {
  const { zones, least } = draft.rule;
  let best: { node: number; need: number } | undefined;
  let bestZoneNeed = -Infinity;
  for (const [z, zone] of zones.entries()) {
    if (!draft.isOpen(partition, z, NOBODY)) continue;
    const need = draft.countIn(partition, z) < least[z]!
      ? Infinity
      : needOf(draft.lackOfExtras(z), draft.extras[z]!, left, lot(partition, -2 - z));
    if (best && need <= bestZoneNeed) continue;
    const inZone = neediestOf(draft, partition, zone, left);
    if (inZone) [best, bestZoneNeed] = [inZone, need];
  }
  return best?.node;
}

function neediestOf(
  draft: Draft,
  partition: number,
  nodes: readonly number[],
  left: number,
): { node: number; need: number } | undefined {
  let best: { node: number; need: number } | undefined;
  for (const node of nodes) {
    const lack = draft.lack(node);
    if (lack <= 0 || draft.held[node]!.has(partition)) continue;
    const need = needOf(lack, draft.held[node]!.size, left, lot(partition, node));
    if (!best || need > best.need) best = { node, need };
  }
  return best;
}

/** The part that is lacking; the lot makes equals of those that are one apart, else the same ones would always meet. */
function needOf(lack: number, held: number, left: number, lot: number): number {
  return lack >= left ? 2 + lack : (lack + lot) / (lack + held + 1);
}

/** Brings every node to its target: those above it give to those below. */
function level(draft: Draft, before: readonly (readonly number[])[]): void {
  for (const node of draft.targets.keys()) {
    if (draft.lack(node) >= 0) continue;
    for (const partition of inOrderOfGiving(draft, before, node)) {
      if (draft.lack(node) >= 0) break;
      const to = receiver(draft, partition, node);
      if (to !== undefined) draft.move(partition, node, to);
    }
  }
  for (const node of draft.targets.keys()) {
    while (draft.lack(node) < 0) moveByChain(draft, before, node);
  }
}

/**
 * Undoes what turned out needless, as it does where zones forced chains: a copy goes back to where it was before, and what its holder then has too much moves
 * on, for nothing, to the one who gave the copy back.
 */
function reclaim(draft: Draft, before: readonly (readonly number[])[]): void {
  const limit = draft.considered + RECLAIM_MAX;
  for (const [partition, was] of before.entries()) {
    for (const holder of was) {
      if (draft.considered > limit) return;
      const newcomers = draft.held[holder]!.has(partition)
        ? []
        : draft.rows[partition]!.filter((node) => !was.includes(node));
      for (const newcomer of newcomers) {
        if (!draft.mayHold(partition, holder, newcomer)) continue;
        draft.move(partition, newcomer, holder);
        if (moveFreely(draft, before, holder)) break;
        draft.move(partition, holder, newcomer);
      }
    }
  }
}

/** First what the node does not have yet; partitions of which no other copy moves; those it is not the home of. */
function inOrderOfGiving(draft: Draft, before: readonly (readonly number[])[], node: number): number[] {
  const cost = (partition: number): number => {
    const was = before[partition]!;
    if (!was.includes(node)) return -1;
    const moving = draft.rows[partition]!.filter((holder) => !was.includes(holder)).length;
    return 2 * moving + (was[0] === node ? 1 : 0) + lot(partition, node);
  };
  return [...draft.held[node]!].map((partition) => ({ partition, cost: cost(partition) }))
    .sort((a, b) => a.cost - b.cost || a.partition - b.partition)
    .map(({ partition }) => partition);
}

/** Who below its target can take the copy at once; across zones only from one with too many to one with too few. */
function receiver(draft: Draft, partition: number, from: number): number | undefined {
  const { zoneOf, zones } = draft.rule;
  const home = zoneOf[from]!;
  const gives = draft.lackOfExtras(home) < 0;
  let best: { node: number; need: number } | undefined;
  for (const [z, zone] of zones.entries()) {
    if (z !== home && !(gives && draft.lackOfExtras(z) > 0)) continue;
    if (!draft.isOpen(partition, z, from)) continue;
    const inZone = neediestOf(draft, partition, zone, Infinity);
    if (inZone && (!best || inZone.need > best.need)) best = inZone;
  }
  return best?.node;
}
