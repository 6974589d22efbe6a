/** Tombstones: they go when every replica has them, not before, and what went never comes back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_BALLOT } from "../../../src/core/ballot.ts";
import { Courtesy } from "../../../src/node/courtesy.ts";
import type { Membership } from "../../../src/node/membership.ts";
import type { PeerGate } from "../../../src/node/peer-gate.ts";
import type { Registers } from "../../../src/node/registers.ts";
import { Tombstones } from "../../../src/node/repair/tombstones.ts";
import type { Replica } from "../../../src/node/replica.ts";
import { Ring } from "../../../src/node/ring.ts";
import { replicasOf } from "../../../src/core/layout.ts";
import type { PeerReply } from "../../../src/ports.ts";
import { MemoryRing } from "../../helpers/memory-ring.ts";
import {
  deleteObject,
  manifestOf,
  putObject,
  rowOf,
  stateAt,
  versionsAt,
} from "../../helpers/stored-objects.ts";

const IDS = ["a", "b", "c"];
const NAME = "bucket\0key";
const HORIZON_MS = 60_000;
const INTERVAL_MS = 10_000;
/** By then a tombstone that may go has gone. */
const GONE_MS = HORIZON_MS + 3 * INTERVAL_MS;
const ERROR: PeerReply = { type: "error", code: "internal", message: "a bad day" };
const TINY = new Uint8Array(10);

function open(): Promise<MemoryRing> {
  return MemoryRing.open({
    ids: IDS,
    repair: { tombstoneAgeMs: HORIZON_MS, garbageIntervalMs: INTERVAL_MS, compareIntervalMs: 5_000 },
  });
}

async function isGone(ring: MemoryRing, name = NAME): Promise<boolean[]> {
  return await Promise.all(IDS.map(async (id) => (await stateAt(ring, id, name)) === undefined));
}

test("Tombstones are kept until the horizon, and then collected from every replica", async () => {
  const ring = await open();
  await putObject(ring, "a", NAME, TINY);
  await deleteObject(ring, "b", NAME);
  await ring.clock.advance(HORIZON_MS - 1_000);
  assert.deepEqual(await versionsAt(ring, IDS, NAME), [2, 2, 2]);
  await ring.clock.advance(GONE_MS);
  assert.deepEqual(await isGone(ring), [true, true, true]);
  const collected = IDS.map((id) => ring.count(id, "atoll_tombstones_collected_total"));
  assert.deepEqual(collected, IDS.map((id) => id === replicasOf(ring.layout, NAME)[0] ? 1 : 0));
  ring.close();
});

test("Tombstones: versions go on after a collection, at every node and after restarts", async () => {
  const ring = await open();
  for (let round = 0; round < 3; round++) {
    await putObject(ring, IDS[round]!, NAME, TINY);
    assert.deepEqual(Math.max(...await versionsAt(ring, IDS, NAME)), 2 * round + 1);
    await deleteObject(ring, "a", NAME);
    await ring.clock.advance(GONE_MS + INTERVAL_MS);
    assert.deepEqual(await isGone(ring), [true, true, true], `in round ${round}`);
    for (const id of IDS) {
      ring.crash(id);
      await ring.start(id);
    }
    await ring.clock.advance(5_000);
  }
  ring.close();
});

test("Tombstones stay for as long as a replica is away, and nothing it brings back undoes a deletion", async () => {
  const ring = await open();
  await putObject(ring, "a", NAME, TINY);
  await ring.clock.advance(1_000);
  assert.deepEqual(await versionsAt(ring, IDS, NAME), [1, 1, 1]);
  ring.crash("c");
  await ring.clock.advance(5_000);
  await deleteObject(ring, "a", NAME);
  await ring.clock.advance(20 * GONE_MS);
  assert.deepEqual(await versionsAt(ring, IDS, NAME), [2, 2, 1]);
  await ring.start("c");
  await ring.clock.advance(2 * GONE_MS);
  assert.deepEqual(await isGone(ring), [true, true, true]);
  const read = await ring.run(ring.node("c").objects.locate(NAME, { noCache: true, onlyIfCached: false }));
  assert.equal(read.kind, "absent");
  ring.close();
});

