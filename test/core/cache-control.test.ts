import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  parseDeltaSeconds,
  parseDictionary,
  parseDirectives,
  parseHttpDateMs,
} from "../../src/core/cache-control.ts";

test("parseDirectives reads lists of tokens and quoted strings", () => {
  const table: [string, Record<string, (string | null)[]>][] = [
    ["", {}],
    [" , ,", {}],
    ["no-store", { "no-store": [null] }],
    ["Public, MAX-AGE=5", { public: [null], "max-age": ["5"] }],
    ["max-age=1,max-age=2", { "max-age": ["1", "2"] }],
    ['max-age="10"', { "max-age": ["10"] }],
    ['no-cache="a, no-store", max-age=1', { "no-cache": ["a, no-store"], "max-age": ["1"] }],
    ['x="a\\"b\\\\", y', { x: ['a"b\\'], y: [null] }],
    ["max-age =60, public", { "max-age": [""], public: [null] }],
    ["max-age= 60", { "max-age": [""] }],
    ["max-age=6 0, no-cache", { "max-age": [""], "no-cache": [null] }],
    ["max-age=, public", { "max-age": [""], public: [null] }],
    ["max-age: 60", { "max-age": [""] }],
    ["=5, ;;, no-store", { "no-store": [null] }],
    ['max-age=1 "a, b", no-store', { "max-age": [""], "no-store": [null] }],
  ];
  for (const [field, wanted] of table) {
    const found = parseDirectives(field);
    assert.deepEqual(found && Object.fromEntries(found), wanted, field);
  }
});

test("parseDirectives gives up on an open quote and on more than 64 KiB", () => {
  assert.equal(parseDirectives('max-age=60, x="no-store'), undefined);
  assert.equal(parseDirectives('max-age=60, x="no-store\\"'), undefined);
  assert.equal(parseDirectives("a,".repeat(32_769)), undefined);
  assert.equal(parseDirectives("a,".repeat(32_768))?.get("a")?.length, 32_768);
});

test("parseDirectives and parseDictionary end on anything, in time that grows with the length", () => {
  const hostile = [
    '"',
    '\\"',
    '"\\',
    "a=",
    'a="',
    'a="x" ',
    "a ",
    ";a",
    "(",
    "( a",
    "(a ",
    "a=(1 ",
    "a=1;b",
    ":",
    "a=:",
    " ",
    "1",
  ];
  for (const piece of hostile) {
    const field = piece.repeat(Math.floor(16_000 / piece.length));
    for (const text of [field, `"${field}`, `a="${field}`, `a=${field}`, `a=(${field}`, `${field}\0`]) {
      const begun = performance.now();
      parseDirectives(text);
      parseDictionary(text);
      const tookMs = performance.now() - begun;
      assert.ok(tookMs < 1000, `${JSON.stringify(piece)}: ${tookMs} ms`);
    }
  }
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => void (parseDirectives(text), parseDictionary(text))),
  );
});

test("parseDeltaSeconds takes digits only, and clamps to 2^31", () => {
  const table: [string | null, number | undefined][] = [
    ["0", 0],
    ["007", 7],
    ["2147483647", 2147483647],
    ["2147483649", 2147483648],
    ["9".repeat(400), 2147483648],
    [null, undefined],
    ["", undefined],
    ["-1", undefined],
    ["+1", undefined],
    ["1.0", undefined],
    ["1e3", undefined],
    ["60s", undefined],
    [" 60", undefined],
  ];
  for (const [text, wanted] of table) assert.equal(parseDeltaSeconds(text), wanted, String(text));
});

