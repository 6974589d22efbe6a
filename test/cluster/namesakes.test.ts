/** A node started under the ID of one that lives: it does not get in, both say so, and the ring goes on. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollRing, startRing } from "../helpers/atoll-ring.ts";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { until } from "../helpers/deadline.ts";
import { ask, codeOf, put } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const WAIT_MS = 20_000;
const REFUSED = "this node is refused: set another ATOLL_NODE_ID, or end the other node";
const REFUSES = "two nodes have one ID: the second is refused while the first answers";

const directory = temporaryDirectory();
let ring: AtollRing;

before(async () => {
  ring = await startRing({ directory: directory.path, runtimes: [HERE, THERE, HERE] });
});
after(async () => {
  await ring[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

test("the second of two nodes with one ID is refused while the first lives, and let in when it is gone", async () => {
  const first = ring.nodes[1]!;
  const target = "/namesakes/object";
  assert.equal((await put(ring.nodes[0]!.publicUrl + target, "one")).status, 201);
  await using second = await startNode({
    runtime: HERE,
    dataDir: join(directory.path, "second"),
    until: "listening",
    env: {
      ATOLL_NODE_ID: first.nodeId,
      ATOLL_SEEDS: ring.nodes.map(({ peerUrl }) => peerUrl).join(","),
      ATOLL_BOOTSTRAP_EXPECT: "3",
    },
  });
  await says(second, REFUSED);
  for (const node of ring.nodes) await says(node, REFUSES);
  const { status, body } = await ask(`${second.publicUrl}/readyz`);
  assert.equal(status, 503, body.toString());
  const refused = await put(second.publicUrl + target, "two");
  assert.deepEqual([refused.status, codeOf(refused)], [503, "no-quorum"]);
  for (const node of ring.nodes) {
    assert.equal((await ask(node.publicUrl + target)).body.toString(), "one");
    assert.equal(linesOf(node, REFUSES), 1, "said once, however often it tries");
  }
  assert.equal(linesOf(second, REFUSED), 1);

  // Its disk is empty, so it comes as that node without its memory.
  await first.kill("SIGKILL");
  await second.ready(WAIT_MS);
  await until("it serves what the ring has", WAIT_MS, async () => {
    return (await ask(second.publicUrl + target)).body.toString() === "one";
  }, second.lines);
});

async function says(node: AtollProcess, line: string): Promise<void> {
  await until(`${node.publicUrl} says: ${line}`, WAIT_MS, () => linesOf(node, line) > 0, node.lines);
}

function linesOf(node: AtollProcess, line: string): number {
  return node.lines.filter((one) => one.includes(`"message":${JSON.stringify(line)}`)).length;
}
