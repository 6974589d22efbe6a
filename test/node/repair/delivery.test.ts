/** Delivery: what a node is owed goes to it when it is there, once around the list, and never gets lost on the way. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Membership } from "../../../src/node/membership.ts";
import { type Delivered, Delivery } from "../../../src/node/repair/delivery.ts";
import { Ring } from "../../../src/node/ring.ts";
import { pause } from "../../../src/node/waiting.ts";
import type { Catalog, Clock, Owed } from "../../../src/ports.ts";
import { MemoryRing } from "../../helpers/memory-ring.ts";

const IDS = ["a", "b", "c"];
const BATCH = 256;

type Deliver = (node: string, entries: readonly Owed[]) => Promise<Delivered>;

interface Bench {
  readonly ring: MemoryRing;
  readonly clock: Clock;
  readonly catalog: Catalog;
  readonly alive: Set<string>;
  /** What was delivered, in that order. */
  readonly got: string[];
  open(deliver?: Deliver, what?: "changes" | "chunks"): Delivery;
}

function openBench({ diskMs = 0 }: { diskMs?: number } = {}): Bench {
  const ring = new MemoryRing({ ids: IDS, diskMs: () => diskMs });
  const { clock, log, ...ports } = ring.portsOf("a");
  // One whose methods a test may put others in place of.
  const catalog = Object.create(ports.catalog) as Catalog;
  const alive = new Set(IDS);
  const got: string[] = [];
  const takeAll: Deliver = async (node, entries) => {
    for (const { name } of entries) got.push(`${node} ${name}`);
    return { settled: entries, answers: true };
  };
  const membership = { isAlive: (id: string) => alive.has(id) } as Membership;
  const open = (deliver = takeAll, what: "changes" | "chunks" = "changes"): Delivery =>
    new Delivery({ ring: new Ring("a", ring.layout), catalog, membership, clock, log }, what, deliver);
  return { ring, clock, catalog, alive, got, open };
}

function owedTo(node: string, count: number, from = 0): Owed[] {
  return Array.from({ length: count }, (_, i) => ({ node, name: `bucket\0${from + i}` }));
}

test("Delivery brings what is owed in the order in which it was put, all of it, and then owes nothing", async () => {
  const { ring, catalog, got, open } = openBench();
  const delivery = open();
  const entries = owedTo("b", 2 * BATCH + 10);
  await ring.run(delivery.add(entries));
  assert.equal(delivery.owed, entries.length);
  await ring.clock.advance(1_100);
  assert.deepEqual(got, entries.map(({ name }) => `b ${name}`));
  assert.equal(delivery.owed, 0);
  assert.deepEqual(await catalog.owedCounts(), []);
});

test("Delivery waits for a node that is away, without back-off, and brings it all as soon as it is back", async () => {
  const { ring, alive, got, open } = openBench();
  alive.delete("b");
  const delivery = open();
  await ring.run(delivery.add(owedTo("b", 3)));
  await ring.clock.advance(600_000);
  assert.deepEqual(got, []);
  alive.add("b");
  await ring.clock.advance(1_100);
  assert.equal(got.length, 3);
});

test("Delivery goes on after a restart with what was owed before", async () => {
  const { ring, alive, got, open } = openBench();
  alive.delete("b");
  const first = open();
  await ring.run(first.add(owedTo("b", 5)));
  first.stop();
  alive.add("b");
  await ring.clock.advance(5_000);
  assert.equal(got.length, 0, "one that was stopped went on");
  const second = open();
  await ring.run(second.start());
  assert.equal(second.owed, 5);
  await ring.clock.advance(1_100);
  assert.equal(got.length, 5);
});

test("Delivery to one node waits for no other that hangs", async () => {
  const { ring, clock, got, open } = openBench();
  const delivery = open(async (node, entries) => {
    if (node === "b") await pause(clock, 40_000);
    else got.push(...entries.map(({ name }) => name));
    return { settled: node === "b" ? [] : entries, answers: node !== "b" };
  });
  await ring.run(delivery.add([...owedTo("b", 10), ...owedTo("c", 10)]));
  await ring.clock.advance(3_000);
  assert.equal(got.length, 10);
});

