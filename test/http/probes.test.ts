import assert from "node:assert/strict";
import { test } from "node:test";
import { probeAnswer } from "../../src/http/probes.ts";
import type { AtollNode } from "../../src/node/node.ts";

/** What a node without a layout says it waits for. */
function waitingFor(bootstrapExpect: number): string {
  const node = {
    id: "n",
    layout: () => undefined,
    card: () => ({ bootstrapExpect }),
  } as unknown as AtollNode;
  const { status, body } = probeAnswer("readyz", { node, isDraining: () => false });
  assert.equal(status, 503);
  const { ready, reasons } = JSON.parse(new TextDecoder().decode(body as Uint8Array)) as {
    ready: boolean;
    reasons: string[];
  };
  assert.deepEqual([ready, reasons.length], [false, 1]);
  return reasons[0]!;
}

test("a node that waits for others says for how many, and one that waits for a ring how one is founded", () => {
  assert.match(waitingFor(3), /^waiting for a ring: wanted 3 nodes that see each other/);
  assert.match(waitingFor(0), /^waiting for a ring to join: .*ATOLL_BOOTSTRAP_EXPECT=N/);
});
