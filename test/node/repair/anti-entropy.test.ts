/** Anti-entropy: replicas find in the background wherever they differ, whatever no hint told of. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compareUtf8 } from "../../../src/core/names.ts";
import { partitionOf, slotOf, SLOTS_PER_PARTITION } from "../../../src/core/partitions.ts";
import type { PeerReply, PeerRequest } from "../../../src/ports.ts";
import { HASHING, MemoryRing } from "../../helpers/memory-ring.ts";
import {
  bytesOfKind,
  holdersOf,
  manifestOf,
  putObject,
  rowOf,
  versionsAt,
} from "../../helpers/stored-objects.ts";

const IDS = ["a", "b", "c"];
const NAME = "bucket\0key";
const COMPARE_MS = 20_000;
/** By then everybody has compared with everybody, and what was found is done. */
const COMPARED_MS = 3 * COMPARE_MS;
const ERROR: PeerReply = { type: "error", code: "internal", message: "a bad day" };

function open(ids: readonly string[] = IDS): Promise<MemoryRing> {
  return MemoryRing.open({ ids, repair: { compareIntervalMs: COMPARE_MS } });
}

/** Puts rows on disks while their nodes are down: nobody knows that anybody missed anything. */
async function plant(
  ring: MemoryRing,
  ids: readonly string[],
  names: readonly string[],
  counter = 1,
): Promise<void> {
  for (const id of ids) {
    ring.crash(id);
    await ring.site(id).disk.catalog.commit({ registers: names.map((name) => rowOf(name, counter)) });
    await ring.start(id);
  }
}

/** So many names of one slot. */
function namesOfSlot(count: number): string[] {
  const slot = slotOf(NAME);
  const names: string[] = [];
  for (let n = 0; names.length < count; n++) if (slotOf(`bucket\0${n}`) === slot) names.push(`bucket\0${n}`);
  return names;
}

function answer(
  ring: MemoryRing,
  from: string,
  reply: (request: PeerRequest) => PeerReply | undefined,
): () => void {
  return ring.network.rule((message) => {
    const instead = !message.reply && message.to === from ? reply(message.request) : undefined;
    return instead && { reply: instead };
  });
}

function onlyCompares(ring: MemoryRing, id: string): void {
  ring.network.rule(({ request, from, reply }) =>
    !reply && from !== id && request.type === "digests" ? { lost: true } : undefined
  );
}

test("Anti-entropy brings a replica what no hint told of, deletions and chunks included", async () => {
  const ring = await open();
  const bytes = bytesOfKind(5);
  const chunk = HASHING.sha256(bytes);
  for (const id of ["a", "b"]) {
    ring.crash(id);
    const { chunkFiles, catalog } = ring.site(id).disk;
    await chunkFiles.put(chunk, bytes);
    const content = { kind: "object", manifest: manifestOf(chunk) } as const;
    await catalog.commit({ registers: [rowOf(NAME, 3, { content }), rowOf("bucket\0gone", 4)] });
    await ring.start(id);
  }
  await ring.clock.advance(COMPARED_MS);
  assert.deepEqual(await versionsAt(ring, IDS, NAME), [3, 3, 3]);
  assert.deepEqual(await versionsAt(ring, IDS, "bucket\0gone"), [4, 4, 4]);
  assert.deepEqual(await holdersOf(ring, IDS, chunk), IDS);
  ring.close();
});

test("Anti-entropy carries what only a minority has accepted to the others", async () => {
  const ring = await open();
  await plant(ring, ["b"], [NAME]);
  await ring.clock.advance(COMPARED_MS);
  assert.deepEqual(await versionsAt(ring, IDS, NAME), [1, 1, 1]);
  ring.close();
});

test("Anti-entropy takes the greatest ballot and undoes nothing", async () => {
  const ring = await open();
  await putObject(ring, "a", NAME);
  await plant(ring, ["c"], [NAME], 0);
  await ring.clock.advance(COMPARED_MS);
  const versions = await versionsAt(ring, IDS, NAME);
  assert.deepEqual(versions, [1, 1, 1]);
  ring.close();
});

test("Anti-entropy goes through slots of many pages", async () => {
  const ring = await open();
  const names = namesOfSlot(130);
  await plant(ring, ["a"], names);
  await plant(ring, ["b"], names.filter((_, n) => n % 2 === 0));
  await ring.clock.advance(COMPARED_MS);
  for (const id of IDS) {
    const rows = await ring.site(id).disk.catalog.slotRows(slotOf(NAME), "", 1_000);
    assert.equal(rows.filter(({ state }) => state.value !== null).length, 130, id);
  }
  ring.close();
});

