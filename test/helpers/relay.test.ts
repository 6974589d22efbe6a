import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type AtollRing, startRing } from "./atoll-ring.ts";
import { until } from "./deadline.ts";
import { ask, metricOf, put } from "./raw-http.ts";
import { HERE, THERE } from "./raw-start.ts";
import { ownersProblem } from "./socket-owners.ts";

const alive = (ring: AtollRing, index: number) => metricOf(ring.nodes[index]!.publicUrl, "atoll_peers_alive");

async function see(ring: AtollRing, wanted: readonly number[]): Promise<void> {
  await until(`the nodes see ${wanted.join()} peers`, 8_000, async () => {
    return (await Promise.all(wanted.map((_, index) => alive(ring, index)))).join() === wanted.join();
  }, ring.nodes.flatMap((node) => node.lines.slice(-5)));
}

test("a relay delays, cuts and heals what the nodes of a ring say to each other, in each direction", {
  skip: ownersProblem() ?? false,
}, async () => {
  const directory = await mkdtemp(join(tmpdir(), "atoll-relay-"));
  try {
    await using ring = await startRing({ directory, runtimes: [HERE, THERE, HERE], relaySeed: 1 });
    const relay = ring.relay!;
    await see(ring, [2, 2, 2]);
    const [first, second, third] = ring.nodes.map(({ publicUrl }) => `${publicUrl}/relay/object`);
    assert.equal((await put(first!, "fair")).status, 201);

    relay.setBetween([0, 1, 2], [0, 1, 2], { delayMs: 60, loss: 0.05 });
    const begunMs = performance.now();
    assert.equal((await ask(second!)).body.toString(), "fair");
    const tookMs = performance.now() - begunMs;
    assert.ok(tookMs >= 120, `wanted a round trip of 120 ms or more, got a read in ${tookMs.toFixed(1)} ms`);
    assert.equal((await put(third!, Buffer.alloc(3_000_000, "late"))).status, 200);
    relay.heal();

    relay.setBetween([0], [1, 2], { isCut: true });
    await see(ring, [0, 1, 1]);
    assert.equal((await put(second!, "majority")).status, 200);
    assert.equal((await ask(first!)).status, 503);
    relay.heal();
    await see(ring, [2, 2, 2]);
    assert.equal((await ask(first!)).body.toString(), "majority");

    // What the first asks arrives, and answers do not; who is asked by it still knows that it lives.
    for (const other of [1, 2]) relay.set(other, 0, { isCut: true });
    await until("the first sees nobody", 8_000, async () => await alive(ring, 0) === 0, ring.nodes[0]!.lines);
    assert.equal((await ask(second!)).body.toString(), "majority");
    relay.heal();
    relay.reset(0, 1);
    await see(ring, [2, 2, 2]);
    assert.equal((await put(first!, "whole")).status, 200);
    assert.equal((await ask(third!)).body.toString(), "whole");
  } finally {
    await rm(directory, { recursive: true });
  }
});
