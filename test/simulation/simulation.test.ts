/** The promises, under whatever a run's seed makes go wrong; see world.ts for what is checked. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { run as runProgram } from "../tools/project.ts";
import { play } from "./world.ts";

const PARTS = 10;
const RUNS_PER_PART = 30;
/**
 * Every run of the tests plays other seeds; ATOLL_TEST_SEED plays those of one that failed. Where CI is set they are always
 * the same: a change is judged by what it does, and seeds nobody has played yet are what `npm run simulate` is for.
 */
const ANY_SEED = process.env["CI"] === undefined ? Math.floor(Math.random() * 1e9) : 1;
const FIRST_SEED = Number(process.env["ATOLL_TEST_SEED"] ?? ANY_SEED);
/** Operations that ended so, of all runs: with fewer a run would prove little. */
const ENDS = ["found", "absent", "stored", "deleted", "conflict", "unknown", "not-done"];

const ends = new Map<string, number>();

for (let part = 0; part < PARTS; part++) {
  const first = FIRST_SEED + part * RUNS_PER_PART;
  test(`runs ${first} to ${first + RUNS_PER_PART - 1} break no promise, and come to rest`, async () => {
    for (let seed = first; seed < first + RUNS_PER_PART; seed++) {
      const { ends: own } = await playSeed(seed);
      for (const [end, count] of own) ends.set(end, (ends.get(end) ?? 0) + count);
    }
  });
}

test("operations end in every way there is", () => {
  for (const end of ENDS) {
    const often = (ends.get(end) ?? 0) >= PARTS * RUNS_PER_PART / 4;
    assert.ok(often, `${end} hardly ever happened: ${JSON.stringify([...ends])}`);
  }
});

test("a seed is the same run on Node and on Deno", async () => {
  const args = ["test/simulation/simulate.ts", "--hash", "--seeds", "4", "--seed", String(FIRST_SEED)];
  const runtimes = [["node", ...args], ["deno", "run", "-A", "--no-check", ...args]];
  const [node, deno] = await Promise.all(runtimes.map((command) => runProgram(command, { show: false })));
  assert.equal(node!.code, 0, node!.output);
  assert.match(node!.output, /^(\d+ [0-9a-f]{64}\n){4}$/);
  assert.equal(deno!.output, node!.output);
});

async function playSeed(seed: number) {
  try {
    return await play(seed);
  } catch (cause) {
    throw new Error(`npm run simulate -- --seeds 1 --seed ${seed}`, { cause });
  }
}
