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
  assert.equal(response.status, 507);
  assert.equal((await solo.request("/abc/b")).status, 404);
});

/** Uploads of unknown length that go on as they are told to. */
function slowly(solo: MemoryNode, key: string) {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  let asked = 0;
  const start = (given: typeof controller) => void (controller = given);
  const body = new ReadableStream<Uint8Array>({ start, pull: () => void asked++ }, { highWaterMark: 0 });
  const answer = solo.request(`/abc/${key}`, { method: "PUT", body, duplex: "half" } as RequestInit);
  return {
    /** How often more was wanted: all before that was taken. */
    asked: () => asked,
    send: (bytes: number) => controller.enqueue(new Uint8Array(bytes)),
    end: () => controller.close(),
    breakOff: () => controller.error(new Error("the client went away")),
    status: answer.then(({ status }) => status),
  };
}

const stored = async (solo: MemoryNode): Promise<number> => {
  const page = await (await solo.request("/abc")).json() as { objects: { size: number }[] };
  return page.objects.reduce((sum, { size }) => sum + size, 0);
};

test("of many uploads at once, of known length or not, no more are stored than there is room for", async () => {
  for (const isKnown of [true, false]) {
    using solo = await open({ bytes: 1_000_000 });
    const uploads = Array.from({ length: 40 }, async (_, i) => {
      if (isKnown) return await put(solo, String(i), 300_000);
      const upload = slowly(solo, String(i));
      for (let sent = 0; sent < 3; sent++) upload.send(100_000);
      upload.end();
      return await upload.status;
    });
    const statuses = (await Promise.all(uploads)).toSorted((a, b) => a - b);
    const stored201 = statuses.filter((status) => status === 201).length;
    assert.ok(
      stored201 <= 3 && statuses.slice(stored201).every((status) => status === 507),
      String(statuses),
    );
    assert.equal(await stored(solo), stored201 * 300_000);
    assert.ok(isKnown ? stored201 === 3 : stored201 >= 1, String(statuses));
  }
});

test("what is being sent counts however often the bucket is counted meanwhile, and no more once it broke off", async () => {
  using solo = await open({ bytes: 100 });
  const upload = slowly(solo, "slow");
  upload.send(90);
  await until("it has its room", 5_000, () => upload.asked() > 0);
  for (let i = 0; i < 3; i++) {
    solo.pass(COUNT_AGAIN_MS);
    assert.equal(await put(solo, "other", 11), 507, `counted ${i} times`);
  }
  upload.breakOff();
  assert.equal(await upload.status, 400);
  assert.equal(await put(solo, "all", 101), 507, "it left no more room than there was");
  assert.equal(await put(solo, "all", 100), 201);
});

test("an upload of unknown length that replaces something takes its place", async () => {
  using solo = await open({ bytes: 100, objects: 2 });
  assert.equal(await put(solo, "a", 60), 201);
  assert.equal(await put(solo, "b", 20), 201);
  const upload = slowly(solo, "a");
  upload.send(40);
  upload.send(40);
  upload.end();
  assert.equal(await upload.status, 200);
});

test("objects that were there before the quota count", async () => {
  using solo = await openMemoryNode();
  assert.equal(await put(solo, "a", 90), 201);
  await solo.request("/_/buckets/abc", { method: "PUT", body: '{"quota":{"bytes":100}}' });
  assert.equal(await put(solo, "b", 11), 507);
  assert.equal(await put(solo, "b", 10), 201);
});
