/** Rings that change their members while objects are read and written. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { replicasOf } from "../../../src/core/layout.ts";
import { changedLayout } from "../../../src/core/layout-change.ts";
import { objectName } from "../../../src/core/names.ts";
import type { RingChange } from "../../../src/node/layout/administration.ts";
import { MemoryRing } from "../../helpers/memory-ring.ts";
import { holdersOf, putObject } from "../../helpers/stored-objects.ts";
import { uploadOf } from "../../helpers/uploads.ts";

const NAMES = Array.from({ length: 40 }, (_, n) => objectName("bucket", `key-${n}`));
const REPAIR = { compareIntervalMs: 5_000, garbageGraceMs: 20_000, garbageIntervalMs: 5_000 };

async function write(ring: MemoryRing, id: string, text: string): Promise<void> {
  for (const name of NAMES) {
    const body = new TextEncoder().encode(`${text} ${name}`.repeat(name.endsWith("17") ? 100_000 : 1));
    const outcome = await ring.run(ring.node(id).objects.put(uploadOf(name, body), {}));
    assert.equal(outcome.kind, "stored");
  }
}

async function readAll(ring: MemoryRing, id: string, version: number): Promise<void> {
  for (const name of NAMES) {
    const located = await ring.run(
      ring.node(id).objects.locate(name, { noCache: true, onlyIfCached: false }),
    );
    assert.ok(located.kind === "found" && located.object.version === version, `${name} at ${id}`);
    const { bytes } = await ring.run(
      ring.node(id).objects.open(name, located.object, 0, located.object.manifest.size - 1),
    );
    let got = 0;
    await ring.run((async () => {
      for await (const part of bytes) got += part.length;
    })());
    assert.equal(got, located.object.manifest.size);
  }
}

async function settled(ring: MemoryRing, ids: readonly string[], members: readonly string[]): Promise<void> {
  await ring.clock.until(
    `a settled layout of ${members.join()}`,
    () =>
      ids.every((id) => {
        const layout = ring.node(id).layout();
        return layout && !layout.from && layout.nodes.map((node) => node.id).join() === members.join();
      }),
    300_000,
  );
}

async function apply(ring: MemoryRing, id: string, change: RingChange): Promise<void> {
  const { administration } = ring.node(id);
  const { base } = administration.plan(change);
  assert.deepEqual(await ring.run(administration.apply(base, change)), { kind: "applied", layout: base + 1 });
}

async function seenAway(ring: MemoryRing, by: string, id: string): Promise<void> {
  await ring.clock.until(`${by} misses ${id}`, () => !ring.node(by).membership.isAlive(id), 60_000);
}

/** What lies on a node's disk becomes what its layout gives it. */
async function tidy(ring: MemoryRing, ids: readonly string[]): Promise<void> {
  let untidy: string | undefined = "not looked at";
  for (let waitedMs = 0; untidy !== undefined; waitedMs += 2_000) {
    assert.ok(waitedMs < 600_000, untidy);
    await ring.clock.advance(2_000);
    untidy = await untidiness(ring, ids);
  }
}

async function untidiness(ring: MemoryRing, ids: readonly string[]): Promise<string | undefined> {
  const layout = ring.node(ids[0]!).layout()!;
  for (const id of ids) {
    const { catalog } = ring.site(id).disk;
    const rows = await catalog.scan({ prefix: "", after: "", limit: 1e6 });
    const held = rows.map(({ name }) => name).sort().join();
    const wanted = NAMES.filter((name) => replicasOf(layout, name).includes(id)).sort().join();
    if (held !== wanted) return `wanted ${id} to hold ${wanted}, got ${held}`;
    const [incomplete] = await catalog.incomplete(1);
    if (incomplete) return `${id} lacks chunks of ${incomplete.name}`;
  }
  return undefined;
}

test("a ring of one grows to three and to five by itself, and shrinks again by an operator's word", async () => {
  const ids = ["a", "b", "c", "d", "e"];
  const ring = new MemoryRing({ ids, founded: false, repair: REPAIR });
  await ring.run(ring.start("a", { seeds: [] }));
  await write(ring, "a", "alone");
  for (const id of ["b", "c"]) await ring.run(ring.start(id, { bootstrapExpect: 1 }));
  await settled(ring, ["a", "b", "c"], ["a", "b", "c"]);
  await readAll(ring, "c", 1);
  await write(ring, "b", "three");
  await tidy(ring, ["a", "b", "c"]);
  for (const id of ["d", "e"]) await ring.run(ring.start(id, { bootstrapExpect: 1 }));
  await ring.clock.until("the ring is moving", () => ring.node("a").layout()!.from !== undefined, 60_000);
  await write(ring, "d", "moving");
  await readAll(ring, "e", 3);
  await settled(ring, ids, ids);
  await readAll(ring, "a", 3);
  await tidy(ring, ids);
  await apply(ring, "c", { drain: ["a"] });
  await write(ring, "e", "draining");
  await settled(ring, ids, ids);
  assert.equal(ring.node("b").layout()!.nodes[0]!.weight, 0);
  await tidy(ring, ids);
  ring.crash("a");
  await seenAway(ring, "d", "a");
  await apply(ring, "d", { remove: ["a"] });
  await settled(ring, ["b", "c", "d", "e"], ["b", "c", "d", "e"]);
  await readAll(ring, "b", 4);
  ring.close();
});

