/**
 * How many partitions each node is to hold, before it is said which.
 *
 * Zones come before weights. A node holds a partition once at most, and the copies of a partition spread over zones as
 * evenly as the zones' sizes allow; within that, load follows weight. So the shares are found as water finds its level:
 * each node's is its weight times one level common to all, but no more than every partition once; a zone whose nodes
 * would together hold more than the rule lets it, or less than the rule makes it, is fixed at that bound, and shares it
 * out among its nodes at a level of its own. What the bounded zones leave, or take, raises or lowers the level of the
 * others. Any whole numbers next to such shares can be met by a table, which is what makes them targets.
 */
import { copiesOf, effectiveWeights, type LayoutNode } from "./layout-node.ts";
import { PARTITIONS } from "./partitions.ts";

/** Shares this near to a whole number are that number: sums of doubles. */
const EPSILON = 1e-7;
/** A node's count is kept within this part of its share wherever whole numbers allow it. */
const TOLERANCE = 0.05;

/** How the copies of any one partition lie in zones: each zone its least, and `extras` of the zones one more. */
export interface ZoneRule {
  /** Per node the index of its zone; -1 for a node that holds nothing. */
  readonly zoneOf: readonly number[];
  /** Per zone its nodes, by index. */
  readonly zones: readonly (readonly number[])[];
  /** Per zone. Where there are more zones than copies it is 0 everywhere, and all copies are extras. */
  readonly least: readonly number[];
  /** Per zone the least, or one more where it has the nodes for it. */
  readonly most: readonly number[];
  readonly extras: number;
}

export function zoneRule(nodes: readonly LayoutNode[], copies: number): ZoneRule {
  const weights = effectiveWeights(nodes);
  const indexes = new Map<string, number>();
  const zones: number[][] = [];
  const zoneOf = nodes.map((node, index) => {
    if (weights[index] === 0) return -1;
    const zone = indexes.get(node.zone) ?? indexes.size;
    indexes.set(node.zone, zone);
    (zones[zone] ??= []).push(index);
    return zone;
  });
  const atLevel = (level: number): number => sum(zones.map((zone) => Math.min(zone.length, level)));
  let level = 0;
  while (level < copies && atLevel(level + 1) <= copies) level++;
  return {
    zoneOf,
    zones,
    least: zones.map((zone) => Math.min(zone.length, level)),
    most: zones.map((zone) => Math.min(zone.length, level + 1)),
    extras: copies - atLevel(level),
  };
}

/** Per node its share in partitions, a fraction as a rule; together `copies` times all partitions. */
export function feasibleShares(nodes: readonly LayoutNode[], replicas: number): number[] {
  const copies = copiesOf(nodes, replicas);
  const rule = zoneRule(nodes, copies);
  const weights = effectiveWeights(nodes);
  const heldAt = (zone: readonly number[], level: number): number =>
    sum(zone.map((index) => Math.min(PARTITIONS, level * weights[index]!)));
  const boundedAt = (level: number): number[] =>
    rule.zones.map((zone, z) =>
      Math.min(Math.max(heldAt(zone, level), PARTITIONS * rule.least[z]!), PARTITIONS * rule.most[z]!)
    );
  const totals = boundedAt(levelOf(PARTITIONS * copies, (level) => sum(boundedAt(level))));
  const shares = nodes.map(() => 0);
  for (const [z, zone] of rule.zones.entries()) {
    const level = levelOf(totals[z]!, (level) => heldAt(zone, level));
    for (const index of zone) shares[index] = nearWhole(Math.min(PARTITIONS, level * weights[index]!));
  }
  return shares;
}

/**
 * Per node a whole number next to its share. Among the roundings that do, those that keep what nodes hold (`held`, per
 * node) come first, as long as they are within the tolerance; then the larger remainders.
 */
export function targetsOf(nodes: readonly LayoutNode[], replicas: number, held: readonly number[]): number[] {
  const copies = copiesOf(nodes, replicas);
  const { zoneOf, zones, least, most } = zoneRule(nodes, copies);
  const shares = feasibleShares(nodes, replicas);
  const targets = shares.map(Math.floor);
  const inZones = zones.map((zone) => sum(zone.map((node) => targets[node]!)));
  const mayGrow = inOrderOfRounding(shares, held);
  let left = PARTITIONS * copies - sum(targets);
  const grow = (node: number): void => {
    targets[node]!++;
    inZones[zoneOf[node]!]!++;
    left--;
  };
  const grown = new Set<number>();
  for (const node of mayGrow) {
    if (inZones[zoneOf[node]!]! >= PARTITIONS * least[zoneOf[node]!]!) continue;
    grow(node);
    grown.add(node);
  }
  for (const node of mayGrow) {
    if (left > 0 && !grown.has(node) && inZones[zoneOf[node]!]! < PARTITIONS * most[zoneOf[node]!]!) {
      grow(node);
    }
  }
  return targets;
}

/** The nodes with a share between whole numbers, those to round up first at the front. */
function inOrderOfRounding(shares: readonly number[], held: readonly number[]): number[] {
  return [...shares.keys()].filter((node) => !Number.isInteger(shares[node]!))
    .map((node) => {
      const share = shares[node]!;
      const below = Math.floor(share);
      const mayStayBelow = share - below <= TOLERANCE * share;
      const mayGoAbove = below + 1 - share <= TOLERANCE * share;
      const urgency = mayStayBelow === mayGoAbove ? 1 : mayGoAbove ? 2 : 0;
      return { node, urgency, keeps: held[node]! > below ? 1 : 0, remainder: share - below };
    })
    .sort((a, b) =>
      b.urgency - a.urgency || b.keeps - a.keeps || b.remainder - a.remainder || a.node - b.node
    )
    .map(({ node }) => node);
}

/** The least level at which `amountAt`, which grows with it, comes to the total. */
function levelOf(total: number, amountAt: (level: number) => number): number {
  let [low, high] = [0, 1];
  while (amountAt(high) < total && high < 2 ** 60) high *= 2;
  // A double has no more bits to tell apart.
  for (let bit = 0; bit < 100; bit++) {
    const middle = (low + high) / 2;
    if (amountAt(middle) < total) low = middle;
    else high = middle;
  }
  return high;
}

function nearWhole(share: number): number {
  const whole = Math.round(share);
  return Math.abs(share - whole) < EPSILON ? whole : share;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
