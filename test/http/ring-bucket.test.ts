/** What the ring keeps for itself has no address: no page, listing, purge or route of clients' leads there. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { z } from "zod";
import { openMemoryNode } from "../helpers/memory-node.ts";

it("the ring's own bucket is named by no request", async () => {
  using solo = await openMemoryNode();
  await solo.node.documents.ofKind("colours", z.string()).write("sky", "blue", {});
  assert.equal((await solo.request("/abc/k", { method: "PUT", body: "x" })).status, 201);
  const json = async (target: string) => await (await solo.request(target)).json() as unknown;
  const abc = { buckets: [{ name: "abc" }], next: null };
  assert.deepEqual(await json("/"), abc);
  assert.deepEqual(await json("/?limit=1"), abc);
  assert.deepEqual(await json("/?after=9"), abc);
  assert.deepEqual(await json("/?prefix=_"), { buckets: [], next: null });
  const cases: readonly (readonly [method: string, target: string, status: number, code: string])[] = [
    ["GET", "/_/colours/sky", 404, "not-found"],
    ["GET", "/_", 404, "not-found"],
    ["GET", "/%5F/colours/sky", 400, "invalid-bucket"],
    ["PUT", "/_/colours/sky", 405, "method-not-allowed"],
    ["DELETE", "/_/colours/sky", 405, "method-not-allowed"],
    ["PUT", "/%5f/colours/sky", 400, "invalid-bucket"],
    ["GET", "/_/route/_/colours/sky", 400, "invalid-key"],
    ["GET", "/_/route/%5F/colours/sky", 400, "invalid-bucket"],
  ];
  for (const [method, target, status, code] of cases) {
    const answer = await solo.request(target, { method, ...(method === "PUT" && { body: "red" }) });
    const { code: got } = await answer.json() as { code: string };
    assert.deepEqual([answer.status, got], [status, code], `${method} ${target}`);
  }
  for (const what of [{ keys: ["colours/sky"] }, { prefix: "" }]) {
    const body = JSON.stringify({ bucket: "_", ...what });
    const answer = await solo.request("/_/purge", { method: "POST", body });
    assert.equal(answer.status, 400, body);
  }
});
