import assert from "node:assert/strict";
import { test } from "node:test";
import {
  fieldsFor,
  forwardedFields,
  isLoop,
  originUrl,
  passedOn,
  redirectTarget,
} from "../../src/core/origin-request.ts";

const AT = { url: "https://o.test/base" };
const header = (fields: Record<string, string>) => (name: string) => fields[name];

test("originUrl puts a key behind the URL, and leads nowhere else", () => {
  const cases: readonly (readonly [key: string, url: string | undefined])[] = [
    ["a/b.txt", "https://o.test/base/a/b.txt"],
    ["a b", "https://o.test/base/a%20b"],
    ["a+b=c&d,e;f:g@h$i", "https://o.test/base/a%2Bb=c&d,e;f:g@h$i"],
    ["a?b#c", "https://o.test/base/a%3Fb%23c"],
    ["a%2Fb", "https://o.test/base/a%252Fb"],
    ["a\\b", "https://o.test/base/a%5Cb"],
    ["/a//b/", "https://o.test/base//a//b/"],
    ["ä🐚", "https://o.test/base/%C3%A4%F0%9F%90%9A"],
    ["...", "https://o.test/base/..."],
    ["..", undefined],
    ["a/../../b", undefined],
    ["./a", undefined],
    ["a/.", undefined],
    ["\ud800", undefined],
  ];
  for (const [key, url] of cases) {
    assert.equal(originUrl(AT, key), url, key);
    if (url !== undefined) assert.ok(new URL(url).href.startsWith("https://o.test/base/"), "also as a URL");
  }
});

test("forwardedFields shows what is on the list, and what the bucket adds", () => {
  const all = { accept: "a", "accept-language": "l", cookie: "c", authorization: "x", foo: "f", range: "r" };
  assert.deepEqual(forwardedFields(AT, header(all)), { accept: "a", "accept-language": "l" });
  assert.deepEqual(forwardedFields({ ...AT, forward: ["foo", "cookie", "bar"] }, header(all)), {
    accept: "a",
    "accept-language": "l",
    foo: "f",
    cookie: "c",
  });
});

test("isLoop knows what passedOn said, and nobody else's", () => {
  const once = passedOn(header({}), "me");
  assert.deepEqual(once, { via: "1.1 me", "cdn-loop": "me" });
  assert.ok(isLoop(header(once), "me"));
  const twice = passedOn(header(once), "other");
  assert.deepEqual(twice, { via: "1.1 me, 1.1 other", "cdn-loop": "me, other" });
  for (const fields of [twice, { via: twice.via }, { "cdn-loop": "x, me; a=1" }]) {
    assert.ok(isLoop(header(fields), "me"));
  }
  for (const fields of [{}, { via: "1.1 meme" }, { "cdn-loop": "meme, x;me" }]) {
    assert.ok(!isLoop(header(fields), "me"));
  }
});

test("redirectTarget follows what leads to a web server, and nothing else", () => {
  const from = "https://o.test/base/a";
  const cases:
    readonly (readonly [status: number, location: string | undefined, target: string | undefined])[] = [
      [301, "b", "https://o.test/base/b"],
      [302, "/b#c", "https://o.test/b"],
      [303, "//x.test/b", "https://x.test/b"],
      [307, "http://x.test", "http://x.test/"],
      [308, "https://o.test/base/a", "https://o.test/base/a"],
      [300, "b", undefined],
      [304, "b", undefined],
      [200, "b", undefined],
      [302, undefined, undefined],
      [302, "file:///etc/passwd", undefined],
      [302, "ftp://x.test/", undefined],
      [302, "https://me:secret@x.test/", undefined],
      [302, "https://", undefined],
    ];
  for (const [status, location, target] of cases) {
    assert.equal(redirectTarget(from, status, location), target, `${status} ${location}`);
  }
});

test("fieldsFor gives credentials only to the same origin", () => {
  const fields = { accept: "a", authorization: "x", cookie: "c" };
  assert.deepEqual(fieldsFor("https://o.test/a", "https://o.test/b", fields), fields);
  for (const to of ["https://x.test/", "http://o.test/", "https://o.test:8443/"]) {
    assert.deepEqual(fieldsFor("https://o.test/a", to, fields), { accept: "a" }, to);
  }
});
