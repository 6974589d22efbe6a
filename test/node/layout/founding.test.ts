/** How a ring begins: one layout, whoever proposes, in whatever order nodes come. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { foundingLayout, type Layout } from "../../../src/core/layout.ts";
import { DecreeAcceptor } from "../../../src/node/layout/decree-acceptor.ts";
import { createMemoryCatalog } from "../../helpers/memory-catalog.ts";
import { MemoryRing, RING_ID, urlOf } from "../../helpers/memory-ring.ts";

const FOUNDERS = ["a", "b", "c"];

function open(ids: readonly string[], seed = 1): MemoryRing {
  return new MemoryRing({
    ids,
    seed,
    founded: false,
    delayMs: (_, random) => 1 + 20 * random.fraction(),
    diskMs: (random) => 10 * random.fraction(),
  });
}

function ringIdsOf(ring: MemoryRing, ids: readonly string[]): Set<string | undefined> {
  return new Set(ids.filter((id) => ring.isUp(id)).map((id) => ring.node(id).layout()?.ringId));
}

async function agreed(ring: MemoryRing, ids: readonly string[], limitMs = 60_000): Promise<Layout> {
  await ring.clock.until(
    "all belong to one ring",
    () => !ringIdsOf(ring, ids).has(undefined) && ringIdsOf(ring, ids).size === 1,
    limitMs,
  );
  const [first, ...others] = ids.map((id) => ring.node(id).layout());
  for (const other of others) assert.deepEqual(other, first);
  return first!;
}

const members = ({ nodes }: Layout): string[] => nodes.map(({ id }) => id);

test("Founder: exactly as many nodes as expected found one ring, in whatever order they come", async () => {
  for (let seed = 0; seed < 12; seed++) {
    const ring = open(FOUNDERS, seed);
    const order = [...FOUNDERS].sort(() => ring.random.fraction() - 0.5);
    for (const [n, id] of order.entries()) {
      await ring.start(id);
      await ring.clock.advance(ring.random.below(4_000));
      if (n < 2) assert.equal(ring.node(id).layout(), undefined, "never with fewer");
    }
    assert.deepEqual(members(await agreed(ring, FOUNDERS)), FOUNDERS);
    ring.close();
  }
});

test("Founder: nodes that see each other at once found a ring within seconds", async () => {
  const ring = open(FOUNDERS);
  await Promise.all(FOUNDERS.map((id) => ring.start(id)));
  await agreed(ring, FOUNDERS, 5_000);
  ring.close();
});

test("Founder: with more candidates than expected the ring has just those many, and the others join it", async () => {
  for (let seed = 0; seed < 6; seed++) {
    const ids = ["a", "b", "c", "d", "e"];
    const ring = open(ids, seed);
    for (const id of [...ids].reverse()) {
      await ring.start(id, { bootstrapExpect: 3 });
      await ring.clock.advance(ring.random.below(500));
    }
    const layout = await agreed(ring, ids);
    assert.equal(layout.nodes.length, 3);
    ring.close();
  }
});

test("Founder: what all had accepted when its proposer died is finished by the others with its help or by itself", async () => {
  const ring = open(FOUNDERS);
  for (const id of FOUNDERS) await ring.start(id);
  let accepts = 0;
  ring.network.rule(({ request, reply }) => {
    if (request.type === "decree-accept" && reply) accepts++;
    return request.type === "decree-accept" && reply ? { lost: true } : undefined;
  });
  await ring.clock.until("both others accepted", () => accepts >= 2);
  const accepted = await acceptedAt(ring, "b");
  assert.ok(accepted);
  ring.crash("a");
  await ring.clock.advance(20_000);
  assert.deepEqual(ringIdsOf(ring, ["b", "c"]), new Set([undefined]), "not without all of them");
  ring.network.rule(({ request }) => request.type === "decree-accept" ? { delayMs: 1 } : undefined);
  await ring.start("a");
  assert.equal((await agreed(ring, FOUNDERS)).ringId, accepted.ringId);
  ring.close();
});

async function acceptedAt(ring: MemoryRing, id: string): Promise<Layout | null> {
  const text = await ring.site(id).disk.catalog.document("decree");
  return text === undefined ? null : (JSON.parse(text) as { layout: Layout | null }).layout;
}

test("Founder: nodes that propose at the same time come to one layout", async () => {
  for (let seed = 0; seed < 12; seed++) {
    const ring = open(FOUNDERS, seed);
    for (const id of FOUNDERS) await ring.start(id);
    // a cannot reach the others for so long that they think it is their turn, and hears them all the same.
    const silence = ring.network.rule(({ request, from, reply }) =>
      from === "a" && !reply && request.type.startsWith("decree-")
        ? { lost: ring.random.chance(0.7) }
        : undefined
    );
    await ring.clock.advance(8_000);
    silence();
    await agreed(ring, FOUNDERS);
    ring.close();
  }
});

test("Founder: founders that crash and come back in between come to one layout", async () => {
  for (let seed = 0; seed < 8; seed++) {
    const ring = open(FOUNDERS, seed);
    for (const id of FOUNDERS) await ring.start(id);
    for (let n = 0; n < 6; n++) {
      await ring.clock.advance(ring.random.below(300));
      const id = ring.random.pick(FOUNDERS);
      ring.crash(id);
      await ring.clock.advance(ring.random.below(1_000));
      await ring.start(id);
    }
    assert.deepEqual(members(await agreed(ring, FOUNDERS)), FOUNDERS);
    ring.close();
  }
});

test("Founder: a node that belongs to a ring takes part in founding no other", async () => {
  const ring = open(["a", "b"]);
  await ring.run(ring.start("a", { seeds: [] }));
  const old = ring.node("a").layout()!.ringId;
  for (const type of ["decree-prepare", "decree-accept"] as const) {
    const ballot = { counter: 9, node: "b" };
    const layout = foundingLayout("other", 3, [{ id: "b", region: "", zone: "", weight: 1 }]);
    const request = type === "decree-prepare" ? { type, number: 1, ballot } : { type, ballot, layout };
    await assert.rejects(ring.node("a").handlePeer({ node: "b" }, request), { code: "peer-refused" });
  }
  assert.equal(ring.node("a").layout()?.ringId, old);
  ring.close();
});

test("Founder: two rings of one set of seeds stay two", async () => {
  const ring = new MemoryRing({ ids: ["a", "b"], founded: false });
  await ring.run(ring.start("a", { seeds: [] }));
  await ring.run(ring.start("b", { seeds: [] }));
  const before = ["a", "b"].map((id) => ring.node(id).layout()?.ringId);
  assert.notEqual(before[0], before[1]);
  for (const id of ["a", "b"]) {
    ring.crash(id);
    await ring.start(id, { bootstrapExpect: 2 });
  }
  await ring.clock.advance(30_000);
  assert.deepEqual(["a", "b"].map((id) => ring.node(id).layout()?.ringId), before);
  assert.deepEqual(ring.node("a").membership.cards(), []);
  ring.close();
});

test("A node without seeds is a ring of one, at once and after a restart", async () => {
  const ring = open(["a"]);
  await ring.run(ring.start("a", { seeds: [] }));
  const layout = ring.node("a").layout()!;
  assert.deepEqual([members(layout), layout.number], [["a"], 1]);
  ring.crash("a");
  await ring.run(ring.start("a", { seeds: [] }));
  assert.deepEqual(ring.node("a").layout(), layout);
  ring.close();
});

test("A node with seeds founds nothing alone, even if it expects but one", async () => {
  for (const bootstrapExpect of [1, 3]) {
    const ring = open(["d"]);
    await ring.start("d", { seeds: FOUNDERS.map(urlOf), bootstrapExpect });
    await ring.clock.advance(60_000);
    assert.equal(ring.node("d").layout(), undefined, `expecting ${bootstrapExpect}`);
    ring.close();
  }
});

test("A joiner fetches the layout of the ring it finds, and keeps it", async () => {
  const ring = await MemoryRing.open({ ids: FOUNDERS });
  ring.site("d").life = 1; // it begins with an empty disk
  await ring.start("d", { seeds: [urlOf("b")], bootstrapExpect: 3 });
  await ring.clock.until("d has the layout", () => ring.node("d").layout() !== undefined, 5_000);
  assert.equal(ring.node("d").layout()?.ringId, RING_ID);
  ring.crash("d");
  await ring.start("d", { seeds: ["http://nowhere.peer"], bootstrapExpect: 3 });
  assert.equal(ring.node("d").layout()?.ringId, RING_ID);
  await ring.clock.advance(2_000);
  assert.equal(ring.node("d").membership.alive().length, 3);
  ring.close();
});

test("DecreeAcceptor promises only upwards, keeps its word over a restart, and answers repeated accepts alike", async () => {
  const catalog = createMemoryCatalog();
  const acceptor = new DecreeAcceptor(catalog, () => 0);
  const layout = foundingLayout("ring", 3, [{ id: "a", region: "", zone: "", weight: 1 }]);
  const ballot = { counter: 5, node: "a" };
  assert.equal((await acceptor.prepare(1, ballot)).kind, "promised");
  assert.deepEqual(await acceptor.prepare(1, { counter: 4, node: "z" }), {
    kind: "refused",
    promised: ballot,
  });
  assert.deepEqual(await acceptor.accept({ counter: 4, node: "z" }, layout), {
    kind: "refused",
    promised: ballot,
  });
  assert.deepEqual(await acceptor.accept(ballot, layout), { kind: "accepted" });
  assert.deepEqual(await acceptor.accept(ballot, layout), { kind: "accepted" });
  const again = new DecreeAcceptor(catalog, () => 0);
  await again.load();
  assert.deepEqual(again.highest, ballot);
  assert.deepEqual(await again.prepare(1, { counter: 6, node: "b" }), {
    kind: "promised",
    accepted: ballot,
    layout,
  });
  assert.equal((await again.prepare(1, ballot)).kind, "refused");
});
