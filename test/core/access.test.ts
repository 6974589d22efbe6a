import assert from "node:assert/strict";
import { test } from "node:test";
import { type Conditions, isAllowed, needsOf, type Place } from "../../src/core/access.ts";
import { type Action, ACTIONS } from "../../src/core/grants.ts";

const object: Place = { kind: "object", bucket: "docs", key: "in/a" };
const CASES: readonly (readonly [method: string, place: Place, needs: string, conditions?: Conditions])[] = [
  ["GET", object, "read"],
  ["HEAD", object, "read"],
  ["GET", object, "read", "some"],
  ["PUT", object, "write"],
  ["PUT", object, "write", "create"],
  ["PUT", object, "write read", "some"],
  ["DELETE", object, "delete"],
  ["DELETE", object, "delete read", "create"],
  ["DELETE", object, "delete read", "some"],
  ["PATCH", object, ""],
  ["GET", { kind: "bucket", bucket: "docs", prefix: "" }, "list"],
  ["HEAD", { kind: "bucket", bucket: "docs", prefix: "" }, "list"],
  ["GET", { kind: "root" }, "list-buckets"],
  ["GET", { kind: "probe", path: "livez" }, ""],
  ["GET", { kind: "probe", path: "readyz" }, ""],
  ["GET", { kind: "probe", path: "metrics" }, "admin"],
  ["POST", { kind: "probe", path: "metrics" }, "admin"],
  ["GET", { kind: "internal" }, "admin"],
  ["POST", { kind: "internal" }, "admin"],
  ["GET", { kind: "internal", about: object }, "read"],
  ["POST", { kind: "internal", about: object }, "admin"],
];

for (const [method, place, needs, conditions = "none"] of CASES) {
  test(`${method} of ${JSON.stringify(place)} with conditions ${conditions} needs ${needs || "nothing"}`, () => {
    assert.equal(needsOf(method, place, conditions).map(({ action }) => action).join(" "), needs);
  });
}

test("each need is met by its own action's grant and by no other, and by nobody without a key", () => {
  const places: readonly (readonly [Action, string, Place])[] = [
    ["read", "GET", object],
    ["write", "PUT", object],
    ["delete", "DELETE", object],
    ["list", "GET", { kind: "bucket", bucket: "docs", prefix: "in/" }],
    ["list", "GET", { kind: "root" }],
    ["admin", "POST", { kind: "internal" }],
  ];
  for (const [action, method, place] of places) {
    const [need] = needsOf(method, place, "none");
    for (const granted of ACTIONS) {
      const grants = [{ actions: [granted], bucket: "*", prefix: "" }];
      assert.equal(isAllowed(need!, grants), granted === action, `${granted} for ${action}`);
    }
    assert.equal(isAllowed(need!, undefined), false);
  }
});
