import assert from "node:assert/strict";
import { test } from "node:test";
import { Metrics } from "../../src/node/metrics.ts";

test("Metrics.text is Prometheus' text format", () => {
  const metrics = new Metrics();
  metrics.counter("atoll_things_total", "Things", { kind: "good" }).add();
  metrics.counter("atoll_things_total", "Things", { kind: "bad" }).add(2);
  let used = 7;
  metrics.gauge("atoll_used_bytes", "Bytes in use", () => used);
  used = 8;
  const histogram = metrics.histogram("atoll_wait_seconds", "Waits", { to: "b" }, [0.1, 1]);
  for (const seconds of [0.05, 0.1, 0.5, 3]) histogram.observe(seconds);
  assert.equal(
    metrics.text(),
    `# HELP atoll_things_total Things
# TYPE atoll_things_total counter
atoll_things_total{kind="good"} 1
atoll_things_total{kind="bad"} 2
# HELP atoll_used_bytes Bytes in use
# TYPE atoll_used_bytes gauge
atoll_used_bytes 8
# HELP atoll_wait_seconds Waits
# TYPE atoll_wait_seconds histogram
atoll_wait_seconds_bucket{to="b",le="0.1"} 2
atoll_wait_seconds_bucket{to="b",le="1"} 3
atoll_wait_seconds_bucket{to="b",le="+Inf"} 4
atoll_wait_seconds_sum{to="b"} 3.65
atoll_wait_seconds_count{to="b"} 4
`,
  );
});

test("Metrics gives the same series for the same name and labels", () => {
  const metrics = new Metrics();
  metrics.counter("atoll_things_total", "Things", { kind: "good" }).add();
  metrics.counter("atoll_things_total", "Things", { kind: "good" }).add();
  assert.match(metrics.text(), /^atoll_things_total\{kind="good"\} 2$/m);
});

test("Metrics escapes what would break a line", () => {
  const metrics = new Metrics();
  metrics.counter("atoll_things_total", "Things", { kind: 'a"b\\c\nd' }).add();
  assert.match(metrics.text(), /^atoll_things_total\{kind="a\\"b\\\\c\\nd"\} 1$/m);
});

test("Metrics stays bounded when a label turns out not to be", () => {
  const metrics = new Metrics();
  for (let n = 0; n < 5_000; n++) metrics.counter("atoll_things_total", "Things", { kind: String(n) }).add();
  assert.ok(metrics.text().split("\n").length < 1_100);
});
