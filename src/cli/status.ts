/** `atoll status`: whether the node is alive and ready, and what ring it is in. */
import { z } from "zod";
import { EXIT, type ExitCode, Failure } from "./failure.ts";
import type { NodeClient } from "./node-client.ts";
import { fetchRing } from "./ring.ts";
import type { RingStatus } from "./ring-documents.ts";
import { moveLine } from "./ring-view.ts";
import type { Terminal } from "./terminal.ts";
import { counted, table } from "./units.ts";
import { VERSION } from "./version.ts";

const readiness = z.object({ ready: z.boolean(), reasons: z.array(z.string()), node: z.string() });

/** Unavailable where the node is not ready: a script may wait for it by the exit code. */
export async function status(client: NodeClient, terminal: Terminal): Promise<ExitCode> {
  const startedMs = performance.now();
  const alive = await client.request({ method: "GET", path: "/livez" });
  await alive.discard();
  const tookMs = performance.now() - startedMs;
  const { ready, reasons, node } = await client.json(
    { method: "GET", path: "/readyz", expects: [200, 503] },
    readiness,
  );
  const ring = await fetchRing(client).catch((error: unknown) => {
    if (error instanceof Failure && (error.code === "not-supported" || error.status === 503)) return null;
    throw error;
  });
  await terminal.result(
    table([
      ["node", node],
      ["url", client.url],
      ["alive", `yes, answered in ${tookMs.toFixed(1)} ms`],
      ["ready", ready ? "yes" : `no: ${reasons.join("; ")}`],
      ...(ring ? ringRows(ring) : [["ring", "the node does not say"]]),
      ["command line", VERSION],
    ]),
    {
      url: client.url,
      node,
      alive: true,
      tookMs: Number(tookMs.toFixed(1)),
      ready,
      reasons,
      ring,
      version: VERSION,
    },
  );
  return ready ? EXIT.done : EXIT.unavailable;
}

function ringRows({ ringId, layout, nodes, move }: RingStatus): string[][] {
  if (layout.state === "none") return [["ring", "none yet"]];
  const members = nodes.filter(({ member }) => member);
  const alive = members.filter(({ state }) => state === "alive").length;
  return [
    ["ring", ringId ?? "?"],
    ["layout", `${layout.number}, ${layout.state}, ${counted(layout.replicas, "replica")}`],
    ["members", `${alive} of ${members.length} alive`],
    ...(move ? [["move", moveLine(move, { hasBar: false }).replace(/^moving {2}/, "")]] : []),
  ];
}
