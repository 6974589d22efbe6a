/** Who votes on the next layout. */
import { effectiveWeights, type LayoutNode } from "./layout-node.ts";

const VOTERS_MAX = 7;

/**
 * An odd number of voters, up to seven, spread over zones: zones in turn, each zone's nodes in order. Nodes that are being
 * drained do not vote. Those of `sitting` come first in their zone, and zones that have them come first where not all get
 * a seat more, so that voters change only where the spread or the nodes do.
 */
export function chooseVoters(nodes: readonly LayoutNode[], sitting: readonly string[] = []): string[] {
  const weights = effectiveWeights(nodes);
  const eligible = nodes.filter((_, index) => weights[index]! > 0);
  const zones = new Map<string, string[]>();
  for (const { id, zone } of eligible) zones.set(zone, [...(zones.get(zone) ?? []), id]);
  const sits = (id: string): number => sitting.includes(id) ? 0 : 1;
  const queues = [...zones.values()].map((ids) => ids.sort((a, b) => sits(a) - sits(b)));
  const wanted = Math.min(VOTERS_MAX, eligible.length);
  const seats = wanted % 2 === 1 ? wanted : Math.max(0, wanted - 1);
  const chosen: string[] = [];
  for (let turn = 0; chosen.length < seats; turn++) {
    const inTurn = queues.flatMap((ids) => ids[turn] ?? []).sort((a, b) => sits(a) - sits(b));
    chosen.push(...inTurn.slice(0, seats - chosen.length));
  }
  return [...sitting.filter((id) => chosen.includes(id)), ...chosen.filter((id) => sits(id) === 1)];
}
