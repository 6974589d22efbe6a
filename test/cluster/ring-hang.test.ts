/**
 * Peers that hang in the midst of chunks: their sockets fill up, and calls are given up that are half sent. Node's HTTP/2
 * has gone into an endless loop over streams that were reset then, so that the whole process answered nobody any more.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startRing } from "../helpers/atoll-ring.ts";
import { ask, put } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";

const skip = process.env["ATOLL_SLOW_TESTS"] === undefined && "takes 80 s: set ATOLL_SLOW_TESTS=1";

test("a node whose peers hang for a minute in the midst of chunks answers throughout", { skip }, async () => {
  const directory = await mkdtemp(join(tmpdir(), "atoll-hang-"));
  try {
    await using ring = await startRing({ directory, runtimes: [HERE, THERE, HERE] });
    const url = ring.nodes[0]!.publicUrl;
    assert.equal((await put(`${url}/hang/small`, "x")).status, 201);
    for (const hanging of ring.nodes.slice(1)) hanging.pause();
    const deadlineMs = 30_000;
    for (let round = 0; round < 4; round++) {
      const replies = await Promise.all([
        ask(`${url}/hang/small`, { deadlineMs }),
        put(`${url}/hang/small`, "y", { deadlineMs }),
        put(`${url}/hang/large`, Buffer.alloc(3_000_000), { deadlineMs }),
        ask(`${url}/hang/small`, { method: "DELETE", deadlineMs }),
        ask(`${url}/hang`, { deadlineMs }),
      ]);
      assert.deepEqual(replies.map(({ status }) => status), Array(5).fill(503), `round ${round}`);
      assert.equal((await ask(`${url}/livez`, { deadlineMs: 2_000 })).status, 200, `round ${round}`);
    }
  } finally {
    await rm(directory, { recursive: true });
  }
});
