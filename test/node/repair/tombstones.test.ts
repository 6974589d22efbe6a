/** Tombstones: they go when every replica has them, not before, and what went never comes back. */
import assert from "node:assert/strict";
import { test } from "node:test";
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
