/**
 * Bad days that the simulator found, each played again step by step: a seed would mean another day as soon as the mix of
 * faults changes. Every one of them fails without the mending that it is named after.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ballot } from "../../src/core/ballot.ts";
import { replicasOf } from "../../src/core/layout.ts";
import { type Name, objectName } from "../../src/core/names.ts";
import { EMPTY_ACCEPTOR, type RegisterValue, successor } from "../../src/core/register.ts";
import type { RingChange } from "../../src/node/layout/administration.ts";
import type { PeerReply, PeerRequest } from "../../src/ports.ts";
import type { Message } from "../helpers/fake-network.ts";
import { MemoryRing, type RingOptions } from "../helpers/memory-ring.ts";
import { bytesOf, uploadOf } from "../helpers/uploads.ts";
import { type Body, bodyOf, CHUNK_SIZES } from "./bodies.ts";

const ABC = ["a", "b", "c"];
const TOMBSTONE: RegisterValue = successor(EMPTY_ACCEPTOR.value, {
  changeId: "deleted",
  content: { kind: "tombstone" },
  nowMs: 1,
});
/** Nothing in the background but what a scenario asks for. */
const IDLE = { compareIntervalMs: 3_600_000, garbageIntervalMs: 3_600_000 };
const COLLECTING = { ...IDLE, garbageIntervalMs: 300, tombstoneAgeMs: 0 };

test("an accept that comes once more after its tombstone was collected does not bring the tombstone back", async () => {
  const ring = await settled({ ids: ABC, repair: IDLE });
  const name = ring.nameOn(ABC);
  const ballot: Ballot = { counter: 1, node: "x" };
  const accept = { type: "accept", name, ballot, value: TOMBSTONE } as const;
  for (const id of ABC) {
    await ask(ring, id, { type: "prepare", name, ballot });
    await ask(ring, id, accept);
    await ask(ring, id, { type: "forget", name, ballot });
  }
  for (const id of ABC) {
    assert.partialDeepStrictEqual(await ask(ring, id, accept), { reply: { kind: "refused" } });
    assert.deepEqual(await held(ring, id), []);
  }
  ring.close();
});

test("a promise that nobody came back for does not keep a tombstone for ever", async () => {
  const ring = await settled({ ids: ABC, repair: COLLECTING });
  const name = ring.nameOn(ABC);
  await put(ring, "a", name, "a body");
  await ring.run(ring.node("a").objects.delete(name, {}));
  await ask(ring, "b", { type: "prepare", name, ballot: { counter: 50, node: "gone" } });
  await untilHeld(ring, "the tombstone is collected", (all) => all.every((rows) => rows.length === 0));
  ring.close();
});

test("a replica that missed a change and promised more than it holds catches up all the same", async () => {
  // It answers last, when the others have decided already that nothing needs to be done.
  const delayMs = ({ from, to }: Message): number => [from, to].includes("c") ? 20 : 1;
  const ring = await settled({ ids: ABC, repair: IDLE, delayMs });
  const name = ring.nameOn(ABC);
  await put(ring, "a", name, "first");
  await untilHeld(ring, "all have the first", alike);
  const undo = ring.network.refuse("c");
  await put(ring, "a", name, "second");
  undo();
  await ask(ring, "c", { type: "prepare", name, ballot: { counter: 50, node: "gone" } });
  await untilHeld(ring, "all have the second", (all) => alike(all) && all[2]![0]!.includes('"version":2'));
  ring.close();
});

test("a node whose own disk was full gets what it coordinated meanwhile", async () => {
  const ring = await settled({ ids: ABC, repair: IDLE });
  const name = ring.nameOn(ABC);
  ring.site("a").disk.isFull = true;
  await put(ring, "a", name, "a body");
  ring.site("a").disk.isFull = false;
  await untilHeld(ring, "the coordinator has it too", alike);
  ring.close();
});

test("a change whose object was deleted, collected and made anew before it was answered is not made twice", async () => {
  const ring = await settled({ ids: [...ABC, "d"], repair: COLLECTING });
  const name = ring.nameOn(ABC);
  // Its accepts arrive, and nothing comes back.
  const undo = ring.network.rule(({ from, to, request, reply }) =>
    request.type === "accept" && [from, to].includes("d") && reply ? { lost: true } : undefined
  );
  const unanswered = ring.node("d").objects.put(uploadOf(name, bytesOf("once")), {});
  unanswered.catch(() => {});
  await untilHeld(ring, "all accepted it", alike);
  await ring.run(ring.node("a").objects.delete(name, {}));
  await untilHeld(ring, "it is forgotten", (all) => all.every((rows) => rows.length === 0));
  await put(ring, "a", name, "anew");
  undo();
  await assert.rejects(ring.run(unanswered), { code: "outcome-unknown" });
  const found = await ring.run(ring.node("a").objects.locate(name, { noCache: true, onlyIfCached: false }));
  assert.equal(found.kind === "found" && found.object.manifest.size, bytesOf("anew").length);
  ring.close();
});

