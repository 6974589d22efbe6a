import assert from "node:assert/strict";
import { test } from "node:test";
import { type CacheOutcome, cacheStatus } from "../../src/http/cache-status.ts";

const CASES: readonly (readonly [outcome: CacheOutcome, text: string])[] = [
  [{ kind: "hit", ttlSeconds: 59.9, tier: "memory" }, "atoll; hit; ttl=59; detail=memory"],
  [{ kind: "hit", ttlSeconds: -3 }, "atoll; hit; ttl=-3"],
  [{ kind: "asked", tier: "disk" }, "atoll; fwd=stale; fwd-status=304; detail=disk"],
  [{ kind: "asked", forced: true }, "atoll; fwd=request; fwd-status=304"],
  [{ kind: "fetched", detail: "chunk from a" }, 'atoll; fwd=uri-miss; detail="chunk from a"'],
  [
    { kind: "fetched", detail: 'a "b"', stored: true, collapsed: true },
    'atoll; fwd=uri-miss; stored; collapsed; detail="a \\"b\\""',
  ],
];

for (const [outcome, text] of CASES) {
  test(`cacheStatus: ${text}`, () => assert.equal(cacheStatus("atoll", outcome), text));
}