test("Delivery backs off from a node that takes nothing, up to a minute, and forgets that once it takes something", async () => {
  const { ring, got, open } = openBench();
  const tries: number[] = [];
  let refuses = true;
  const delivery = open(async (_, entries) => {
    tries.push(ring.clock.monotonicMs());
    if (!refuses) got.push(...entries.map(({ name }) => name));
    return { settled: refuses ? [] : entries, answers: !refuses };
  });
  await ring.run(delivery.add(owedTo("b", BATCH + 1)));
  await ring.clock.advance(600_000);
  const gaps = tries.slice(1).map((ms, i) => ms - tries[i]!);
  assert.deepEqual(gaps.slice(0, 7), [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000]);
  assert.ok(gaps.slice(6).every((ms) => ms === 60_000), `${gaps}`);
  // What comes new does not break the back-off.
  const before = tries.length + 1;
  await ring.clock.until("it tries again", () => tries.length === before);
  await ring.run(delivery.add(owedTo("b", 1, 1_000)));
  await ring.clock.advance(5_000);
  assert.equal(tries.length, before);
  refuses = false;
  await ring.clock.advance(60_000);
  assert.equal(got.length, BATCH + 2);
  refuses = true;
  await ring.run(delivery.add(owedTo("b", 1)));
  const again = tries.length;
  await ring.clock.advance(3_000);
  assert.ok(tries.length >= again + 2, "the back-off went on from where it was");
});

test("Delivery goes once around the list although some of it cannot be delivered yet, and keeps that", async () => {
  const { ring, catalog, got, open } = openBench();
  const stuck = (name: string) => Number(name.slice("bucket\0".length)) < BATCH;
  const delivery = open(async (_, entries) => {
    const settled = entries.filter(({ name }) => !stuck(name));
    got.push(...settled.map(({ name }) => name));
    return { settled, answers: true };
  });
  await ring.run(delivery.add(owedTo("b", 3 * BATCH)));
  await ring.clock.advance(1_100);
  assert.equal(got.length, 2 * BATCH, "what could not be delivered kept the rest from it");
  assert.deepEqual(await catalog.owedCounts(), [{ node: "b", changes: BATCH, chunks: 0 }]);
  assert.equal(delivery.owedTo("b"), BATCH);
});

test("Delivery strikes nothing off that was put on the list again while it was being delivered", async () => {
  const { ring, clock, catalog, got, open } = openBench({ diskMs: 20 });
  const delivery = open(async (_, entries) => {
    got.push(...entries.map(({ name }) => name));
    await pause(clock, 500);
    return { settled: entries, answers: true };
  });
  await ring.run(delivery.add(owedTo("b", 2)));
  await ring.clock.until("a delivery is under way", () => got.length === 2);
  await ring.run(delivery.add(owedTo("b", 1, 1)));
  await ring.clock.advance(5_000);
  assert.deepEqual(got, owedTo("b", 2).concat(owedTo("b", 1, 1)).map(({ name }) => name));
  assert.deepEqual(await catalog.owedCounts(), []);
});

test("Delivery sees what is put on the list just when it finds the list empty", async () => {
  const { ring, catalog, got, open } = openBench();
  const delivery = open();
  await ring.run(delivery.add(owedTo("b", 1)));
  // Its read of the list began before the commit and ends after it.
  const slow = catalog.owedTo.bind(catalog);
  let reads = 0;
  catalog.owedTo = async (node, what, limit) => {
    const entries = await slow(node, what, limit);
    if (++reads === 2) await delivery.add(owedTo("b", 1, 7));
    return entries;
  };
  await ring.clock.advance(5_000);
  assert.deepEqual(got, ["b bucket\u{0}0", "b bucket\u{0}7"]);
  assert.equal(delivery.owed, 0);
});

test("Delivery forgives changes to a node that left the ring, and brings its chunks home all the same", async () => {
  const { ring, catalog, got, open } = openBench();
  const changes = open();
  await ring.run(changes.add(owedTo("gone", BATCH + 44)));
  const chunks = open(undefined, "chunks");
  await ring.run(chunks.add([{ node: "gone", name: "bucket\0key", chunk: "ab".repeat(32) }]));
  await ring.clock.advance(5_000);
  assert.deepEqual(got, ["gone bucket\0key"]);
  assert.deepEqual(await catalog.owedCounts(), []);
  assert.equal(changes.owed + chunks.owed, 0);
});

test("Delivery keeps what it could not strike off, and tries again", async () => {
  const { ring, catalog, got, open } = openBench();
  const delivery = open();
  await ring.run(delivery.add(owedTo("b", 3)));
  const commit = catalog.commit.bind(catalog);
  catalog.commit = () => Promise.reject(new Error("the disk has a bad day"));
  await ring.clock.advance(10_000);
  assert.equal(delivery.owedTo("b"), 3);
  catalog.commit = commit;
  await ring.clock.advance(60_000);
  assert.deepEqual(await catalog.owedCounts(), []);
  assert.ok(got.length > 3);
});

test("Delivery.recount finds that what was put on the list many times is on it once", async () => {
  const { ring, alive, open } = openBench();
  alive.delete("b");
  const delivery = open();
  for (let i = 0; i < 50; i++) await ring.run(delivery.add(owedTo("b", 1)));
  assert.equal(delivery.owedTo("b"), 50);
  delivery.recount();
  await ring.clock.advance(11_000);
  assert.equal(delivery.owedTo("b"), 1);
});
