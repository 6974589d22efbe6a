import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Action,
  type Grant,
  isAdmin,
  isGranted,
  keyIdProblem,
  listedBuckets,
  parseGrants,
  secretProblem,
} from "../../src/core/grants.ts";

const grant = (actions: Action[], bucket = "*", prefix = ""): Grant => ({ actions, bucket, prefix });

const CASES: readonly (readonly [
  grants: readonly Grant[],
  action: Action,
  bucket: string,
  key: string,
  allowed: boolean,
])[] = [
  [[grant(["read"])], "read", "docs", "a", true],
  [[grant(["read"])], "write", "docs", "a", false],
  [[grant(["read"], "docs")], "read", "docs", "a", true],
  [[grant(["read"], "docs")], "read", "docs2", "a", false],
  [[grant(["read"], "docs")], "read", "doc", "a", false],
  [[grant(["read"], "docs", "in/")], "read", "docs", "in/a", true],
  [[grant(["read"], "docs", "in/")], "read", "docs", "in", false],
  [[grant(["read"], "docs", "in/")], "read", "docs", "In/a", false],
  [[grant(["read"], "docs", "in/")], "read", "docs", "x/in/a", false],
  // Dots are characters of a key like any other: there is no way out by them.
  [[grant(["read"], "docs", "in/")], "read", "docs", "in/../out", true],
  [[grant(["read"], "docs", "in/")], "read", "docs", "./in/a", false],
  [[grant(["list"], "docs", "in/")], "list", "docs", "", false],
  [[grant(["list"], "docs", "in/")], "list", "docs", "i", false],
  [[grant(["list"], "docs", "in/")], "list", "docs", "in/2026", true],
  [[grant(["read"], "docs"), grant(["write"], "in")], "write", "docs", "a", false],
  [[grant(["read"], "docs"), grant(["write"], "in")], "write", "in", "a", true],
  [[grant(["admin"])], "read", "docs", "a", false],
  [[], "read", "docs", "a", false],
];

for (const [grants, action, bucket, key, allowed] of CASES) {
  test(`${JSON.stringify(grants)} ${allowed ? "grants" : "does not grant"} ${action} of ${bucket}/${key}`, () => {
    assert.equal(isGranted(grants, action, bucket, key), allowed);
  });
}

test("a listing of buckets shows those that may be listed", () => {
  assert.equal(listedBuckets([grant(["list"], "b"), grant(["list"])]), "*");
  assert.deepEqual(listedBuckets([grant(["list"], "b"), grant(["read"], "c"), grant(["list"], "a", "x/")]), [
    "a",
    "b",
  ]);
  assert.deepEqual(listedBuckets([grant(["read", "admin"])]), []);
});

test("only an admin's grant makes an admin", () => {
  assert(isAdmin([grant(["read"]), grant(["admin"])]));
  assert(!isAdmin([grant(["read", "write", "delete", "list"])]));
});

test("grants are taken as they are written, or it is said what is wrong with them", () => {
  assert.deepEqual(parseGrants([{ actions: ["read", "read"] }]), [grant(["read"])]);
  assert.deepEqual(parseGrants([{ actions: ["list"], bucket: "docs", prefix: "in/" }]), [
    grant(["list"], "docs", "in/"),
  ]);
  const wrong: readonly (readonly [value: unknown, says: RegExp])[] = [
    [undefined, /a list of 1 to 64/],
    [[], /a list of 1 to 64/],
    [Array.from({ length: 65 }, () => ({ actions: ["read"] })), /a list of 1 to 64/],
    [["read"], /grants\.0: wanted \{/],
    [[{ actions: ["read"] }, null], /grants\.1: wanted \{/],
    [[{ actions: [] }], /actions: wanted/],
    [[{ actions: "read" }], /actions: wanted/],
    [[{ actions: ["read", "fly"] }], /actions: wanted/],
    [[{ actions: ["read"], bucket: "A" }], /bucket: wanted/],
    [[{ actions: ["read"], bucket: "a*" }], /bucket: wanted/],
    [[{ actions: ["read"], bucket: "docs", prefx: "in/" }], /nothing but actions, bucket and prefix/],
    [[{ actions: ["read"], bucket: "docs", prefix: 1 }], /prefix: wanted/],
    [[{ actions: ["read"], bucket: "docs", prefix: "x".repeat(1025) }], /prefix: wanted/],
    [[{ actions: ["admin"], bucket: "docs" }], /whole ring/],
    [[{ actions: ["admin"], prefix: "in/" }], /whole ring/],
  ];
  for (const [value, says] of wrong) {
    const problem = parseGrants(value);
    assert(typeof problem === "string", JSON.stringify(value));
    assert.match(problem, says);
  }
});

test("IDs and secrets that would not do are refused without being repeated", () => {
  for (const id of ["a", "CI-1_x", "a".repeat(64)]) assert.equal(keyIdProblem(id), undefined, id);
  for (const id of ["", "a.b", "a:b", "a b", "ä", "a".repeat(65), 1, undefined]) {
    assert.match(keyIdProblem(id) ?? "", /^wanted an ID/);
  }
  assert.equal(secretProblem("correct-horse.battery:staple=="), undefined);
  for (
    const secret of ["short", "x".repeat(257), "with a space in it, and a comma", "é".repeat(30), 1, null]
  ) {
    const problem = secretProblem(secret);
    assert.match(problem ?? "", /^wanted a secret of 20 to 256/);
    assert(typeof secret !== "string" || !problem!.includes(secret));
  }
  assert.match(secretProblem("aaaaaaaaaaaaaaaaaaaaaaaa") ?? "", /different/);
});