test("a vote that turns out void has the replicas asked that were left out", async () => {
  const ring = await settled({ ids: ABC, repair: IDLE });
  const name = ring.nameOn(ABC);
  const undo = ring.network.refuse("c");
  await ring.clock.until("c is suspected", () => !ring.node("b").membership.isAlive("c"));
  // What c knows: the disk that a speaks from is not its newest.
  await ring.run(
    ring.node("b").handlePeer({ node: "a" }, {
      type: "remember",
      memory: { counter: 1, node: "newer" },
    }),
  );
  undo();
  await put(ring, "b", name, "a body");
  ring.close();
});

test("chunks of a value that only one replica knows of, and that it lacks itself, are not collected while it is away", async () => {
  const ring = await settled({
    ids: ABC,
    chunkSizes: CHUNK_SIZES,
    repair: { ...IDLE, garbageIntervalMs: 1_000, garbageGraceMs: 5_000, lateMessageMs: 5_000 },
  });
  const name = ring.nameOn(ABC);
  const body = bodyOf("body", 5 * CHUNK_SIZES.chunkBytes);
  // The chunks are safe with a and b; the value is accepted at c alone, which has room again by then.
  const { disk } = ring.site("c");
  disk.isFull = true;
  const undo = ring.network.rule(({ from, request }) => {
    if (from === "c" && request.type === "prepare") disk.isFull = false;
    return from === "c" && ["accept", "chunk-get"].includes(request.type) ? { lost: true } : undefined;
  });
  const unknown = ring.node("c").objects.put(uploadOf(name, body.bytes), {});
  await assert.rejects(ring.run(unknown), { code: "outcome-unknown" });
  const back = ring.network.refuse("c");
  await ring.clock.advance(60_000);
  back();
  undo();
  await ring.clock.until("c is back", () => ring.node("a").membership.isAlive("c"));
  await ring.clock.advance(30_000);
  for (const id of ABC) await readWhole(ring, id, name, body);
  ring.close();
});

test("a scrub reads every chunk again in each of its cycles", async () => {
  const ring = await settled({ ids: ABC, repair: { ...IDLE, scrubCycleMs: 10_000, scrubShare: 1 } });
  const name = ring.nameOn(ABC);
  const { bytes, sha256 } = bodyOf("body", 200_000);
  await put(ring, "a", name, bytes);
  const { disk } = ring.site("b");
  for (let times = 1; times <= 3; times++) {
    await ring.clock.advance(30_000);
    assert.equal((await disk.chunkFiles.get(sha256)).kind, "found", `before the ${times}. damage`);
    disk.chunkFiles.flip(sha256);
  }
  ring.close();
});

test("what one replica accepted, and nobody else, does not come back over what a later layout committed", async () => {
  const ring = await settled({ ids: [...ABC, "d", "e"], repair: IDLE, joinAfterMs: undefined });
  const name = ring.nameOn(ABC);
  await put(ring, "a", name, "first");
  await untilHeld(ring, "all have the first", alike);
  // A writer dies when one of them has accepted and another has promised.
  const ballot: Ballot = { counter: 50, node: "x" };
  for (const id of ABC) await ask(ring, id, { type: "prepare", name, ballot });
  await ask(ring, "a", { type: "accept", name, ballot, value: TOMBSTONE });
  const undo = ring.network.refuse("a");
  await ring.clock.until("a is missed", () => !ring.node("d").membership.isAlive("a"));
  await change(ring, "d", { drain: ["b", "c"] });
  await put(ring, "d", name, "second");
  undo();
  await ring.clock.until(
    "a is back",
    () => ring.node("a").layout()!.number === ring.node("d").layout()!.number,
  );
  ring.network.refuse("e");
  assert.equal(await sizeAt(ring, "a", name), bytesOf("second").length);
  ring.close();
});

test("what a node held before it was drained does not come back with it after it was deleted", async () => {
  for (const away of ["until it settled", "while it moves"]) {
    const ring = await settled({ ids: [...ABC, "d"], repair: COLLECTING, joinAfterMs: undefined });
    const names = Array.from({ length: 40 }, (_, n) => objectName("bucket", `key-${n}`))
      .filter((name) => replicasOf(ring.layout, name).includes("a"));
    for (const name of names) await put(ring, "a", name, "a body");
    await ring.clock.advance(5_000);
    const undo = ring.network.refuse("a");
    await ring.clock.until("a is missed", () => !ring.node("b").membership.isAlive("a"));
    await change(ring, "b", { drain: ["a"] });
    for (const name of names) await ring.run(ring.node("b").objects.delete(name, {}));
    await ring.clock.advance(60_000);
    assert.equal((await held(ring, "b")).length, 0, "the tombstones are collected");
    if (away === "until it settled") await change(ring, "b", { weight: { a: 1 } });
    else {await ring.run(
        ring.node("b").administration.apply(ring.node("b").layout()!.number, { weight: { a: 1 } }),
      );}
    undo();
    const number = (id: string): number => ring.node(id).layout()!.number;
    await ring.clock.until("a is back", () => number("a") === number("b"));
    await ring.clock.until(
      "a may vote",
      () => ring.count("a", "atoll_recovery_partitions_left") === 0,
      60_000,
    );
    ring.network.refuse("b");
    for (const name of names) assert.equal(await sizeAt(ring, "a", name), undefined, `${name}, away ${away}`);
    ring.close();
  }
});

