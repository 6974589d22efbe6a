import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isAtollError } from "../../src/errors.ts";
import { parseTarget, routeOf } from "../../src/http/target.ts";

const objects: [target: string, bucket: string, key: string][] = [
  ["/abc/k", "abc", "k"],
  ["/abc/a/b/c", "abc", "a/b/c"],
  ["/abc/a/", "abc", "a/"],
  ["/abc//", "abc", "/"],
  ["/abc//a//b", "abc", "/a//b"],
  ["/abc/../x", "abc", "../x"],
  ["/abc/./x", "abc", "./x"],
  ["/abc/%2e%2e/x", "abc", "../x"],
  ["/abc/a%2Fb", "abc", "a/b"],
  ["/abc/a%20b", "abc", "a b"],
  ["/abc/a+b", "abc", "a+b"],
  ["/abc/%2525", "abc", "%25"],
  ["/abc/%F0%9F%90%9A", "abc", "🐚"],
  ["/abc/%00", "abc", "\0"],
  ["/abc/k?x=1", "abc", "k"],
  ["http://host:80/abc/k", "abc", "k"],
  ["/livez.d/k", "livez.d", "k"],
];

const refused: [target: string, code: "invalid-key" | "invalid-bucket"][] = [
  ["/abc/%", "invalid-key"],
  ["/abc/%zz", "invalid-key"],
  ["/abc/%ff", "invalid-key"],
  ["/abc/%ed%a0%80", "invalid-key"],
  [`/abc/${"a".repeat(1025)}`, "invalid-key"],
  ["/ab/k", "invalid-bucket"],
  ["/ABC/k", "invalid-bucket"],
  ["/a..b/k", "invalid-bucket"],
  ["/1.2.3.4/k", "invalid-bucket"],
  ["/%61bc/k", "invalid-bucket"],
  ["/livez/k", "invalid-bucket"],
  ["/metrics/", "invalid-bucket"],
  ["//k", "invalid-bucket"],
  ["/_x/k", "invalid-bucket"],
];

describe("parseTarget", () => {
  for (const [target, bucket, key] of objects) {
    it(`takes ${target} for the key ${JSON.stringify(key)}`, () => {
      const parsed = parseTarget(target);
      assert(parsed.kind === "object");
      assert.equal(parsed.bucket, bucket);
      assert.equal(parsed.key, key);
      assert.equal(routeOf(parsed), "/{bucket}/{key}");
    });
  }

  for (const [target, code] of refused) {
    it(`refuses ${target.slice(0, 30)} as ${code}`, () => {
      assert.throws(() => parseTarget(target), (error) => isAtollError(error, code));
    });
  }

  it("tells the node's own pages from buckets", () => {
    assert.equal(parseTarget("/").kind, "root");
    assert.equal(parseTarget("/?limit=1").kind, "root");
    assert.equal(parseTarget("/livez").kind, "probe");
    assert.equal(parseTarget("/metrics?x").kind, "probe");
    assert.equal(parseTarget("/_/ring").kind, "internal");
    assert.equal(parseTarget("/abc").kind, "bucket");
    assert.equal(parseTarget("/abc/?prefix=a").kind, "bucket");
  });

  it("allows a key of exactly 1,024 bytes", () => {
    assert.equal(parseTarget(`/abc/${"%C3%A4".repeat(512)}`).kind, "object");
    assert.throws(
      () => parseTarget(`/abc/${"%C3%A4".repeat(512)}a`),
      (error) => isAtollError(error, "invalid-key"),
    );
  });
});
