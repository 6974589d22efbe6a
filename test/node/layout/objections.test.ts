/** What a change would stop is not done unasked, whoever of the ring is away. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { objectName } from "../../../src/core/names.ts";
import type { RingChange } from "../../../src/node/layout/administration.ts";
import { MemoryRing } from "../../helpers/memory-ring.ts";
import { uploadOf } from "../../helpers/uploads.ts";

const NAME = objectName("bucket", "key");

async function ringWithout(away: string, ids: readonly string[]): Promise<MemoryRing> {
  const ring = await MemoryRing.open({ ids });
  ring.crash(away);
  await ring.clock.until(`${away} is away`, () => !ring.node("c").membership.isAlive(away), 60_000);
  return ring;
}

async function apply(ring: MemoryRing, change: RingChange) {
  const { administration } = ring.node("c");
  return await ring.run(administration.apply(administration.plan(change).base, change));
}

const stopping: readonly (readonly [RingChange, RegExp])[] = [
  [{ drain: ["a"] }, /^stop 1024 partitions and leave no voters$/],
  [{ weight: { a: 0 } }, /^stop 1024 partitions and leave no voters$/],
  [{ replicas: 1 }, /^stop 3\d\d partitions$/],
  [{ remove: ["a"] }, /^remove a and stop 1024 partitions and leave no voters$/],
];

for (const [change, words] of stopping) {
  test(`${JSON.stringify(change)} with one of three away is refused, and done when it is said twice`, async () => {
    const ring = await ringWithout("b", ["a", "b", "c"]);
    try {
      const { administration } = ring.node("c");
      const { warnings } = administration.plan(change);
      const refused = await apply(ring, change);
      assert(refused.kind === "refused" && refused.confirm !== undefined);
      assert.match(refused.confirm, words);
      assert.match(refused.detail, /until enough of b come back/);
      assert.ok(warnings.includes(refused.detail));
      const stored = await ring.run(ring.node("c").objects.put(uploadOf(NAME, new Uint8Array(9)), {}));
      assert.equal(stored.kind, "stored", "nothing has stopped");
      assert.equal((await apply(ring, { ...change, confirm: "remove a" })).kind, "refused", "other words");
      assert.equal((await apply(ring, { ...change, confirm: refused.confirm })).kind, "applied");
    } finally {
      ring.close();
    }
  });
}

test("what leaves nobody who could change the ring again needs words for that", async () => {
  const ring = await ringWithout("b", ["a", "b", "c"]);
  try {
    const change = { remove: ["a", "c"] };
    const refused = await apply(ring, change);
    assert(refused.kind === "refused" && refused.confirm !== undefined);
    assert.match(refused.confirm, / and leave no voters$/);
    assert.match(refused.detail, /the voters would be b, of which no majority answers/);
  } finally {
    ring.close();
  }
});

const harmless: readonly RingChange[] = [{ remove: ["b"] }, { drain: ["b"] }, { weight: { c: 2 } }];
for (const change of harmless) {
  test(`${JSON.stringify(change)} with one of four away needs no words`, async () => {
    const ring = await ringWithout("b", ["a", "b", "c", "d"]);
    try {
      assert.equal((await apply(ring, change)).kind, "applied");
    } finally {
      ring.close();
    }
  });
}

test("a node that has found the ring may be told itself to join it", async () => {
  const ring = await MemoryRing.open({ ids: ["a", "b", "c"] });
  try {
    const { administration } = ring.node("a");
    await ring.run(administration.apply(1, { remove: ["c"], confirm: "remove c" }));
    await ring.clock.until("c is out", () => {
      const layout = ring.node("c").layout()!;
      return !layout.from && layout.nodes.length === 2;
    }, 300_000);
    assert.equal((await apply(ring, { join: ["c"] })).kind, "applied");
  } finally {
    ring.close();
  }
});
