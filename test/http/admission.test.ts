/** How many requests there may be at a time and in a time, and what whoever asks for more is told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openMemoryNode } from "../helpers/memory-node.ts";

const FLY = { trustedProxy: { kind: "fly" } } as const;
const from = (address: string) => ({ headers: { "Fly-Client-IP": address } });

async function codeOf(response: Response): Promise<string> {
  return (await response.json() as { code: string }).code;
}

test("more requests in a time than a client may send get 429, with how many and when; others' go on", async () => {
  using solo = await openMemoryNode({ ...FLY, ratePerClient: { quota: 2, windowMs: 60_000 } });
  const first = await solo.request("/abc/k", from("1.2.3.4"));
  assert.equal(first.status, 404);
  assert.equal(first.headers.get("ratelimit-policy"), '"client";q=2;w=60');
  assert.equal(first.headers.get("ratelimit"), '"client";r=1');
  assert.equal((await solo.request("/abc/k", from("1.2.3.4"))).status, 404);
  const refused = await solo.request("/abc/k", from("1.2.3.4"));
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get("retry-after"), "30");
  assert.equal(refused.headers.get("ratelimit"), '"client";r=0;t=30');
  assert.equal(await codeOf(refused), "too-many-requests");
  assert.equal((await solo.request("/abc/k", from("1.2.3.5"))).status, 404, "another client");
  assert.equal((await solo.request("/livez", from("1.2.3.4"))).status, 200, "probes are not counted");
  solo.pass(30_000);
  assert.equal((await solo.request("/abc/k", from("1.2.3.4"))).status, 404);
  const metrics = await (await solo.request("/metrics")).text();
  assert.match(metrics, /^atoll_limited_total\{limit="client-rate"\} 1$/m);
});

test("more requests at a time than a client may have get 429; when one has ended the next may come", async () => {
  using solo = await openMemoryNode({ ...FLY, maxConcurrentPerClient: 1 });
  let end!: () => void;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => void (end = () => controller.close()),
  });
  const slow = solo.app.request(
    "/abc/slow",
    { method: "PUT", body, duplex: "half", ...from("1.2.3.4") } as RequestInit,
  );
  const refused = await solo.request("/abc/k", from("1.2.3.4"));
  assert.deepEqual([refused.status, refused.headers.get("retry-after")], [429, "1"]);
  assert.equal((await solo.request("/abc/k", from("1.2.3.5"))).status, 404, "another client");
  end();
  assert.equal((await slow).status, 201);
  assert.equal((await solo.request("/abc/k", from("1.2.3.4"))).status, 404);
});

test("without limits of clients answers say nothing of them", async () => {
  using solo = await openMemoryNode();
  const { headers } = await solo.request("/abc/k");
  assert.equal(headers.get("ratelimit"), null);
});

test("what is at hand is answered however many are under way", async () => {
  using solo = await openMemoryNode({ maxConcurrentRequests: 1 });
  const stored = { method: "PUT", body: "x", headers: { "Cache-Control": "max-age=60" } };
  assert.equal((await solo.request("/abc/hot", stored)).status, 201);
  assert.equal(await (await solo.request("/abc/hot")).text(), "x");
  let end!: () => void;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => void (end = () => controller.close()),
  });
  const slow = solo.app.request("/abc/slow", { method: "PUT", body, duplex: "half" } as RequestInit);
  assert.equal((await solo.request("/abc/cold")).status, 503);
  assert.equal(await (await solo.request("/abc/hot")).text(), "x");
  end();
  assert.equal((await slow).status, 201);
});
