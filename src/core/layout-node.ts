/** The nodes of a layout, and which of them hold data. */

/** Of one layout, those that are leaving it included: a document of more is one that no node reads. */
export const NODES_MAX = 1_024;

export interface LayoutNode {
  readonly id: string;
  readonly region: string;
  readonly zone: string;
  /** Share of the data relative to other nodes. 0: the node is being drained, and holds nothing as long as others can. */
  readonly weight: number;
}

/** Per node its weight as it counts, 0 for those that hold nothing; a ring of which all are being drained drains none. */
export function effectiveWeights(nodes: readonly LayoutNode[]): number[] {
  const most = Math.max(0, ...nodes.map((node) => node.weight));
  if (most === 0) return nodes.map(() => 1);
  // Below a billionth of the greatest a weight has no share to speak of, but would take sums beyond a double's digits.
  return nodes.map(({ weight }) => weight === 0 ? 0 : Math.max(weight / most, 1e-9));
}

/** How many copies of each partition these nodes can keep, of those that are wanted. */
export function copiesOf(nodes: readonly LayoutNode[], replicas: number): number {
  return Math.min(replicas, effectiveWeights(nodes).filter((weight) => weight > 0).length);
}