test("Anti-entropy that finds nothing different asks for no slot", async () => {
  const ring = await open();
  for (let n = 0; n < 20; n++) await putObject(ring, "a", `bucket\0${n}`, new Uint8Array(10));
  await ring.clock.advance(COMPARED_MS);
  const asked: string[] = [];
  ring.network.rule(({ request, reply }) => {
    if (!reply) asked.push(request.type);
    return undefined;
  });
  await ring.clock.advance(COMPARED_MS);
  assert.ok(asked.includes("digests"));
  assert.deepEqual(asked.filter((type) => type === "slot-digests" || type === "slot-entries"), []);
  ring.close();
});

test("Anti-entropy goes on past a register that cannot be brought together", async () => {
  const ring = await open();
  onlyCompares(ring, "a");
  const names = namesOfSlot(40).sort(compareUtf8);
  await plant(ring, ["a"], names);
  // The others promised more for some of them, and have no ear for a round that would get past that.
  const stuck = new Set(names.slice(0, 20));
  for (const id of ["b", "c"]) {
    answer(ring, id, (request) => {
      if (!("name" in request) || !stuck.has(request.name)) return undefined;
      if (request.type === "prepare") return ERROR;
      const promised = { counter: 99, node: "z" };
      return request.type === "accept" ? { type: "accept", reply: { kind: "refused", promised } } : undefined;
    });
  }
  await ring.clock.advance(2 * COMPARED_MS);
  for (const name of names.slice(20)) assert.deepEqual(await versionsAt(ring, IDS, name), [1, 1, 1], name);
  ring.close();
});

test("Anti-entropy goes on past a slot that the peer cannot read", async () => {
  const ring = await open();
  onlyCompares(ring, "a");
  // One name in each of several slots of a partition; only the last slot can be read.
  const names = new Map<number, string>();
  const partition = partitionOf(NAME);
  for (let n = 0; names.size < 10; n++) {
    if (partitionOf(`bucket\0${n}`) === partition) names.set(slotOf(`bucket\0${n}`), `bucket\0${n}`);
  }
  const last = Math.max(...names.keys());
  await plant(ring, ["a"], [...names.values()]);
  for (const id of IDS) {
    answer(
      ring,
      id,
      (request) => request.type === "slot-entries" && request.slot !== last ? ERROR : undefined,
    );
  }
  await ring.clock.advance(COMPARED_MS);
  for (const [slot, name] of names) {
    assert.deepEqual(await versionsAt(ring, IDS, name), slot === last ? [1, 1, 1] : [1, 0, 0]);
  }
  ring.close();
});

test("Anti-entropy has a row mended that it finds damaged here, and then brings the slot together", async () => {
  const ring = await open();
  const [damaged, missing] = namesOfSlot(2);
  await plant(ring, IDS, [damaged!]);
  await ring.clock.advance(COMPARED_MS);
  ring.crash("a");
  ring.site("a").disk.damagedRows.add(damaged!);
  await ring.start("a");
  await plant(ring, ["b"], [missing!]);
  await ring.clock.advance(2 * COMPARED_MS);
  assert.equal(ring.site("a").disk.damagedRows.size, 0);
  assert.deepEqual(await versionsAt(ring, IDS, missing!), [1, 1, 1]);
  ring.close();
});

test("Anti-entropy with a peer that lies without end keeps no other waiting, and ends", async () => {
  const ring = await open();
  onlyCompares(ring, "a");
  let asked = 0;
  ring.network.rule(({ request, from, to, reply }) => {
    if (reply || from !== "a" || to !== "b") return undefined;
    asked++;
    const lie = "ab".repeat(32);
    switch (request.type) {
      case "digests":
        return { reply: { type: "digests", digests: request.partitions.map(() => lie) } };
      case "slot-digests":
        return { reply: { type: "slot-digests", digests: Array<string>(SLOTS_PER_PARTITION).fill(lie) } };
      case "slot-entries":
        return { delayMs: 2_000, reply: { type: "slot-entries", entries: [], next: `${request.after}~` } };
      default:
        return undefined;
    }
  });
  await plant(ring, ["c"], [NAME]);
  await ring.clock.advance(COMPARED_MS);
  assert.ok(asked > 20);
  assert.deepEqual(await versionsAt(ring, ["a"], NAME), [1]);
  const later = "bucket\0later";
  await ring.clock.advance(250_000);
  await plant(ring, ["c"], [later]);
  await ring.clock.advance(150_000);
  assert.deepEqual(await versionsAt(ring, ["a"], later), [1]);
  ring.close();
});

test("Anti-entropy begins soon after a peer is back", async () => {
  const ring = await MemoryRing.open({ ids: IDS, repair: { compareIntervalMs: 24 * 3_600_000 } });
  await plant(ring, ["c"], [NAME]);
  await ring.clock.advance(20_000);
  assert.deepEqual(await versionsAt(ring, IDS, NAME), [1, 1, 1]);
  ring.close();
});