test("Tombstones that one replica lacks are collected nowhere, though it answers", async () => {
  const ring = await open();
  const [home, second, last] = replicasOf(ring.layout, NAME) as [string, string, string];
  const lift = ring.network.rule(({ request, to, reply }) =>
    !reply && to === last && (request.type === "accept" || request.type === "prepare")
      ? { reply: ERROR }
      : undefined
  );
  // Nor does it look for itself.
  const blind = ring.network.rule(({ request }) => request.type === "digests" ? { lost: true } : undefined);
  await putObject(ring, home, NAME, TINY);
  await deleteObject(ring, home, NAME);
  await ring.clock.advance(5 * GONE_MS);
  assert.deepEqual(await versionsAt(ring, [home, second, last], NAME), [2, 2, 0]);
  lift();
  blind();
  await ring.clock.advance(2 * GONE_MS);
  assert.deepEqual(await isGone(ring), [true, true, true]);
  ring.close();
});

test("Tombstones that one replica has forgotten and another not are made alike again, and then go", async () => {
  const ring = await open();
  await putObject(ring, "a", NAME, TINY);
  await deleteObject(ring, "a", NAME);
  const [home, , last] = replicasOf(ring.layout, NAME);
  const lift = ring.network.rule(({ request, to, reply }) =>
    !reply && to === last && request.type === "forget" ? { reply: ERROR } : undefined
  );
  const half = async () => (await isGone(ring)).filter((gone) => gone).length > 0;
  let wasHalf = false;
  for (let i = 0; i < 100 && !wasHalf; i++) {
    await ring.clock.advance(INTERVAL_MS / 10);
    wasHalf = await half();
  }
  assert.ok(wasHalf);
  ring.crash(home!);
  lift();
  await ring.start(home!);
  await ring.clock.advance(2 * GONE_MS);
  assert.deepEqual(await isGone(ring), [true, true, true]);
  await putObject(ring, "b", NAME, TINY);
  assert.equal(Math.max(...await versionsAt(ring, IDS, NAME)), 3);
  ring.close();
});

test("Tombstones under a promise that was never kept are written once more, and then go", async () => {
  const ring = await open();
  await putObject(ring, "a", NAME, TINY);
  await deleteObject(ring, "a", NAME);
  await ring.clock.advance(1_000);
  const prepared = ring.node("c").handlePeer({ node: "b" }, {
    type: "prepare",
    name: NAME,
    ballot: { counter: 50, node: "b" },
  });
  await ring.run(prepared);
  await ring.clock.advance(2 * GONE_MS);
  assert.deepEqual(await isGone(ring), [true, true, true]);
  ring.close();
});

test("Tombstones: messages from before a collection change nothing after it", async () => {
  const ring = await open();
  await putObject(ring, "a", NAME, TINY);
  const live = (await stateAt(ring, "a", NAME))!;
  await deleteObject(ring, "a", NAME);
  const dead = (await stateAt(ring, "a", NAME))!;
  await ring.clock.advance(GONE_MS + INTERVAL_MS);
  assert.deepEqual(await isGone(ring), [true, true, true]);
  for (const { accepted, value } of [live, dead]) {
    for (const id of IDS) {
      const late = { type: "accept", name: NAME, ballot: accepted, value: value! } as const;
      const reply = await ring.run(ring.node(id).handlePeer({ node: "b" }, late));
      assert.equal(reply.type === "accept" && reply.reply.kind, "refused", id);
      const early = { type: "prepare", name: NAME, ballot: accepted } as const;
      const promise = await ring.run(ring.node(id).handlePeer({ node: "b" }, early));
      assert.equal(promise.type === "prepare" && promise.reply.kind, "refused", id);
    }
  }
  assert.deepEqual(await isGone(ring), [true, true, true]);
  ring.close();
});

