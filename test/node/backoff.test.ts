import assert from "node:assert/strict";
import { test } from "node:test";
import { backoffMaxMs } from "../../src/node/backoff.ts";
import { MemoryRing } from "../helpers/memory-ring.ts";
import { uploadOf } from "../helpers/uploads.ts";

const CASES: readonly (readonly [tries: number, tookMs: number, mostMs: number])[] = [
  [0, 0.2, 4],
  [3, 0.2, 32],
  [20, 0.2, 250],
  [0, 400, 200],
  [1, 400, 400],
  [20, 400, 1_600],
  [0, 10_000, 2_000],
];

for (const [tries, tookMs, mostMs] of CASES) {
  test(`backoffMaxMs after try ${tries}, whose round took ${tookMs} ms, is ${mostMs} ms`, () => {
    assert.equal(backoffMaxMs(tries, tookMs), mostMs);
  });
}

test("writers of one object at three far nodes all get through in time, though rounds take 400 ms", async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const ring = await MemoryRing.open({
      ids: ["a", "b", "c"],
      seed,
      delayMs: (_, random) => 200 * (0.8 + 0.4 * random.fraction()),
    });
    try {
      const name = ring.nameOn(["a", "b", "c"]);
      await ring.clock.advance(5_000);
      const writers = ["a", "b", "c", "a", "b", "c", "a", "b", "c"];
      const puts = writers.map((id, n) =>
        ring.node(id).objects.put(uploadOf(name, new Uint8Array(10).fill(n)), {})
      );
      const outcomes = await ring.run(Promise.all(puts), "the writers", 20_000);
      assert.deepEqual(outcomes.map(({ kind }) => kind), writers.map(() => "stored"), `seed ${seed}`);
    } finally {
      ring.close();
    }
  }
});
