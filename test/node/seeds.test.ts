import assert from "node:assert/strict";
import { test } from "node:test";
import { Seeds } from "../../src/node/seeds.ts";
import type { Discovered } from "../../src/ports.ts";

function opened() {
  let tell: (found: readonly Discovered[]) => void = () => {};
  const lines: unknown[] = [];
  let stops = 0;
  const seeds = new Seeds({
    start: (onFound) => void (tell = onFound),
    stop: () => Promise.resolve(void stops++),
  }, { info: (_message, fields) => void lines.push(fields), warn() {}, error() {} });
  seeds.start();
  return { seeds, lines, tell: (found: readonly Discovered[]) => tell(found), stops: () => stops };
}

const many = (count: number) => Array.from({ length: count }, (_, i) => ({ url: `http://n${i}` }));

test("Seeds gives what was found last, and nothing before", () => {
  const { seeds, tell, lines, stops } = opened();
  assert.deepEqual(seeds.next(), []);
  tell([{ url: "http://a", id: "a", region: "fra" }, { url: "http://b" }]);
  assert.deepEqual(seeds.next(), ["http://a", "http://b"]);
  assert.deepEqual(lines, [{ found: 2, peers: "a in fra, http://b" }]);
  tell([]);
  assert.deepEqual(seeds.next(), []);
  seeds.stop();
  assert.equal(stops(), 1);
});

test("Seeds gives no more than 32 at once, and all of them in turn", () => {
  const { seeds, tell } = opened();
  for (const count of [33, 64, 256]) {
    tell(many(count));
    const seen = new Set<string>();
    for (let beat = 0; beat < Math.ceil(count / 32); beat++) {
      const urls = seeds.next();
      assert.equal(new Set(urls).size, 32);
      for (const url of urls) seen.add(url);
    }
    assert.equal(seen.size, count);
  }
});

test("Seeds without a discovery are none", () => {
  const seeds = new Seeds(undefined, { info() {}, warn() {}, error() {} });
  seeds.start();
  assert.deepEqual(seeds.next(), []);
  seeds.stop();
});
