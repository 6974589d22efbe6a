/** Many origins, some of them slow: none may take the room of all. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { OriginShares } from "../../src/node/origin-shares.ts";

/** As many as it may have. */
function fill(shares: OriginShares, origin: string): (() => void)[] {
  const taken: (() => void)[] = [];
  for (;;) {
    try {
      taken.push(shares.take(origin));
    } catch (error) {
      assert.equal((error as { code?: string }).code, "overloaded");
      return taken;
    }
  }
}

test("one has half, and those that come after it find room", () => {
  const shares = new OriginShares(256);
  const slow = ["a", "b", "c", "d", "e"].map((origin) => fill(shares, origin));
  assert.deepEqual(slow.map(({ length }) => length), [128, 64, 32, 16, 8]);
  shares.take("another")();
  for (const give of slow.flat()) give();
  assert.equal(fill(shares, "a").length, 128, "all was given back");
});