test("parseDictionary reads the members that RFC 9651 allows", () => {
  const table: [string, Record<string, unknown>][] = [
    ["", {}],
    ["  ", {}],
    ["max-age=60", { "max-age": { kind: "integer", value: 60 } }],
    ["a=-5", { a: { kind: "integer", value: -5 } }],
    ["a=1.5", { a: { kind: "other" } }],
    ['a="x, \\"y"', { a: { kind: "other" } }],
    ["a=tok/en:x", { a: { kind: "other" } }],
    ["a=(1 2);p, b", { a: { kind: "other" }, b: { kind: "boolean", value: true } }],
    ["a=()", { a: { kind: "other" } }],
    ["a, b=?0, c=?1", {
      a: { kind: "boolean", value: true },
      b: { kind: "boolean", value: false },
      c: { kind: "boolean", value: true },
    }],
    ["a=:AQID:", { a: { kind: "bytes", base64: "AQID" } }],
    ["a=::", { a: { kind: "bytes", base64: "" } }],
    ['a=1;x;y=2;z="q" \t,\t b;c', { a: { kind: "integer", value: 1 }, b: { kind: "boolean", value: true } }],
    ["a=1, a=2", { a: { kind: "integer", value: 2 } }],
    ["*x=1", { "*x": { kind: "integer", value: 1 } }],
    ["a=@1659578233", { a: { kind: "other" } }],
  ];
  for (const [field, wanted] of table) {
    const found = parseDictionary(field);
    assert.deepEqual(found && Object.fromEntries(found), wanted, field);
  }
});

test("parseDictionary refuses the whole of a field that breaks the syntax anywhere", () => {
  const table = [
    "A=1",
    "a=1,",
    ",a",
    "a,,b",
    "a=",
    "a= 1",
    "a =1",
    "a=1 b",
    'a="x',
    "a=:x",
    "a=:!:",
    "a=?2",
    "a=(1",
    "a=(1 2",
  ];
  table.push(
    "a=1.",
    "a=1.2345",
    "a=1234567890123456",
    "a=é",
    "1=a",
    "a;=1",
    "a=1;",
    'a="é"',
    'a="\\x"',
    "\ta=1",
    "a=(1,2)",
    "a=--1",
  );
  for (const field of table) assert.equal(parseDictionary(field), undefined, field);
});

const NOW_MS = Date.UTC(2026, 10, 22);

test("parseHttpDateMs reads all three forms, strictly", () => {
  const wanted = Date.UTC(1994, 10, 6, 8, 49, 37);
  for (
    const text of [
      "Sun, 06 Nov 1994 08:49:37 GMT",
      "Sunday, 06-Nov-94 08:49:37 GMT",
      "Sun Nov  6 08:49:37 1994",
    ]
  ) {
    assert.equal(parseHttpDateMs(text, NOW_MS), wanted, text);
  }
  const broken = [
    "",
    "0",
    "-1",
    "Mon, 06 Nov 1994 08:49:37 GMT", // it was a Sunday
    "Sun, 6 Nov 1994 08:49:37 GMT",
    "sun, 06 nov 1994 08:49:37 gmt",
    "Sun, 06 Nov 1994 08:49:37 UTC",
    "Sun, 06 Nov 1994 08:49:37 +0000",
    "Sun, 06 Nov 1994 08:49:37",
    "Sun, 06 Nov 94 08:49:37 GMT",
    "Sun,  06 Nov 1994 08:49:37 GMT",
    " Sun, 06 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 24:00:00 GMT",
    "Sun, 06 Nov 1994 08:60:37 GMT",
    "Sun, 06 Nov 1994 08:49:61 GMT",
    "Wed, 31 Nov 1994 08:49:37 GMT",
    "Wed, 29 Feb 2023 00:00:00 GMT",
    "Wed, 00 Nov 1994 08:49:37 GMT",
    "1994-11-06T08:49:37Z",
    "784111777",
  ];
  for (const text of broken) assert.equal(parseHttpDateMs(text, NOW_MS), undefined, text);
});

test("parseHttpDateMs places a year of two digits no more than 50 years ahead", () => {
  const yearOf = (text: string) => new Date(parseHttpDateMs(text, NOW_MS)!).getUTCFullYear();
  assert.equal(yearOf("Wednesday, 01-Jan-76 00:00:00 GMT"), 2076);
  assert.equal(yearOf("Saturday, 01-Jan-77 00:00:00 GMT"), 1977);
  assert.equal(yearOf("Thursday, 01-Jan-26 00:00:00 GMT"), 2026);
});

test("parseHttpDateMs undoes Date's formatting, for every second from 1970 to 9999", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 253_402_300_799 }), (second) => {
      assert.equal(parseHttpDateMs(new Date(second * 1000).toUTCString(), NOW_MS), second * 1000);
    }),
    { numRuns: 2000 },
  );
});
