import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Lately } from "../../../src/node/repair/lately.ts";
import { FakeClock } from "../../helpers/fake-clock.ts";
import { createSeededRandom } from "../../helpers/fake-random.ts";
import { HASHING } from "../../helpers/memory-ring.ts";

const MEMORY_MS = 1_000;

function idOf(text: string): string {
  return HASHING.sha256(new TextEncoder().encode(text));
}

test("Lately knows all only after it looked for the whole time, from the first complete look on", async () => {
  const clock = new FakeClock();
  const lately = new Lately(clock, createSeededRandom(1), MEMORY_MS);
  await clock.advance(10 * MEMORY_MS);
  assert.equal(lately.knowsAll, false);
  lately.age(0);
  await clock.advance(MEMORY_MS - 1);
  assert.equal(lately.knowsAll, false);
  await clock.advance(1);
  assert.equal(lately.knowsAll, true);
});

test("Lately forgets in the end, after not much more than twice the time", async () => {
  const clock = new FakeClock();
  const lately = new Lately(clock, createSeededRandom(1), MEMORY_MS);
  lately.age(0);
  lately.add(idOf("x"));
  for (let ms = 0; ms < 2 * MEMORY_MS + 200; ms += 100) {
    await clock.advance(100);
    lately.age(100);
  }
  assert.equal(lately.has(idOf("x")), false);
});

test("Lately remembers what was added for the time, and what was named up to a look for the time after that look", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({ ms: fc.integer({ min: 1, max: 2_500 }), named: fc.boolean(), fails: fc.boolean() }),
        {
          maxLength: 40,
        },
      ),
      fc.integer(),
      async (looks, seed) => {
        const clock = new FakeClock();
        const lately = new Lately(clock, createSeededRandom(seed), MEMORY_MS);
        const id = idOf("x");
        let wasNamed = false;
        let keptUntilMs = -Infinity;
        for (const { ms, named, fails } of looks) {
          await clock.advance(ms);
          const now = clock.monotonicMs();
          // Before the look's end nobody knows whether it is named any more.
          if (now < keptUntilMs || wasNamed) assert.ok(lately.has(id), `forgotten at ${now}`);
          if (fails) continue;
          if (named) lately.add(id);
          if (named || wasNamed) keptUntilMs = now + MEMORY_MS;
          wasNamed = named;
          lately.age(10);
          if (now < keptUntilMs) assert.ok(lately.has(id), `forgotten in the look at ${now}`);
        }
      },
    ),
  );
});