test("Tombstones come of objects whose time has passed, and of none that was replaced in time", async () => {
  const ring = new MemoryRing({
    ids: IDS,
    repair: { tombstoneAgeMs: 24 * 3_600_000, garbageIntervalMs: INTERVAL_MS },
  });
  const expiresMs = ring.clock.wallMs() + 30_000;
  const manifest = { ...manifestOf("ab".repeat(32), 0), chunks: [], expiresMs };
  const content = { kind: "object", manifest } as const;
  for (const id of IDS) {
    await ring.site(id).disk.catalog.commit({
      registers: [rowOf(NAME, 1, { content }), rowOf("bucket\0replaced", 1, { content })],
    });
    await ring.start(id);
  }
  await ring.clock.advance(20_000);
  await putObject(ring, "a", "bucket\0replaced", TINY);
  assert.deepEqual(await versionsAt(ring, IDS, NAME), [1, 1, 1]);
  await ring.clock.advance(40_000);
  for (const id of IDS) assert.equal((await stateAt(ring, id, NAME))?.value?.content.kind, "tombstone");
  assert.deepEqual(await versionsAt(ring, IDS, NAME), [2, 2, 2]);
  assert.deepEqual(await versionsAt(ring, IDS, "bucket\0replaced"), [2, 2, 2]);
  assert.equal((await stateAt(ring, "a", "bucket\0replaced"))?.value?.content.kind, "object");
  ring.close();
});

test("Tombstones of which a replica is away take no places from those that can go", async () => {
  const ring = new MemoryRing({ ids: ["a", "b", "c", "d", "e"] });
  const ports = ring.portsOf("a");
  const looked: string[] = [];
  const own = new Ring("a", ring.layout);
  const tombstones = new Tombstones({
    ...ports,
    ring: own,
    replica: {
      state: async (name: string) => {
        looked.push(name);
        return (rowOf(name, 1)).state;
      },
    } as unknown as Replica,
    registers: {} as Registers,
    gate: { call: () => Promise.reject(new Error("nobody answers")) } as unknown as PeerGate,
    membership: { isAlive: (id: string) => id !== "e" } as Membership,
    courtesy: new Courtesy(ring.clock),
    onDamaged: () => {},
    expire: async () => {},
    horizonMs: 0,
  });
  let going = 0;
  for (let n = 0; n < 40_000; n++) {
    const name = `bucket\0${n}`;
    const replicas = own.replicas(name);
    if (replicas[0] !== "a" || replicas.includes("e") === n >= 39_000) continue;
    if (n >= 39_000) going++;
    tombstones.consider(rowOf(name, 1));
  }
  await ring.clock.advance(1_000);
  assert.ok(going > 10);
  assert.equal(looked.length, going);
});

/** A ring of one with so many expired objects, and what expires them there, shown them all as a walk would. */
async function expiring(count: number) {
  const ring = new MemoryRing({ ids: ["a"] });
  const ports = ring.portsOf("a");
  const { disk } = ring.site("a");
  const content = {
    kind: "object",
    manifest: { ...manifestOf("ab".repeat(32), 0), chunks: [], expiresMs: 1 },
  } as const;
  const rows = Array.from(
    { length: count },
    (_, n) => rowOf(`bucket\0${String(n).padStart(6, "0")}`, 1, { content }),
  );
  await disk.catalog.commit({ registers: rows });
  const expired: string[] = [];
  const damaged = new Set<string>();
  const tombstones = new Tombstones({
    ...ports,
    ring: new Ring("a", ring.layout),
    replica: {} as Replica,
    registers: {} as Registers,
    gate: {} as PeerGate,
    membership: {} as Membership,
    courtesy: new Courtesy(ring.clock),
    onDamaged: (name) => damaged.add(name),
    expire: async (name: string, version: number) => {
      expired.push(name);
      await disk.catalog.commit({
        registers: [rowOf(name, version + 1, { modifiedMs: ring.clock.wallMs() })],
      });
    },
    horizonMs: 1e9,
  });
  const walk = (): void => rows.forEach((row) => tombstones.consider(row));
  return { ring, disk, rows, expired, damaged, tombstones, walk };
}

