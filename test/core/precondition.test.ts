import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  checkRead,
  checkWrite,
  ifRangeApplies,
  parseEntityTags,
  type ReadCheck,
  readCondition,
  type ReadConditions,
  type WriteConditions,
} from "../../src/core/precondition.ts";

const SHA = "ab".repeat(32);
const OTHER = "cd".repeat(32);
const strong = (tag: string) => ({ weak: false, tag });
const weak = (tag: string) => ({ weak: true, tag });

test("parseEntityTags reads what RFC 9110 section 8.8.3 allows", () => {
  const table: [string, ReturnType<typeof parseEntityTags>][] = [
    ["*", "*"],
    [" * ", "*"],
    ['"a"', [strong("a")]],
    ['W/"a"', [weak("a")]],
    ['""', [strong("")]],
    ['"a","b"', [strong("a"), strong("b")]],
    ['"a" ,\t W/"b" ', [strong("a"), weak("b")]],
    ['"a,b", "c"', [strong("a,b"), strong("c")]],
    [', "a",, "b",', [strong("a"), strong("b")]],
    ['"*"', [strong("*")]],
    ['"\\"', [strong("\\")]],
    ['"é"', [strong("é")]],
  ];
  for (const [header, wanted] of table) assert.deepEqual(parseEntityTags(header), wanted, header);
});

test("parseEntityTags refuses everything else", () => {
  const table = [
    "",
    " ",
    ",",
    "a",
    '"a',
    'a"',
    '"a" "b"',
    'w/"a"',
    'W /"a"',
    'W/ "a"',
    "W/a",
    "*, *",
    '*,"a"',
    '"a", *',
  ];
  table.push('"a b"', '"a"b', '"a\n"', '"\x7f"', "'a'", `"${"x".repeat(9000)}"`);
  for (const header of table) assert.equal(parseEntityTags(header), undefined, JSON.stringify(header));
});

test("readCondition knows a field that cannot be read, which no tag matches, from one that is not there", () => {
  assert.equal(readCondition(undefined), undefined);
  assert.equal(readCondition("*"), "*");
  assert.deepEqual(readCondition('"a"'), [strong("a")]);
  for (const header of ["a", "", `"${"x".repeat(9_000)}"`]) {
    assert.deepEqual(readCondition(header), [], header);
  }
});

test("parseEntityTags takes apart what was put together", () => {
  const etagc = fc.integer({ min: 0x21, max: 0xff }).filter((code) => code !== 0x22 && code !== 0x7f);
  const tag = fc.array(etagc, { maxLength: 10 }).map((codes) => String.fromCharCode(...codes));
  fc.assert(
    fc.property(
      fc.array(fc.record({ weak: fc.boolean(), tag }, { noNullPrototype: true }), {
        minLength: 1,
        maxLength: 10,
      }),
      (tags) => {
        assert.deepEqual(
          parseEntityTags(tags.map((one) => `${one.weak ? "W/" : ""}"${one.tag}"`).join(", ")),
          tags,
        );
      },
    ),
  );
});

test("checkWrite decides by the current object or its absence", () => {
  const current = { sha256: SHA, version: 7 };
  const table: [WriteConditions, present: boolean, absent: boolean][] = [
    [{}, true, true],
    [{ ifMatch: "*" }, true, false],
    [{ ifMatch: [strong(SHA)] }, true, false],
    [{ ifMatch: [strong(OTHER), strong(SHA)] }, true, false],
    [{ ifMatch: [weak(SHA)] }, false, false],
    [{ ifMatch: [strong(OTHER)] }, false, false],
    [{ ifNoneMatch: "*" }, false, true],
    [{ ifNoneMatch: [strong(SHA)] }, false, true],
    [{ ifNoneMatch: [weak(SHA)] }, false, true],
    [{ ifNoneMatch: [strong(OTHER)] }, true, true],
    [{ ifVersion: 0 }, false, true],
    [{ ifVersion: 7 }, true, false],
    [{ ifVersion: 6 }, false, false],
    [{ ifVersion: 8 }, false, false],
    [{ ifMatch: "*", ifNoneMatch: "*" }, false, false],
    [{ ifMatch: [strong(SHA)], ifVersion: 7 }, true, false],
    [{ ifMatch: [strong(SHA)], ifVersion: 6 }, false, false],
    [{ ifNoneMatch: [strong(OTHER)], ifVersion: 0 }, false, true],
  ];
  for (const [conditions, present, absent] of table) {
    assert.equal(checkWrite(conditions, current).kind === "proceed", present, JSON.stringify(conditions));
    assert.equal(checkWrite(conditions, undefined).kind === "proceed", absent, JSON.stringify(conditions));
  }
});

