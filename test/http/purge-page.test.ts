import assert from "node:assert/strict";
import { it } from "node:test";
import { type MemoryNode, openMemoryNode } from "../helpers/memory-node.ts";

function purge(solo: MemoryNode, document: unknown): Promise<Response> {
  const body = typeof document === "string" ? document : JSON.stringify(document);
  return solo.request("/_/purge", { method: "POST", body });
}

it("POST /_/purge takes keys, a prefix and tags, and says for each node how many it had", async () => {
  using solo = await openMemoryNode();
  for (const [key, tag] of [["a", "x"], ["b/1", "x"], ["b/2", "y"]] as const) {
    const headers = { "Cache-Control": "max-age=60", "Cache-Tag": tag };
    assert.equal((await solo.request(`/abc/${key}`, { method: "PUT", body: key, headers })).status, 201);
    const kept = await solo.request(`/abc/${key}`);
    assert.equal(kept.headers.get("cache-tag"), tag);
  }
  const told = async (document: object) => {
    const answer = await purge(solo, { bucket: "abc", ...document });
    assert.equal(answer.status, 200);
    return await answer.json();
  };
  const here = (purged: number) => ({ complete: true, nodes: [{ node: "solo", purged }] });
  assert.deepEqual(await told({ keys: ["a", "none"] }), here(1));
  assert.deepEqual(await told({ prefix: "b/", soft: true }), here(2));
  assert.deepEqual(await told({ tags: ["y"] }), here(1));
  assert.deepEqual(await told({ prefix: "" }), here(1));
  for (const key of ["a", "b/1", "b/2"]) {
    assert.equal((await solo.request(`/abc/${key}`)).status, 200, "no object goes");
  }
});

it("POST /_/purge says what was wrong", async () => {
  using solo = await openMemoryNode();
  const cases: readonly (readonly [document: unknown, status: number, code: string])[] = [
    ["{", 400, "invalid-argument"],
    [{ bucket: "abc" }, 400, "invalid-argument"],
    [{ bucket: "abc", keys: [] }, 400, "invalid-argument"],
    [{ bucket: "abc", keys: ["k"], all: true }, 400, "invalid-argument"],
    [{ bucket: "A_", keys: ["k"] }, 400, "invalid-bucket"],
    [{ bucket: "abc", keys: ["k", ""] }, 400, "invalid-key"],
    [{ bucket: "abc", tags: ["x".repeat(257)] }, 400, "invalid-argument"],
    [{ bucket: "abc", keys: Array.from({ length: 1_000_000 }, (_, n) => `${n}`) }, 413, "too-large"],
  ];
  for (const [document, status, code] of cases) {
    const answer = await purge(solo, document);
    assert.deepEqual([answer.status, (await answer.json() as { code: string }).code], [status, code]);
  }
  const get = await solo.request("/_/purge");
  assert.deepEqual([get.status, get.headers.get("allow")], [405, "POST, OPTIONS"]);
});
