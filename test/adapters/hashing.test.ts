import assert from "node:assert/strict";
import { test } from "node:test";
import { createClock } from "../../src/adapters/clock.ts";
import { createHashingBeside } from "../../src/adapters/hash-worker.ts";
import { createHashing } from "../../src/adapters/hashing.ts";
import { createRandom } from "../../src/adapters/random.ts";
import { clockConformance } from "../conformance/clock.ts";
import { hashingConformance } from "../conformance/hashing.ts";
import { startChild } from "./children/child.ts";

hashingConformance("node:crypto hashing", createHashing);
hashingConformance("Hashing in a thread", createHashingBeside);

clockConformance("The machine's clock", () => ({
  clock: createClock(),
  async settle(promise, label) {
    // Holds the process, which the clock's own timers do not.
    let deadline: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      deadline = setTimeout(() => reject(new Error(`${label} did not come within 10 s`)), 10_000);
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      clearTimeout(deadline);
    }
  },
}));

test("The machine's clock does not keep a process alive", async () => {
  await using child = startChild("idle-timer.ts");
  assert.equal(await child.ended(), 0);
});

test("Random hex() is lower-case hex of that many bytes, anew each time", () => {
  const random = createRandom();
  assert.match(random.hex(16), /^[0-9a-f]{32}$/);
  assert.equal(new Set(Array.from({ length: 1000 }, () => random.hex(8))).size, 1000);
});

test("Random fraction() is in [0, 1) and not always the same", () => {
  const random = createRandom();
  const fractions = Array.from({ length: 1000 }, () => random.fraction());
  assert.ok(fractions.every((fraction) => fraction >= 0 && fraction < 1));
  assert.ok(Math.max(...fractions) - Math.min(...fractions) > 0.5, "spread over the interval");
});
