import assert from "node:assert/strict";
import { test } from "node:test";
import { planMultipart } from "../../src/http/multipart-ranges.ts";

const CONTENT = "0123456789abcdefghij";
const decoder = new TextDecoder();

function body(plan: ReturnType<typeof planMultipart>): string {
  const parts = plan.parts.map(({ head, range }) =>
    decoder.decode(head) + CONTENT.slice(range.first, range.last + 1)
  );
  return parts.join("") + decoder.decode(plan.tail);
}

test("planMultipart frames each part as RFC 9110 section 14.6 shows", () => {
  const plan = planMultipart({
    boundary: "THIS_STRING_SEPARATES",
    contentType: "text/plain",
    sizeBytes: 20,
    ranges: [{ first: 0, last: 4 }, { first: 18, last: 19 }],
  });
  const wanted = [
    "--THIS_STRING_SEPARATES",
    "Content-Type: text/plain",
    "Content-Range: bytes 0-4/20",
    "",
    "01234",
    "--THIS_STRING_SEPARATES",
    "Content-Type: text/plain",
    "Content-Range: bytes 18-19/20",
    "",
    "ij",
    "--THIS_STRING_SEPARATES--",
    "",
  ].join("\r\n");
  assert.equal(body(plan), wanted);
  assert.equal(plan.totalBytes, wanted.length);
  assert.equal(plan.contentType, "multipart/byteranges; boundary=THIS_STRING_SEPARATES");
});

test("planMultipart counts bytes, not characters, and leaves out an unknown type", () => {
  const ranges = [{ first: 0, last: 9 }, { first: 10, last: 10 }];
  for (const contentType of [undefined, "text/plain; name=é🐚"]) {
    const plan = planMultipart({ boundary: "b", contentType, sizeBytes: 20, ranges });
    assert.equal(plan.totalBytes, Buffer.byteLength(body(plan)));
    assert.equal(body(plan).includes("Content-Type"), contentType !== undefined);
  }
});

test("planMultipart counts beyond 4 GiB", () => {
  const sizeBytes = 5 * 2 ** 40;
  const plan = planMultipart({
    boundary: "b",
    contentType: undefined,
    sizeBytes,
    ranges: [{ first: 0, last: sizeBytes - 3 }, { first: sizeBytes - 1, last: sizeBytes - 1 }],
  });
  const framing = plan.parts.reduce((sum, { head }) => sum + head.length, plan.tail.length);
  assert.equal(plan.totalBytes, sizeBytes - 1 + framing);
});

test("planMultipart refuses ranges beyond the object and boundaries that would need quotes", () => {
  const good = { boundary: "b", contentType: undefined, sizeBytes: 20, ranges: [{ first: 0, last: 1 }] };
  planMultipart(good);
  for (const ranges of [[], [{ first: 0, last: 20 }], [{ first: 2, last: 1 }]]) {
    assert.throws(() => planMultipart({ ...good, ranges }), /broken invariant/);
  }
  for (const boundary of ["", "a b", 'a"', "a\r\nb", "b\n", "x".repeat(71)]) {
    assert.throws(() => planMultipart({ ...good, boundary }), /broken invariant/, JSON.stringify(boundary));
  }
});
