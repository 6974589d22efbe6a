/** What a change of the ring would break: not done before an operator has repeated the words that say so. */
import type { Layout } from "../../core/layout.ts";
import { type LayoutChange, lostPartitions, stoppedPartitions } from "../../core/layout-change.ts";
import { hasMajority } from "../../core/quorum.ts";

export interface Objection {
  readonly detail: string;
  /** The words. */
  readonly confirm: string;
}

type Named = Pick<LayoutChange, "remove"> & {
  readonly replace?: readonly { readonly from: string }[] | undefined;
};

/**
 * All of them in one; undefined: none. `next`: what the change makes of the layout, undefined where it makes nothing of it.
 * Goes by who answers now: somebody may come back, or go, right after.
 */
export function objectionTo(
  layout: Layout,
  next: Layout | undefined,
  change: Named,
  isAlive: (id: string) => boolean,
): Objection | undefined {
  const found = [
    removal(layout, change, isAlive),
    next && standstill(layout, next, isAlive),
    next && speechlessness(layout, next, isAlive),
  ].filter((one) => one !== undefined);
  if (found.length === 0) return undefined;
  return {
    detail: found.map(({ detail }) => detail).join("; "),
    confirm: found.map(({ confirm }) => confirm).join(" and "),
  };
}

function removal(
  layout: Layout,
  change: Named,
  isAlive: (id: string) => boolean,
): Objection | undefined {
  const gone = [...change.remove ?? [], ...(change.replace ?? []).map(({ from }) => from)];
  if (gone.length === 0) return undefined;
  const lost = lostPartitions(layout, (id) => !gone.includes(id) && isAlive(id));
  if (lost.length > 0) {
    return {
      detail:
        `without ${
          gone.join(" ")
        } no majority of the replicas of ${lost.length} partitions is there: they can ` +
        "be moved only once enough of those come back",
      confirm: `remove ${gone.join(" ")}`,
    };
  }
  const living = (change.remove ?? []).filter(isAlive)
    .filter((id) => layout.nodes.some((node) => node.id === id && node.weight > 0));
  if (living.length === 0) return undefined;
  return {
    detail: `${
      living.join(" ")
    } is alive: drain it first, so that it stays until the others have what it holds`,
    confirm: `remove ${living.join(" ")}`,
  };
}

function standstill(
  layout: Layout,
  next: Layout,
  isAlive: (id: string) => boolean,
): Objection | undefined {
  const stopped = stoppedPartitions(layout, next, isAlive);
  if (stopped.length === 0) return undefined;
  return {
    detail: `${stopped.length} partitions would get replicas of which no majority answers: until enough of ` +
      `${silent(next, isAlive)} come back, what lies there can be neither read nor written`,
    confirm: `stop ${stopped.length} partitions`,
  };
}

function speechlessness(
  layout: Layout,
  next: Layout,
  isAlive: (id: string) => boolean,
): Objection | undefined {
  if (!hasMajority(layout.voters, isAlive) || hasMajority(next.voters, isAlive)) return undefined;
  return {
    detail: `the voters would be ${next.voters.join(" ")}, of which no majority answers: until enough of ` +
      "them come back, the ring can be changed by force alone",
    confirm: "leave no voters",
  };
}

function silent({ nodes, table }: Layout, isAlive: (id: string) => boolean): string {
  const holders = new Set(table.flat());
  return nodes.filter(({ id }, index) => holders.has(index) && !isAlive(id)).map(({ id }) => id).join(" ");
}