test("a node that does not know the ring yet is not taken in: it would take itself for one that lost its disk", async () => {
  const ring = await settled({ ids: ["a"], repair: IDLE, joinAfterMs: undefined });
  const name = ring.nameOn(["a"]);
  await put(ring, "a", name, "a body");
  const undo = ring.network.rule(({ request }) => request.type === "layout" ? { lost: true } : undefined);
  await ring.run(ring.start("b"));
  const { administration, membership } = ring.node("a");
  await ring.clock.until("a has heard of b", () => membership.card("b") !== undefined);
  assert.equal((await ring.run(administration.apply(1, { join: ["b"] }))).kind, "refused");
  undo();
  await ring.clock.until("b knows the ring", () => membership.card("b")!.ringId !== undefined, 30_000);
  await change(ring, "a", { join: ["b"] });
  assert.equal(await sizeAt(ring, "b", name), bytesOf("a body").length);
  ring.close();
});

/** Until it has settled. */
async function change(ring: MemoryRing, id: string, wanted: RingChange): Promise<void> {
  const { administration, layout } = ring.node(id);
  const applied = await ring.run(administration.apply(layout()!.number, wanted), "a change of the ring");
  assert.equal(applied.kind, "applied");
  await ring.clock.until("it settled", () => layout()!.from === undefined, 300_000);
}

async function sizeAt(ring: MemoryRing, id: string, name: Name): Promise<number | undefined> {
  const { objects } = ring.node(id);
  const located = await ring.run(
    objects.locate(name, { noCache: true, onlyIfCached: false }),
    `a look at ${name}`,
  );
  return located.kind === "found" ? located.object.manifest.size : undefined;
}

/** A ring that has done what it does when nodes meet: they compare what they hold. */
async function settled(options: RingOptions): Promise<MemoryRing> {
  const ring = await MemoryRing.open(options);
  await ring.clock.advance(20_000);
  return ring;
}

async function ask(ring: MemoryRing, id: string, request: PeerRequest): Promise<PeerReply> {
  return await ring.run(ring.node(id).handlePeer({ node: "x" }, request));
}

async function put(ring: MemoryRing, id: string, name: Name, body: string | Uint8Array): Promise<void> {
  const bytes = typeof body === "string" ? bytesOf(body) : body;
  const outcome = await ring.run(ring.node(id).objects.put(uploadOf(name, bytes), {}), `a put at ${id}`);
  assert.equal(outcome.kind, "stored");
}

async function readWhole(ring: MemoryRing, id: string, name: Name, body: Body): Promise<void> {
  const { objects } = ring.node(id);
  const located = await ring.run(objects.locate(name, { noCache: true, onlyIfCached: false }));
  assert.ok(located.kind === "found", `${id} has it ${located.kind}`);
  const { bytes } = await ring.run(objects.open(name, located.object, 0, body.bytes.length - 1));
  let at = 0;
  const read = (async () => {
    for await (const part of bytes) {
      assert.deepEqual(part, body.bytes.slice(at, at + part.length), `${id}, from byte ${at} on`);
      at += part.length;
    }
  })();
  await ring.run(read, `the bytes from ${id}`);
  assert.equal(at, body.bytes.length);
}

/** What lies on the node's disk, as text. */
async function held(ring: MemoryRing, id: string): Promise<string[]> {
  const rows = await ring.site(id).disk.catalog.scan({ prefix: "", after: "", limit: 100 });
  return rows.map(({ name, state: { accepted, value } }) => JSON.stringify({ name, accepted, value }));
}

async function untilHeld(ring: MemoryRing, label: string, isSo: (all: string[][]) => boolean): Promise<void> {
  for (let seconds = 0; seconds < 300; seconds++) {
    const all: string[][] = [];
    for (const id of ABC) all.push(await held(ring, id));
    if (isSo(all)) return;
    await ring.clock.advance(seconds < 20 ? 100 : 1_000);
  }
  throw new Error(`waited in vain: ${label}`);
}

function alike([first, ...others]: string[][]): boolean {
  return first!.length > 0 && others.every((rows) => rows.join() === first!.join());
}
