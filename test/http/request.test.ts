import assert from "node:assert/strict";
import { test } from "node:test";
import { ReceivedRequest } from "../../src/http/request.ts";

const SPAN = "11".repeat(8);
const TRACE = "22".repeat(16);

function received(headers: Record<string, string>): ReceivedRequest {
  return new ReceivedRequest({}, new Request("http://a/docs/k?x=1", { headers }), SPAN, TRACE);
}

test("ReceivedRequest shows credentials at the door, and to nobody behind it", () => {
  const request = received({ Authorization: "Bearer a.b", Accept: "text/plain" });
  assert.equal(request.header("authorization"), "Bearer a.b");
  assert.equal(request.isKeyed, false);
  request.enter(true);
  assert.equal(request.header("authorization"), undefined);
  assert.equal(request.header("accept"), "text/plain");
  assert.equal(request.isKeyed, true);
});

test("ReceivedRequest has the client's own IDs where it sent any that will do", () => {
  const traceparent = `00-${"ab".repeat(16)}-${"cd".repeat(8)}-01`;
  const given = received({ "X-Request-Id": "mine", traceparent });
  assert.deepEqual([given.id, given.traceId, given.trace.spanId], ["mine", "ab".repeat(16), SPAN]);
  const odd = received({ "X-Request-Id": 'a"b', traceparent: "00-zz" });
  assert.deepEqual([odd.id, odd.traceId, odd.trace.traceId], [TRACE, TRACE, TRACE]);
  assert.deepEqual([odd.method, odd.target, odd.bodyBytes], ["GET", "/docs/k?x=1", 0]);
});

test("ReceivedRequest cuts a method, and what is cut is still none that is known", () => {
  const method = `GET${"A".repeat(30_000)}`;
  const request = new ReceivedRequest({}, new Request("http://a/", { method }), SPAN, TRACE);
  assert.equal(request.method, method.slice(0, 20));
});
