import assert from "node:assert/strict";
import { test } from "node:test";
import { type AccessEntry, AccessLog } from "../../src/http/access-log.ts";
import { Metrics } from "../../src/node/metrics.ts";

const ENTRY: AccessEntry = {
  method: "GET",
  route: "/{bucket}/{key}",
  path: "/docs/a",
  status: 200,
  bytesIn: 0,
  bytesOut: 1024,
  complete: true,
  tookMs: 0.5,
  requestId: "r1",
  traceId: "t1",
  cacheStatus: undefined,
  code: undefined,
};

function logged(entries: readonly Partial<AccessEntry>[], wallMs = 0) {
  const metrics = new Metrics();
  const lines: string[] = [];
  const log = new AccessLog({ metrics, write: (line) => void lines.push(line), wallMs: () => wallMs });
  for (const entry of entries) log.record({ ...ENTRY, ...entry });
  return { lines, metrics: metrics.text() };
}

test("a line is what JSON.stringify would make of it, whatever a client sent", () => {
  const wallMs = Date.UTC(2026, 0, 2, 3, 4, 5, 7) + 0.9;
  const odd = {
    method: 'G"T',
    path: '/docs/"\\\n\u2028é',
    cacheStatus: 'atoll; detail="a"',
    code: "not-found",
  };
  const { lines } = logged([{}, odd, { complete: false }], wallMs);
  const time = "2026-01-02T03:04:05.007Z";
  const { method, route, path, status, bytesIn, bytesOut, requestId, traceId } = ENTRY;
  const begin = { time, level: "info", message: "request" };
  const end = { ms: 0.5, requestId, traceId };
  assert.deepEqual(lines.map((line) => JSON.parse(line) as unknown), [
    { ...begin, method, path, route, status, bytesIn, bytesOut, ...end },
    { ...begin, ...odd, route, status, bytesIn, bytesOut, ...end },
    { ...begin, method, path, route, status, bytesIn, bytesOut, aborted: true, ...end },
  ]);
  assert.ok(lines.every((line) => line.endsWith("}\n") && line.indexOf("\n") === line.length - 1));
});

test("times have two decimals, as toFixed gives them", () => {
  const times = [0, 0.004, 0.006, 0.05, 0.1, 0.994, 0.996, 1, 9.999, 12.34, 1_000, 86_400_000.25];
  const { lines } = logged(times.map((tookMs) => ({ tookMs })));
  assert.deepEqual(
    lines.map((line) => /"ms":([\d.]+),/.exec(line)?.[1]),
    times.map((tookMs) => tookMs.toFixed(2)),
  );
});

test("each method, route and status has its own series, and a method that is none of HTTP's no name", () => {
  const { metrics } = logged([
    {},
    {},
    { status: 404 },
    { method: "HEAD", bytesOut: 0 },
    { method: "EVIL-1", route: "/" },
    { method: "EVIL-2", route: "/" },
  ]);
  const counts = metrics.split("\n").filter((line) =>
    line.startsWith("http_server_request_duration_seconds_count")
  );
  const series = (method: string, route: string, status: number) =>
    `http_server_request_duration_seconds_count{http_request_method="${method}",http_route="${route}",` +
    `http_response_status_code="${status}"}`;
  assert.deepEqual(counts, [
    `${series("GET", "/{bucket}/{key}", 200)} 2`,
    `${series("GET", "/{bucket}/{key}", 404)} 1`,
    `${series("HEAD", "/{bucket}/{key}", 200)} 1`,
    `${series("_OTHER", "/", 200)} 2`,
  ]);
  assert.match(
    metrics,
    /response_body_bytes_total\{http_request_method="GET",http_route="\/\{bucket\}\/\{key\}"\} 3072/,
  );
});

test("however many methods clients think of, no more is kept of them than of one", () => {
  const metrics = new Metrics();
  let made = 0;
  const counting = new Proxy(metrics, {
    get(target, name: keyof Metrics) {
      if (name === "histogram") made++;
      const member: unknown = target[name];
      return typeof member === "function" ? member.bind(target) as unknown : member;
    },
  });
  const log = new AccessLog({ metrics: counting, write: () => {}, wallMs: () => 0 });
  for (let i = 0; i < 1_000; i++) {
    log.record({ ...ENTRY, method: `X${i}`, status: 405 });
    log.count({ ...ENTRY, method: `Y${i}`, status: 503 });
  }
  assert.equal(made, 2, "what observes one method that is none of HTTP's, for each of the two statuses");
});