test("checkWrite says what was wanted and what was found", () => {
  const found = { sha256: SHA, version: 7 };
  const table: [WriteConditions, typeof found | undefined, string][] = [
    [{ ifMatch: "*" }, undefined, "If-Match wanted any object, found no object"],
    [{ ifMatch: [weak("x")] }, found, `If-Match wanted W/"x", found version 7 with ETag "${SHA}"`],
    [{ ifNoneMatch: "*" }, found, `If-None-Match wanted no object, found version 7 with ETag "${SHA}"`],
    [{ ifVersion: 3 }, undefined, "Atoll-If-Version wanted version 3, found no object"],
    [{ ifVersion: 0 }, found, `Atoll-If-Version wanted no object, found version 7 with ETag "${SHA}"`],
  ];
  for (const [conditions, current, detail] of table) {
    assert.deepEqual(checkWrite(conditions, current), { kind: "failed", detail });
  }
});

test("checkRead follows the order of RFC 9110 section 13.2.2", () => {
  const current = { sha256: SHA, modifiedMs: 10_999 };
  const [before, same, after] = [9_000, 10_000, 11_000];
  const table: [ReadConditions, ReadCheck][] = [
    [{}, "proceed"],
    [{ ifMatch: [strong(SHA)] }, "proceed"],
    [{ ifMatch: "*" }, "proceed"],
    [{ ifMatch: [weak(SHA)] }, "failed"],
    [{ ifMatch: [strong(OTHER)] }, "failed"],
    [{ ifUnmodifiedSinceMs: before }, "failed"],
    [{ ifUnmodifiedSinceMs: same }, "proceed"],
    [{ ifUnmodifiedSinceMs: after }, "proceed"],
    [{ ifMatch: [strong(SHA)], ifUnmodifiedSinceMs: before }, "proceed"],
    [{ ifNoneMatch: "*" }, "not-modified"],
    [{ ifNoneMatch: [strong(SHA)] }, "not-modified"],
    [{ ifNoneMatch: [weak(SHA)] }, "not-modified"],
    [{ ifNoneMatch: [strong(OTHER)] }, "proceed"],
    [{ ifModifiedSinceMs: before }, "proceed"],
    [{ ifModifiedSinceMs: same }, "not-modified"],
    [{ ifModifiedSinceMs: after }, "not-modified"],
    [{ ifNoneMatch: [strong(OTHER)], ifModifiedSinceMs: after }, "proceed"],
    [{ ifNoneMatch: [strong(SHA)], ifModifiedSinceMs: before }, "not-modified"],
    [{ ifMatch: [strong(SHA)], ifNoneMatch: [strong(SHA)] }, "not-modified"],
    [{ ifMatch: [strong(OTHER)], ifNoneMatch: [strong(SHA)] }, "failed"],
    [{ ifUnmodifiedSinceMs: before, ifModifiedSinceMs: after }, "failed"],
    [{ ifUnmodifiedSinceMs: after, ifModifiedSinceMs: after }, "not-modified"],
    [{ ifNoneMatch: [], ifModifiedSinceMs: after }, "proceed"],
    [{ ifMatch: [], ifUnmodifiedSinceMs: after }, "failed"],
  ];
  for (const [request, wanted] of table) {
    assert.equal(checkRead(request, current), wanted, JSON.stringify(request));
  }
});

test("ifRangeApplies to one strong tag that is the current one, and to nothing else", () => {
  const current = { sha256: SHA };
  assert.equal(ifRangeApplies(`"${SHA}"`, current), true);
  const others = [
    `W/"${SHA}"`,
    `"${OTHER}"`,
    SHA,
    "*",
    `"${SHA}", "${SHA}"`,
    "",
    "Sun, 06 Nov 1994 08:49:37 GMT",
  ];
  for (const header of others) assert.equal(ifRangeApplies(header, current), false, header);
});
