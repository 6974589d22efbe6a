import assert from "node:assert/strict";
import { test } from "node:test";
import { createClock } from "../../src/adapters/clock.ts";
import { RefusalLog } from "../../src/http/peer-refusals.ts";
import { Metrics } from "../../src/node/metrics.ts";

const HOUR_MS = 3_600_000;

test("whoever makes up names keeps others out of the log for an hour, and nobody out of the metrics", () => {
  let passedMs = 0;
  const told: string[] = [];
  const warn = (message: string, fields: object = {}) =>
    void told.push(`${message} ${JSON.stringify(fields)}`);
  const metrics = new Metrics();
  const refusals = new RefusalLog({
    log: { info: warn, warn, error: warn },
    metrics,
    clock: { ...createClock(), monotonicMs: () => passedMs },
  });
  const refuse = (from: string) =>
    refusals.refused(from, { code: "peer-refused", message: "no" }, "192.0.2.1");
  for (let i = 0; i < 1_000; i++) refuse(`made-up-${i}`);
  refuse("another");
  assert.equal(told.length, 257, "with the line that says so");
  passedMs += HOUR_MS;
  for (let i = 0; i < 2; i++) refuse("another");
  assert.deepEqual(told.slice(257), [
    'audit: a peer was refused {"from":"another","address":"192.0.2.1","code":"peer-refused","reason":"no"}',
  ]);
  assert.match(metrics.text(), /^atoll_access_refused_total\{reason="peer-refused"\} 1003$/m);
});
