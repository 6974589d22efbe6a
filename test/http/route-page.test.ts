import assert from "node:assert/strict";
import { it } from "node:test";
import { openMemoryNode } from "../helpers/memory-node.ts";

it("GET /_/route/{bucket}/{key} says where an object lives and what is here of it", async () => {
  using solo = await openMemoryNode();
  const put = await solo.request("/abc/a%20key/b", {
    method: "PUT",
    body: "c".repeat(5_000),
    headers: { "Cache-Control": "max-age=60" },
  });
  assert.equal(put.status, 201);
  assert.equal((await solo.request("/abc/a%20key/b")).status, 200);
  const response = await solo.request("/_/route/abc/a%20key/b");
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("cache-control"), "no-store");
  const page = await response.json() as Record<string, unknown>;
  assert.deepEqual([page["bucket"], page["key"], page["node"], page["home"]], [
    "abc",
    "a key/b",
    "solo",
    "solo",
  ]);
  assert.deepEqual(page["replicas"], [
    { node: "solo", region: "here", publicUrl: "http://127.0.0.1:2", state: "alive", rttMs: 0 },
  ]);
  const { ageSeconds, freshSeconds, ...cached } = page["cached"] as Record<string, number>;
  assert.deepEqual(cached, { version: 1, chunks: 1, chunksInMemory: 1 });
  // What is left of a second that has begun is not told of.
  assert.ok([59, 60].includes(ageSeconds! + freshSeconds!), `${ageSeconds} s old, ${freshSeconds} s to go`);
});

it("GET /_/route of what is not there says where it would live; of no key it is 400; it takes no other method", async () => {
  using solo = await openMemoryNode();
  const absent = await (await solo.request("/_/route/abc/none")).json() as Record<string, unknown>;
  assert.equal(absent["cached"], null);
  for (
    const [path, code] of [["/_/route/abc", "invalid-key"], ["/_/route/A_/k", "invalid-bucket"], [
      "/_/route/livez",
      "invalid-key",
    ]] as const
  ) {
    const refused = await solo.request(path);
    assert.equal(refused.status, 400, path);
    assert.equal((await refused.json() as { code: string }).code, code);
  }
  const put = await solo.request("/_/route/abc/none", { method: "PUT", body: "x" });
  assert.deepEqual([put.status, put.headers.get("allow")], [405, "GET, HEAD, OPTIONS"]);
});
