import assert from "node:assert/strict";
import { test } from "node:test";
import { isPurged, type Purge, tagsOf } from "../../src/core/purge.ts";

const TAGS: readonly (readonly [field: string, value: string, tags: readonly string[]])[] = [
  ["cache-tag", "a, b ,,c", ["a", "b", "c"]],
  ["cache-tag", " , ", []],
  ["cache-groups", '"eurovision-results", "kylie"', ["eurovision-results", "kylie"]], // RFC 9875 section 2
  ["cache-groups", '"with \\"quotes\\" and \\\\"', ['with "quotes" and \\']],
  ["cache-groups", '"one" "two"', []], // RFC 9651 section 4.2: what does not parse is ignored as a whole
  ["cache-groups", '"one", two', []],
  ["cache-groups", '"one",', []],
  ["cache-groups", '"open', []],
  ["cache-groups", "", []],
];

for (const [field, value, tags] of TAGS) {
  test(`tagsOf ${field}: ${value || "nothing"} is ${tags.join(" and ") || "none"}`, () => {
    assert.deepEqual(tagsOf({ headers: { [field]: value } }), tags);
  });
}

test("tagsOf both fields is all of them", () => {
  assert.deepEqual(tagsOf({ headers: { "cache-tag": "a", "cache-groups": '"b"' } }), ["a", "b"]);
});

test("isPurged goes by prefix and by tag within the bucket", () => {
  const manifest = { headers: { "cache-tag": "news" } } as unknown as Parameters<typeof isPurged>[2];
  const purge: Purge = {
    names: [],
    prefixes: ["abc\0img/"],
    tagged: [{ bucket: "abc", tag: "news" }],
    soft: false,
  };
  assert.equal(isPurged(purge, "abc\0img/1", undefined), true);
  assert.equal(isPurged(purge, "abc\0other", undefined), false);
  assert.equal(isPurged(purge, "abc\0other", manifest), true);
  assert.equal(isPurged(purge, "abcd\0other", manifest), false, "another bucket that begins alike");
});