test("a node that gives up what is others' brings the others what they turn out to lack", async () => {
  const ring = await MemoryRing.open({ ids: ["a", "b", "c"], repair: REPAIR });
  const [chunk] = (await putObject(ring, "a", NAMES[0]!)).chunks;
  await ring.clock.advance(1_000);
  await ring.site("c").disk.chunkFiles.delete(chunk!);
  assert.deepEqual(await holdersOf(ring, ["a", "b", "c"], chunk!), ["a", "b"]);
  // It cannot get it by itself, as when those that have it are no replicas any more.
  ring.network.rule(({ from, request }) =>
    from === "c" && request.type === "chunk-get" ? { refused: true } : undefined
  );
  await apply(ring, "b", { drain: ["a"] });
  await settled(ring, ["a", "b", "c"], ["a", "b", "c"]);
  for (let waitedMs = 0; (await holdersOf(ring, ["c"], chunk!)).length === 0; waitedMs += 1_000) {
    assert.ok(waitedMs < 60_000, "c still lacks it");
    await ring.clock.advance(1_000);
  }
  await ring.clock.until("a gives it up", () => ring.count("a", "atoll_leavings_registers") === 0, 60_000);
  ring.close();
});

test("the copies of a running ring go from one to three to five and back", async () => {
  const ids = ["a", "b", "c", "d", "e"];
  const ring = await MemoryRing.open({ ids, replicas: 1, repair: REPAIR });
  await write(ring, "a", "one");
  let version = 1;
  for (const replicas of [3, 5, 3, 1]) {
    await apply(ring, "b", { replicas });
    await write(ring, "c", `${replicas}`);
    version++;
    await settled(ring, ids, ids);
    await readAll(ring, "d", version);
    await tidy(ring, ids);
    assert.equal(ring.node("e").layout()!.table[0]!.length, replicas);
  }
  ring.close();
});

test("how far a move is, and how much is left, is told while chunks come slowly", async () => {
  const repair = { ...REPAIR, fetchBytesPerSecond: 100_000 };
  const ring = await MemoryRing.open({ ids: ["a", "b", "c"], repair, joinAfterMs: 2_000 });
  await write(ring, "a", "first");
  await ring.start("d");
  await ring.clock.until("d is taken in", () => ring.node("b").layout()?.from !== undefined, 60_000);
  const { administration } = ring.node("b");
  const look = async () => {
    await ring.clock.advance(500);
    return (await ring.run(administration.status())).move;
  };
  const seen: { bytesDone: number; bytesLeft: number; etaSeconds: number | null }[] = [];
  for (let move = await look(); move !== null; move = await look()) {
    if (move.partitionsLeft === 0 && move.bytesLeft > 0) seen.push(move);
    assert.ok(seen.length < 1_000);
  }
  assert.ok(seen.length >= 3, `seen ${seen.length} times in the midst of it`);
  const totals = seen.map(({ bytesDone, bytesLeft }) => bytesDone + bytesLeft);
  assert.ok(Math.max(...totals) < 1.1 * Math.min(...totals), `about as much each time: ${totals.join()}`);
  assert.ok(seen.every(({ bytesDone }, at) => at === 0 || bytesDone >= seen[at - 1]!.bytesDone));
  assert.ok(seen.some(({ etaSeconds }) => etaSeconds !== null && etaSeconds > 0));
  await settled(ring, ["a", "b", "c", "d"], ["a", "b", "c", "d"]);
  ring.close();
});

test("a dead node is removed, and what it held has all its copies again", async () => {
  const ids = ["a", "b", "c", "d"];
  const ring = await MemoryRing.open({ ids, repair: REPAIR });
  await write(ring, "a", "before");
  ring.crash("d");
  await seenAway(ring, "b", "d");
  await apply(ring, "b", { remove: ["d"] });
  await settled(ring, ["a", "b", "c"], ["a", "b", "c"]);
  await tidy(ring, ["a", "b", "c"]);
  await readAll(ring, "c", 1);
  ring.close();
});

for (const voters of [["b", "c"], ["c"]]) {
  test(`a layout accepted by ${voters.join(" and ")} whose proposer died is brought to its end`, async () => {
    const ring = await MemoryRing.open({ ids: ["a", "b", "c"] });
    const current = ring.node("a").layout()!;
    const planned = changedLayout(current, { weight: { c: 2 } });
    assert.ok(planned.kind === "planned");
    const { layout } = planned;
    const ballot = { counter: 7, node: "a" };
    for (const id of voters) {
      const { handlePeer } = ring.node(id);
      const from = { node: "a", layout: current.number };
      await ring.run(handlePeer(from, { type: "decree-prepare", number: layout.number, ballot }));
      await ring.run(handlePeer(from, { type: "decree-accept", ballot, layout }));
    }
    ring.crash("a");
    await ring.clock.until("those who are left go by it", () =>
      ["b", "c"].every((id) => {
        const { number, nodes } = ring.node(id).layout()!;
        return number >= layout.number && nodes.some(({ weight }) => weight === 2);
      }), 30_000);
    ring.close();
  });
}
