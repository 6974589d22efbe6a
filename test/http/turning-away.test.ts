/** What is counted and written of those that the listener turns away. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogFields } from "../../src/ports.ts";
import { until } from "../helpers/deadline.ts";
import { openMemoryNode } from "../helpers/memory-node.ts";

const DEADLINE_MS = 10_000;

test("a full node says so before anything is made of a request, but for reads and what an operator asks", async () => {
  using solo = await openMemoryNode({ maxConcurrentRequests: 1 });
  const { overload } = solo.app;
  assert.equal(overload.isFull("PUT", "/abc/k"), false);
  let end!: () => void;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => void (end = () => controller.close()),
  });
  const slow = solo.app.request("/abc/slow", { method: "PUT", body, duplex: "half" } as RequestInit);
  assert.equal(overload.isFull("PUT", "/abc/k"), true);
  assert.equal(overload.isFull("DELETE", "/abc/k"), true);
  assert.equal(overload.isFull("GET", "/abc/k"), false);
  assert.equal(overload.isFull("POST", "/_/keys"), false);
  end();
  assert.equal((await slow).status, 201);
  assert.equal(overload.isFull("PUT", "/abc/k"), false);
});

test("each that is turned away is counted; all of a second have one line", async () => {
  const warned: { message: string; fields: LogFields | undefined }[] = [];
  const log = {
    info() {},
    error() {},
    warn: (message: string, fields?: LogFields) => void warned.push({ message, fields }),
  };
  using solo = await openMemoryNode({ log });
  const { overload } = solo.app;
  const before = solo.lines.length;
  assert.equal(overload.turnAway("PUT", "mine").requestId, "mine");
  assert.match(overload.turnAway("PUT", "not\u0001mine").requestId, /^[0-9a-f]{32}$/);
  assert.equal(overload.turnAway("DELETE", undefined).retryAfterSeconds, 1);
  await until("they have a line", DEADLINE_MS, () => warned.length > 0);
  assert.deepEqual(warned, [{
    message: "requests were turned away",
    fields: { status: 503, code: "overloaded", count: 3, firstRequestId: "mine" },
  }]);
  assert.equal(solo.lines.length, before, "and none of its own");
  const metrics = await (await solo.request("/metrics")).text();
  assert.match(metrics, /^atoll_limited_total\{limit="lateness"\} 3$/m);
  const counted = /^http_server_request_duration_seconds_count\{http_request_method="PUT",[^}]*="503"\} 2$/m;
  assert.match(metrics, counted);
});
