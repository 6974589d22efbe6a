/** What is asked of a node by whoever looks after it. */
import type { AtollNode } from "../node/node.ts";
import { type Answer, jsonAnswer, textAnswer } from "./answer.ts";

export function probeAnswer(
  path: "livez" | "readyz" | "metrics",
  { node, isDraining }: { readonly node: AtollNode; readonly isDraining: () => boolean },
): Answer {
  if (path === "livez") return textAnswer(200, "ok\n");
  if (path === "metrics") {
    return textAnswer(200, node.metrics.text(), "text/plain; version=0.0.4; charset=utf-8");
  }
  // Not "no quorum": a node that lost its peers still serves what freshness allows, and says 503 for the rest itself.
  const reasons = [
    ...(isDraining() ? ["draining"] : []),
    ...(node.layout() ? [] : [waitsFor(node)]),
  ];
  const ready = reasons.length === 0;
  return jsonAnswer(ready ? 200 : 503, { ready, reasons, node: node.id });
}

function waitsFor(node: AtollNode): string {
  const { bootstrapExpect } = node.card();
  if (bootstrapExpect > 0) {
    return `waiting for a ring: wanted ${bootstrapExpect} nodes that see each other, and that many are not there yet`;
  }
  return "waiting for a ring to join: none was found yet; one is founded by nodes that are started with " +
    "ATOLL_BOOTSTRAP_EXPECT=N, as many as it says";
}
