import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  bucketProblem,
  compareUtf8,
  decodeOnce,
  keyProblem,
  objectName,
  splitName,
  utf8Length,
} from "../../src/core/names.ts";

/** Strings in which order by UTF-16 and by UTF-8 differ now and then. */
const text = fc.string({
  unit: fc.oneof(
    fc.constantFrom("\0", "a", "\uffff", "\ue000", "\u{10000}", "\ud7ff"),
    fc.string({ unit: "binary", minLength: 1, maxLength: 1 }),
  ),
});

test("bucketProblem allows what S3 allows", () => {
  for (const bucket of ["abc", "a-b", "a.b", "0.1", "a--b", "1.2.3", "1.2.3.4.5", "a".repeat(63), "livez2"]) {
    assert.equal(bucketProblem(bucket), undefined, bucket);
  }
});

test("bucketProblem says what is wrong with everything else", () => {
  const length = /wanted 3 to 63/;
  const table: [string, RegExp][] = [
    ["", length],
    ["ab", length],
    ["a".repeat(64), length],
    ["Abc", length],
    ["a_b", length],
    ["_abc", length],
    ["-abc", length],
    ["abc-", length],
    [".abc", length],
    ["abc.", length],
    ["a b", length],
    ["a/b", length],
    ["äbc", length],
    ["abc\n", length],
    ["a\0b", length],
    ["a..b", /no two dots/],
    ["1.2.3.4", /IP address/],
    ["999.999.999.999", /IP address/],
    ["livez", /belongs to the node/],
    ["readyz", /belongs to the node/],
    ["metrics", /belongs to the node/],
  ];
  for (const [bucket, problem] of table) assert.match(bucketProblem(bucket) ?? "no problem", problem, bucket);
  assert.ok(bucketProblem("A".repeat(10_000))!.length < 300);
});

test("keyProblem counts UTF-8 bytes, from 1 to 1,024", () => {
  for (
    const key of ["a", "/", "..", "a//b/", " ", "🐚".repeat(256), "é".repeat(512), "x".repeat(1024), "\0"]
  ) {
    assert.equal(keyProblem(key), undefined);
  }
  for (const key of ["", "x".repeat(1025), "é".repeat(512) + "x", "🐚".repeat(256) + "x", "€".repeat(342)]) {
    assert.match(keyProblem(key) ?? "no problem", /wanted a key/);
  }
});

test("decodeOnce decodes exactly once, and refuses broken escapes and broken UTF-8", () => {
  const table: [string, string | undefined][] = [
    ["plain+text", "plain+text"],
    ["a%20b", "a b"],
    ["%252e", "%2e"],
    ["%2e%2E%2f", "../"],
    ["%F0%9F%90%9A", "🐚"],
    ["%00", "\0"],
    ["%", undefined],
    ["%2", undefined],
    ["%zz", undefined],
    ["%ff", undefined],
    ["%c0%80", undefined], // overlong
    ["%ed%a0%80", undefined], // half a surrogate pair
    ["%f4%90%80%80", undefined], // beyond U+10FFFF
  ];
  for (const [given, wanted] of table) assert.equal(decodeOnce(given), wanted, given);
});

test("compareUtf8 orders as the bytes do", () => {
  fc.assert(
    fc.property(text, text, (a, b) => {
      assert.equal(Math.sign(compareUtf8(a, b)), Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }),
    { numRuns: 2000 },
  );
  assert.ok(compareUtf8("\uffff", "\u{10000}") < 0, "UTF-16 units would say otherwise");
});

test("utf8Length is the number of bytes", () => {
  fc.assert(fc.property(text, (a) => assert.equal(utf8Length(a), Buffer.byteLength(a))), { numRuns: 2000 });
});

test("objectName sorts by bucket, then by key, and splitName takes it apart", () => {
  assert.ok(compareUtf8(objectName("abc", "zzz"), objectName("abc-d", "a")) < 0);
  assert.ok(compareUtf8(objectName("abc", "zzz"), objectName("abc.d", "a")) < 0);
  assert.deepEqual(splitName(objectName("abc", "k\0e/y")), { bucket: "abc", key: "k\0e/y" });
});
