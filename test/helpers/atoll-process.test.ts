import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startNode } from "./atoll-process.ts";
import { memoryOf } from "./process-memory.ts";
import { freePorts } from "./ports.ts";

let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-process-"));
});
after(() => rm(directory, { recursive: true }));

for (const runtime of ["node", "deno"] as const) {
  test(`startNode on ${runtime} gives a ready node, which SIGTERM ends in good order even when it is paused`, async () => {
    await using node = await startNode({ runtime, dataDir: join(directory, runtime) });
    const { rssBytes, peakBytes } = node.memory();
    assert.ok(rssBytes > 1 << 20 && peakBytes >= rssBytes, `${rssBytes} and at most ${peakBytes} bytes`);
    node.pause();
    await assert.rejects(node.ready(1), /is ready/);
    assert.deepEqual(await node.kill("SIGTERM"), { code: 0, signal: null });
    assert.throws(() => memoryOf(node.pid), /ENOENT/);
    assert.ok(node.lines.some((line) => line.includes('"listening"')));
  });
}

test("startNode tells what the node said when it ends before it listens", async () => {
  const started = startNode({
    runtime: "node",
    dataDir: join(directory, "wrong"),
    env: { ATOLL_REPLICAS: "many" },
  });
  await assert.rejects(started, /ended with 1 before it listened[^]*ATOLL_REPLICAS/);
});

test("freePorts gives distinct ports", async () => {
  assert.equal(new Set(await freePorts(8)).size, 8);
});
