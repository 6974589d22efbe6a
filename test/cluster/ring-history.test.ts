/**
 * Rings of real processes on both runtimes to which everything happens that may, under clients that do everything: what
 * these saw must have an order, and every answer must come within its time. By a seed, which the run prints;
 * ATOLL_HISTORY_SEED repeats its draws (not its timing), ATOLL_HISTORY_SECONDS has everything happen for that long.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { startRing } from "../helpers/atoll-ring.ts";
import { createSeededRandom } from "../helpers/fake-random.ts";
import { HttpHistory } from "../helpers/http-history.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";
import { ownersProblem } from "../helpers/socket-owners.ts";
import { atRest, shuffled, STRIKES } from "../helpers/strikes.ts";

const CLIENTS = 10;
const SECONDS = Number(process.env["ATOLL_HISTORY_SECONDS"] ?? 0);
const SEED = Number(process.env["ATOLL_HISTORY_SEED"] ?? Math.floor(Math.random() * 1e9));

const skip = ownersProblem() ?? false;

async function play(t: TestContext, nodes: number, names: readonly string[]): Promise<void> {
  const random = createSeededRandom(SEED);
  const directory = await mkdtemp(join(tmpdir(), "atoll-history-"));
  const startedMs = performance.now();
  const told: string[] = [];
  const tell = (line: string) => {
    told.push(`${((performance.now() - startedMs) / 1000).toFixed(1)} s: ${line}`);
  };
  try {
    await using ring = await startRing({
      directory,
      runtimes: Array.from({ length: nodes }, (_, index) => index % 2 === 0 ? HERE : THERE),
      env: { ATOLL_COMPARE_INTERVAL: "2s", ATOLL_DRAIN_SECONDS: "2" },
      relaySeed: SEED,
    });
    tell("the ring is ready");
    const history = new HttpHistory(ring, createSeededRandom(SEED + 1));
    const clients = history.play(CLIENTS);
    const stage = {
      ring,
      random,
      holdClients: () => history.hold(),
      letClientsGoOn: () => history.goOn(),
    };
    const strikes = (async () => {
      do {
        for (const name of shuffled(names, random)) {
          tell(`${name} ${await STRIKES[name]!(stage)}`);
        }
      } while (performance.now() - startedMs < 1000 * SECONDS);
    })();
    try {
      // A client that saw what may not be ends it at once.
      await Promise.race([strikes, clients]);
    } finally {
      history.end();
    }
    await Promise.all([strikes, clients]);
    await atRest(ring);
    tell("at rest");
    const { objects, operations } = await history.check();
    const ends = [...history.ends].map(([end, count]) => `${end} ${count}`).join(", ");
    tell(
      `${operations} operations on ${objects} objects (${ends}), the longest took ${history.longestMs.toFixed()} ms`,
    );
    const done = (end: string) => history.ends.get(end) ?? 0;
    assert.ok(done("stored") > 10 && done("found") > 10, "wanted clients that get something done");
  } catch (error) {
    throw new Error(`seed ${SEED}\n${told.join("\n")}`, { cause: error });
  } finally {
    await rm(directory, { recursive: true, maxRetries: 5 });
  }
  t.diagnostic(`seed ${SEED}`);
  for (const line of told) t.diagnostic(line);
}

test("three nodes that die, hang and lose their disks or bits of them: the clients' history has an order", {
  skip,
}, async (t) => {
  await play(t, 3, ["pause", "rolling restart", "wipe", "bits in chunk files", "bits in the catalog"]);
});

test("five nodes that die, hang, and whose network fails: the clients' history has an order", {
  skip,
}, async (t) => {
  await play(t, 5, ["kill", "pause", "partition", "one-way cut", "delay, loss and resets"]);
});

test("everything that may happen, to rings of three and five nodes", {
  skip: skip || (SECONDS === 0 && "takes minutes: set ATOLL_HISTORY_SECONDS"),
}, async (t) => {
  for (const nodes of [3, 5]) await play(t, nodes, Object.keys(STRIKES));
});
