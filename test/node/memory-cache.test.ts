import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Manifest } from "../../src/core/manifest.ts";
import type { RegisterValue } from "../../src/core/register.ts";
import { type KnownValue, MemoryCache } from "../../src/node/memory-cache.ts";

function known(version: number, knownAtMs: number, changeId = `change ${version}`): KnownValue {
  const value: RegisterValue | null = version === 0
    ? null
    : { version, modifiedMs: 0, changeId, ancestors: [], content: { kind: "tombstone" } };
  return { ballot: { counter: version, node: "a" }, value, knownAtMs };
}

test("MemoryCache never replaces a newer version by an older one, whatever the order of answers", () => {
  fc.assert(fc.property(fc.array(fc.nat(6), { minLength: 1, maxLength: 12 }), (versions) => {
    const cache = new MemoryCache(1 << 20);
    let newest = 0;
    for (const [atMs, version] of versions.entries()) {
      cache.learn("name", known(version, atMs));
      newest = Math.max(newest, version);
      assert.equal(cache.value("name")?.value?.version ?? 0, newest);
    }
  }));
});

test("MemoryCache keeps one entry of a version that is known again, with the later moment", () => {
  const cache = new MemoryCache(1 << 20);
  const first = cache.learn("name", known(3, 100));
  const again = cache.learn("name", known(3, 200));
  assert.equal(again.value, first.value, "what was derived from the value is kept");
  assert.equal(cache.value("name")?.knownAtMs, 200);
  cache.learn("name", known(3, 150));
  assert.equal(cache.value("name")?.knownAtMs, 200, "an answer that comes late takes nothing back");
});

test("MemoryCache tells an older answer apart from what it holds", () => {
  const cache = new MemoryCache(1 << 20);
  cache.learn("name", known(5, 0));
  assert.equal(
    cache.learn("name", known(4, 1)).value?.version,
    4,
    "who asked gets the answer to its question",
  );
  assert.equal(cache.value("name")?.value?.version, 5);
});

test("MemoryCache.outdated drops what is older, and nothing else", () => {
  const cache = new MemoryCache(1 << 20);
  cache.learn("name", known(5, 0));
  cache.outdated("name", 5);
  assert.equal(cache.value("name")?.value?.version, 5);
  cache.outdated("name", 6);
  assert.equal(cache.value("name"), undefined);
});

test("MemoryCache stays within its bytes, whatever is put into it", () => {
  const maxBytes = 1 << 20;
  const cache = new MemoryCache(maxBytes);
  for (let n = 0; n < 5_000; n++) {
    cache.learn(`name ${n}`, known(1, 0));
    cache.keepChunk(String(n).padStart(64, "0"), new Uint8Array((n * 37) % 20_000));
    assert.ok(cache.usedBytes <= maxBytes);
  }
  assert.ok(cache.usedBytes > maxBytes / 2, "and uses them");
  assert.ok(cache.chunk("4999".padStart(64, "0")), "the newest chunk is there");
});

test("MemoryCache keeps no objects that would wash everything else out", () => {
  const cache = new MemoryCache(8 << 20);
  assert.equal(cache.keepsObjectsOf(100_000), true);
  assert.equal(cache.keepsObjectsOf(7 << 20), false);
});

test("MemoryCache counts the headers of what it holds, which may be most of it", () => {
  const headerBytes = 15_000;
  const cache = new MemoryCache(64 << 20);
  const objects = 100;
  for (let i = 0; i < objects; i++) {
    const headers = { "atoll-meta-a": `${i}`.padEnd(headerBytes, "x") };
    const manifest: Manifest = {
      format: 1,
      size: 0,
      sha256: "0".repeat(64),
      layout: "list",
      chunks: [],
      headers,
    };
    const value: RegisterValue = {
      version: 1,
      modifiedMs: 0,
      changeId: "change",
      ancestors: [],
      content: { kind: "object", manifest },
    };
    cache.learn(`name ${i}`, { ballot: { counter: 1, node: "a" }, value, knownAtMs: 0 });
  }
  const { usedBytes } = cache;
  assert.ok(usedBytes >= objects * headerBytes, `wanted ${objects} times ${headerBytes}, got ${usedBytes}`);
});