test("Tombstones come of everything that is past its time after one look, however much there is", async () => {
  const { ring, disk, rows, expired, damaged, walk } = await expiring(24_000);
  const rotten = rows[20_000]!.name;
  disk.damagedRows.add(rotten);
  walk();
  await ring.clock.advance(60_000);
  const wanted = rows.map(({ name }) => name).filter((name) => name !== rotten);
  assert.equal(expired.length, wanted.length);
  assert.equal([...expired].sort().join(), wanted.join());
  assert.deepEqual([...damaged], [rotten]);
});

test("Tombstones: looks that find the first names due again and again keep no later name from its turn", async () => {
  const { ring, disk, rows, expired, walk } = await expiring(13_000);
  walk();
  for (let look = 0; look < 20 && !expired.includes(rows.at(-1)!.name); look++) {
    await ring.clock.advance(500);
    // They were put again meanwhile, and are past their time once more.
    await disk.catalog.commit({ registers: rows.slice(0, 11_000) });
    walk();
  }
  assert.ok(expired.includes(rows.at(-1)!.name), `${new Set(expired).size} of ${rows.length} expired`);
});

test("Tombstones are looked for no more once the node stops, and later where the catalog has a bad day", async () => {
  const { ring, disk, rows, expired, tombstones, walk } = await expiring(12_000);
  disk.readFails = () => true;
  walk();
  await ring.clock.advance(30_000);
  assert.equal(expired.length, 10_001);
  disk.readFails = () => false;
  await ring.clock.until("it goes on", () => expired.length > 10_500, 60_000);
  tombstones.stop();
  const before = expired.length;
  await ring.clock.advance(120_000);
  assert.ok(before < rows.length && expired.length === before, `${before}, then ${expired.length}`);
});

test("Tombstones: what no majority is there to expire waits for it without a try", async () => {
  const ring = new MemoryRing({ ids: IDS });
  const own = new Ring("a", ring.layout);
  let there: readonly string[] = [];
  const expired: string[] = [];
  const tombstones = new Tombstones({
    ...ring.portsOf("a"),
    ring: own,
    replica: {} as Replica,
    registers: {} as Registers,
    gate: {} as PeerGate,
    membership: { isAlive: (id: string) => there.includes(id) } as Membership,
    courtesy: new Courtesy(ring.clock),
    onDamaged: () => {},
    expire: async (name: string) => void expired.push(name),
    horizonMs: 0,
  });
  const name = Array.from({ length: 100 }, (_, n) => `bucket\0${n}`).find((some) =>
    own.replicas(some)[0] === "a"
  )!;
  const manifest = { ...manifestOf("ab".repeat(32), 0), chunks: [], expiresMs: 1 };
  for (const alive of [[], ["b"]]) {
    assert.deepEqual(expired, []);
    there = alive;
    tombstones.consider(rowOf(name, 1, { content: { kind: "object", manifest } }));
    await ring.clock.advance(1_000);
  }
  assert.deepEqual(expired, [name]);
});

test("Tombstones that were collected since they were looked at are not written once more", async () => {
  const ring = new MemoryRing({ ids: ["a"] });
  const row = rowOf(NAME, 1);
  const rewritten: string[] = [];
  let looked = 0;
  const tombstones = new Tombstones({
    ...ring.portsOf("a"),
    ring: new Ring("a", ring.layout),
    replica: {
      state: async () => (looked++, { ...row.state, accepted: NO_BALLOT, value: null }),
    } as unknown as Replica,
    registers: { rewrite: async (name: string) => rewritten.push(name) } as unknown as Registers,
    gate: {} as PeerGate,
    membership: {} as Membership,
    courtesy: new Courtesy(ring.clock),
    onDamaged: () => {},
    expire: async () => {},
    horizonMs: 0,
  });
  tombstones.consider(row);
  await ring.clock.advance(1_000);
  assert.equal(looked, 1);
  assert.deepEqual(rewritten, []);
});
