import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "../helpers/deadline.ts";
import { type MemoryNode, openMemoryNode } from "../helpers/memory-node.ts";

const COUNT_AGAIN_MS = 6_000;

async function open(quota: { bytes?: number; objects?: number }): Promise<MemoryNode> {
  const solo = await openMemoryNode();
  const settings = { method: "PUT", body: JSON.stringify({ quota }) };
  assert.equal((await solo.request("/_/buckets/abc", settings)).status, 201);
  return solo;
}

async function put(
  solo: MemoryNode,
  key: string,
  bytes: number,
  headers: Record<string, string> = {},
): Promise<number> {
  const init = {
    method: "PUT",
    body: "x".repeat(bytes),
    headers: { "Content-Length": String(bytes), ...headers },
  };
  const response = await solo.request(`/abc/${key}`, init);
  const text = await response.text();
  if (response.status === 507) assert.equal((JSON.parse(text) as { code: string }).code, "storage-full");
  return response.status;
}

test("more bytes than a bucket may hold get 507; what replaces something takes its place; what is deleted makes room", async () => {
  using solo = await open({ bytes: 100 });
  assert.equal(await put(solo, "a", 60), 201);
  assert.equal(await put(solo, "b", 41), 507);
  assert.equal(await put(solo, "b", 40), 201);
  assert.equal(await put(solo, "c", 1), 507);
  assert.equal(await put(solo, "b", 40), 200, "as large as before");
  assert.equal((await solo.request("/abc/a", { method: "DELETE" })).status, 204);
  solo.pass(COUNT_AGAIN_MS);
  await until("the deleted one's room is found", 5_000, async () => await put(solo, "c", 1) === 201);
  assert.match(await (await solo.request("/metrics")).text(), /^atoll_limited_total\{limit="quota"\} \d/m);
});

test("more objects than a bucket may hold get 507, and one that fails takes no room", async () => {
  using solo = await open({ objects: 2 });
  assert.equal(await put(solo, "a", 1), 201);
  assert.equal(await put(solo, "b", 1, { "If-Match": '"x"' }), 412);
  assert.equal(await put(solo, "b", 1), 201);
  assert.equal(await put(solo, "c", 1), 507);
  assert.equal(await put(solo, "a", 1), 200);
});

test("a body of unknown length ends where the room does", async () => {
  using solo = await open({ bytes: 100 });
  assert.equal(await put(solo, "a", 50), 201);
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new Uint8Array(1_000)),
  });
  const response = await solo.request("/abc/b", { method: "PUT", body, duplex: "half" } as RequestInit);
  assert.equal(response.status, 413);
  assert.equal((await solo.request("/abc/b")).status, 404);
});

test("objects that were there before the quota count", async () => {
  using solo = await openMemoryNode();
  assert.equal(await put(solo, "a", 90), 201);
  await solo.request("/_/buckets/abc", { method: "PUT", body: '{"quota":{"bytes":100}}' });
  assert.equal(await put(solo, "b", 11), 507);
  assert.equal(await put(solo, "b", 10), 201);
});
