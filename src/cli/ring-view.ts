/** The ring, and a plan for it, as people read them. */
import { doneRatio } from "../core/move-estimate.ts";
import { printable } from "./address.ts";
import { bar, percent } from "./progress.ts";
import type { Move, RingPlan, RingStatus } from "./ring-documents.ts";
import { counted, formatBytes, formatSeconds, table } from "./units.ts";

const RANGES_SHOWN = 12;

export function statusLines(status: RingStatus): string[] {
  const { layout, nodes, ringId, self, move } = status;
  if (layout.state === "none") return [`no ring yet; seen by ${self}`, ...nodeTable(status)];
  const members = nodes.filter((node) => node.member);
  const head = `ring ${ringId ?? "?"}  layout ${layout.number}, ${layout.state}  ${
    counted(layout.replicas, "replica")
  }  ${counted(members.length, "member")} in ${
    counted(new Set(members.map(({ zone }) => zone)).size, "zone")
  }`;
  return [
    head,
    ...(move ? [moveLine(move, { hasBar: false })] : []),
    ...(move?.objectsLeft ? [`copies of objects that still lack chunks: ${move.objectsLeft}`] : []),
    "",
    ...nodeTable(status),
    "",
    `seen by ${self}; voters: ${layout.voters.join(", ")}`,
  ];
}

function nodeTable({ nodes, layout, self }: RingStatus): string[] {
  const isMoving = layout.state === "moving";
  const head = [
    "node",
    "state",
    "region",
    "zone",
    "weight",
    "partitions",
    ...(isMoving ? ["after", "synced"] : []),
    "rtt",
    "role",
    "url",
  ];
  const rows = [...nodes].sort((a, b) => a.zone.localeCompare(b.zone) || a.id.localeCompare(b.id)).map((
    node,
  ) => [
    `${node.id}${node.id === self ? " *" : ""}`,
    node.state,
    node.region,
    node.zone,
    String(node.weight),
    String(node.partitions.before),
    ...(isMoving ? [String(node.partitions.after), node.synced ? "yes" : "no"] : []),
    node.rttMs === null ? "-" : `${node.rttMs.toFixed(1)} ms`,
    node.voter ? "voter" : node.member ? "member" : "-",
    printable(node.publicUrl),
  ]);
  return table([head, ...rows], [4, 5, ...(isMoving ? [6, 8] : [6])]);
}

/**
 * By bytes where it is known how many there are: partitions differ in size. What is counted are the copies that each node
 * makes sure of, those that it had among them, so there are more than partitions.
 */
export function moveLine(move: Move, options: { readonly hasBar: boolean }): string {
  const { partitionsTotal, partitionsLeft, bytesDone, bytesLeft, etaSeconds, objectsLeft = 0 } = move;
  if (partitionsTotal === 0) return "moving  no node has said yet how far it is";
  const copies = `${partitionsTotal - partitionsLeft} of ${partitionsTotal} copies of partitions`;
  // Registers came first; what their chunks come to a node of an earlier build does not say.
  if (partitionsLeft === 0 && bytesLeft === 0 && objectsLeft > 0) {
    return `moving  ${copies}  ${formatBytes(bytesDone)} so far, and chunks of ${
      counted(objectsLeft, "object")
    } to come`;
  }
  const shown = doneRatio({ ...move, objectsLeft });
  const eta = etaSeconds === null ? "" : `  ${formatSeconds(etaSeconds)} left`;
  return `moving  ${options.hasBar ? `${bar(shown)} ` : ""}${percent(shown)}  ${copies}  ${
    formatBytes(bytesDone)
  } of ${formatBytes(bytesDone + bytesLeft)}${eta}`;
}

export function planLines(plan: RingPlan): string[] {
  const { base, change, nodes, replicasMoved, partitionsTouched, bytesToMove, balance, zoneSpread } = plan;
  const touched = plan.partitions?.map(({ partition }) => partition) ?? [];
  const rows = nodes.map(({ id, zone, before, after }) => [
    id,
    zone,
    String(before),
    String(after),
    after === before ? "" : after > before ? `+${after - before}` : String(after - before),
  ]);
  return [
    `plan on layout ${base}: ${changeText(change)}`,
    "",
    ...table([["node", "zone", "partitions", "after", "change"], ...rows], [2, 3, 4]),
    "",
    `moves        ${counted(replicasMoved, "replica")} of ${counted(partitionsTouched, "partition")}, ${
      bytesToMove === null ? "an unknown number of bytes" : formatBytes(bytesToMove)
    }`,
    ...(touched.length > 0 ? [`partitions   ${ranges(touched)}`] : []),
    `balance      fullest node ${balance.before.toFixed(2)} -> ${balance.after.toFixed(2)} of the mean`,
    `zone spread  ${zoneSpread.before} -> ${counted(zoneSpread.after, "partition")} in ${
      counted(zoneSpread.wanted, "zone")
    }, as wanted`,
    ...plan.warnings.map((warning) => `warning      ${printable(warning)}`),
  ];
}

/** Of nodes that go and still run, and of nodes that do not answer and are to hold data. */
export function cautions({ change, nodes }: RingPlan, status: RingStatus): string[] {
  const stateOf = new Map(status.nodes.map(({ id, state }) => [id, state]));
  const gone = [...change.remove ?? [], ...(change.replace ?? []).map(({ from }) => from)];
  // Such a node has found the ring like any other.
  const running = gone.filter((id) => stateOf.get(id) === "alive").map((id) =>
    `${id} still runs: stop it when it holds nothing, or it may be taken in again`
  );
  const away = nodes.filter(({ id, after }) =>
    after > 0 && ["suspect", "dead", "leaving"].includes(stateOf.get(id) ?? "")
  );
  return [
    ...running,
    ...away.map(({ id, after }) =>
      `${id} does not answer, and is to hold ${
        counted(after, "partition")
      }: those that too few others hold ` +
      "then can be neither read nor written until it is back"
    ),
  ];
}

/** Neighbours together; all of them, and who holds each, are in the plan's JSON. */
function ranges(numbers: readonly number[]): string {
  const found: [first: number, last: number][] = [];
  for (const number of numbers) {
    const last = found.at(-1);
    if (last?.[1] === number - 1) last[1] = number;
    else found.push([number, number]);
  }
  const shown = found.slice(0, RANGES_SHOWN).map(([first, last]) =>
    first === last ? first : `${first}-${last}`
  );
  const rest = found.slice(RANGES_SHOWN).reduce((sum, [first, last]) => sum + last - first + 1, 0);
  return `${shown.join(" ")}${rest > 0 ? ` and ${rest} more (--json has all, and who holds them)` : ""}`;
}

export function changeText(change: RingPlan["change"]): string {
  const parts = [
    ...(["join", "drain", "remove"] as const).flatMap((kind) =>
      change[kind] ? [`${kind} ${change[kind].join(", ")}`] : []
    ),
    ...(change.replace ?? []).map(({ from, to }) => `replace ${from} by ${to}`),
    ...Object.entries(change.weight ?? {}).map(([id, weight]) => `weight of ${id}: ${weight}`),
    ...Object.entries(change.zone ?? {}).map(([id, zone]) => `zone of ${id}: ${zone}`),
    ...(change.replicas === undefined ? [] : [counted(change.replicas, "replica")]),
  ];
  return parts.join("; ");
}
