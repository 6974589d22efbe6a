/** Membership: who is there, who has fallen silent, how far everybody is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Membership } from "../../src/node/membership.ts";
import { Metrics } from "../../src/node/metrics.ts";
import type { NodeCard } from "../../src/ports.ts";
import { FakeClock } from "../helpers/fake-clock.ts";
import { createSeededRandom } from "../helpers/fake-random.ts";
import { openParts } from "../helpers/memory-ring-parts.ts";
import { MemoryRing, urlOf } from "../helpers/memory-ring.ts";

const IDS = ["a", "b", "c"];

function ids(cards: readonly NodeCard[]): string[] {
  return cards.map((card) => card.id).sort();
}

function isAlive(ring: MemoryRing, at: string, id: string): boolean {
  return ring.node(at).membership.isAlive(id);
}

test("Membership: nodes that know one seed come to know each other", async () => {
  const ring = new MemoryRing({ ids: ["a", "b", "c", "d"] });
  for (const id of ["a", "b", "c", "d"]) {
    // Only a is told to anybody.
    await ring.site(id).disk.catalog.commit({
      documents: [{ key: "layout", text: JSON.stringify(ring.layout) }],
    });
    ring.site(id).life = 1;
    await ring.start(id, { seeds: [urlOf("a")] });
  }
  await ring.clock.advance(5_000);
  for (const id of ["a", "b", "c", "d"]) {
    assert.equal(ring.node(id).membership.alive().length, 3, id);
  }
  ring.close();
});

test("Membership suspects a peer that refuses connections at once", async () => {
  const ring = await MemoryRing.open({ ids: IDS });
  ring.crash("c");
  await ring.clock.advance(1_100);
  assert.equal(isAlive(ring, "a", "c"), false);
  assert.equal(isAlive(ring, "a", "b"), true);
  ring.close();
});

test("Membership suspects a peer that hangs within 5 s, and not for a moment's silence", async () => {
  const ring = await MemoryRing.open({ ids: IDS });
  await ring.clock.advance(1_000);
  ring.network.hang("c");
  await ring.clock.advance(1_500);
  assert.equal(isAlive(ring, "a", "c"), true);
  await ring.clock.advance(3_500);
  assert.equal(isAlive(ring, "a", "c"), false);
  assert.equal(isAlive(ring, "a", "b"), true);
  ring.close();
});

test("Membership has a peer back as soon as it answers", async () => {
  const ring = await MemoryRing.open({ ids: IDS });
  const heal = ring.network.hang("c");
  await ring.clock.advance(6_000);
  assert.equal(isAlive(ring, "a", "c"), false);
  heal();
  await ring.clock.advance(2_500);
  assert.equal(isAlive(ring, "a", "c"), true);
  assert.equal(isAlive(ring, "c", "a"), true);
  ring.close();
});

test("Membership sees a restart as one: the card is a new one", async () => {
  const ring = await MemoryRing.open({ ids: IDS });
  const before = ring.node("a").membership.card("c")!.incarnation;
  ring.crash("c");
  await ring.start("c");
  await ring.clock.advance(1_500);
  assert.notEqual(ring.node("a").membership.card("c")!.incarnation, before);
  ring.close();
});

test("Membership measures how far peers are", async () => {
  const ring = await MemoryRing.open({
    ids: IDS,
    delayMs: ({ from, to }) => (from === "c" || to === "c" ? 40 : 5),
  });
  await ring.clock.advance(10_000);
  const { membership } = ring.node("a");
  assert.equal(membership.rttMs("b"), 10);
  assert.equal(membership.rttMs("c"), 80);
  assert.ok(membership.rttMs("nobody") > 500, "who was never measured is far away");
  ring.close();
});

test("Membership remembers addresses over a restart, and believes nobody alive before it hears from them", async () => {
  const ring = await MemoryRing.open({ ids: IDS });
  ring.crash("a");
  ring.network.hang("b");
  await ring.start("a", { seeds: ["http://nowhere.peer"] });
  assert.deepEqual(ids(ring.node("a").membership.cards()), ["b", "c"]);
  assert.deepEqual(ids(ring.node("a").membership.alive()), []);
  await ring.clock.advance(100);
  assert.deepEqual(ids(ring.node("a").membership.alive()), ["c"]);
  ring.close();
});

test("Membership: one bad link condemns nobody, and only those at its ends go by it", async () => {
  const ring = await MemoryRing.open({ ids: ["a", "b", "c", "d"] });
  ring.network.rule(({ from, to }) => [from, to].sort().join("") === "ab" ? { lost: true } : undefined);
  for (let second = 0; second < 60; second++) {
    await ring.clock.advance(1_000);
    for (const [at, id] of [["c", "a"], ["c", "b"], ["d", "a"], ["a", "c"], ["b", "c"]] as const) {
      assert.equal(ring.node(at).membership.state(id), "alive", `${id} at ${at} after ${second} s`);
    }
  }
  const { membership } = ring.node("a");
  assert.equal(membership.isAlive("b"), false);
  assert.equal(membership.state("b"), "suspect");
  assert.equal(membership.members().find(({ card }) => card.id === "b")?.doubt, "silent");
  ring.close();
});

test("Membership: the silent are suspect, then dead, and alive again once they answer, at everybody", async () => {
  const ring = await MemoryRing.open({ ids: ["a", "b", "c", "d"] });
  const heal = ring.network.hang("d");
  const states = (id: string) => ["a", "b", "c"].map((at) => ring.node(at).membership.state(id)).join(" ");
  await ring.clock.advance(5_000);
  assert.equal(states("d"), "suspect suspect suspect");
  await ring.clock.advance(10_000);
  assert.equal(states("d"), "dead dead dead");
  assert.deepEqual(["a", "b", "c"].map((id) => ring.node("d").membership.state(id)), [
    "dead",
    "dead",
    "dead",
  ]);
  heal();
  await ring.clock.advance(3_000);
  assert.equal(states("d"), "alive alive alive");
  assert.equal(ring.node("d").membership.alive().length, 3);
  ring.close();
});

test("Membership: a node that answers pings but not calls is asked last, until it works again", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  const { membership, gate } = parts["a"]!;
  membership.start();
  await ring.clock.advance(2_000);
  const heal = ring.network.rule(({ from, to, request, reply }) => {
    const isTo = reply ? from === "c" : to === "c";
    return isTo && !["ping", "probe", "members"].includes(request.type) ? { lost: true } : undefined;
  });
  for (let call = 0; call < 3; call++) {
    assert.equal(membership.isAlive("c"), true);
    await assert.rejects(ring.run(gate.call("c", { type: "digests", partitions: [1] }, { timeoutMs: 700 })));
  }
  assert.equal(membership.state("c"), "suspect");
  await ring.clock.advance(20_000);
  assert.equal(membership.isAlive("c"), false, "pings alone do not help");
  assert.equal(membership.members().find(({ card }) => card.id === "c")?.doubt, "hanging");
  heal();
  await ring.clock.advance(4_000);
  assert.equal(membership.isAlive("c"), true);
  membership.stop();
  ring.close();
});

test("Membership: who says goodbye is asked last at once, dead when it is gone, and back when it is back", async () => {
  const ring = await MemoryRing.open({ ids: IDS });
  await ring.run(ring.node("c").leave());
  assert.equal(ring.node("a").membership.state("c"), "leaving");
  assert.equal(isAlive(ring, "a", "c"), false);
  await ring.clock.advance(5_000);
  assert.equal(ring.node("b").membership.state("c"), "leaving", "it still answers");
  ring.crash("c");
  await ring.clock.advance(1_100);
  assert.equal(ring.node("a").membership.state("c"), "dead");
  await ring.start("c");
  await ring.clock.advance(1_500);
  assert.equal(ring.node("a").membership.state("c"), "alive");
  assert.equal(isAlive(ring, "c", "a"), true);
  ring.close();
});

test("Membership: a node whose clock went back by hours is believed all the same", async () => {
  let skewMs = 0;
  const ring = await MemoryRing.open({ ids: IDS, skewMs: (id) => (id === "c" ? skewMs : 0) });
  await ring.clock.advance(5_000);
  await ring.run(ring.node("c").leave());
  ring.crash("c");
  await ring.clock.advance(20_000);
  skewMs = -8 * 3_600_000;
  await ring.start("c");
  await ring.clock.advance(2_500);
  for (const at of ["a", "b"]) assert.equal(ring.node(at).membership.state("c"), "alive", at);
  await ring.clock.advance(20_000);
  for (const at of ["a", "b"]) assert.equal(ring.node(at).membership.state("c"), "alive", at);
  ring.close();
});

test("Membership: a process that slept blames nobody for it", async () => {
  const ring = await MemoryRing.open({ ids: IDS });
  await ring.clock.advance(3_000);
  ring.site("a").heldUntilMs = ring.clock.monotonicMs() + 30_000;
  await ring.clock.advance(30_100);
  assert.deepEqual(ids(ring.node("a").membership.alive()), ["b", "c"]);
  ring.close();
});

/** One membership with nobody to talk to: what it makes of what it is told. */
function alone(
  self: Partial<NodeCard> = {},
): { membership: Membership; kept: NodeCard[][]; card: (id: string) => NodeCard } {
  const card = (id: string): NodeCard => ({
    id,
    region: "here",
    zone: "here",
    peerUrl: urlOf(id),
    publicUrl: "",
    incarnation: "0",
    ringId: "ours",
    layoutNumber: 1,
    bootstrapExpect: 0,
  });
  const kept: NodeCard[][] = [];
  const membership = new Membership({
    self: () => ({ ...card("self"), ...self }),
    seeds: () => [],
    hasPlace: () => true,
    random: createSeededRandom(1),
    peers: { call: () => new Promise(() => {}) },
    clock: new FakeClock(),
    log: { info() {}, warn() {}, error() {} },
    metrics: new Metrics(),
    onHeard: () => {},
    onReturned: () => {},
    onCards: (cards) => kept.push([...cards]),
  });
  return { membership, kept, card };
}

test("Membership takes no card of another ring, from its bearer or from others", () => {
  const { membership, kept, card } = alone();
  const stranger = { ...card("x"), ringId: "theirs" };
  membership.heard(stranger, []);
  membership.heard(card("b"), [stranger, card("c")]);
  assert.deepEqual(ids(membership.cards()), ["b", "c"]);
  assert.deepEqual(ids(kept.at(-1)!), ["b", "c"]);
});

test("Membership takes cards of nodes that belong to no ring yet, and of any ring while it has none itself", () => {
  const member = alone();
  member.membership.heard({ ...member.card("b"), ringId: undefined }, []);
  assert.deepEqual(ids(member.membership.alive()), ["b"]);
  const newcomer = alone({ ringId: undefined });
  newcomer.membership.heard(newcomer.card("b"), []);
  assert.deepEqual(ids(newcomer.membership.alive()), ["b"]);
});

test("Membership believes a third party's word that a node exists, not that it lives", () => {
  const { membership, card } = alone();
  membership.heard(card("b"), [card("c")]);
  assert.deepEqual(ids(membership.cards()), ["b", "c"]);
  assert.deepEqual(ids(membership.alive()), ["b"]);
});

test("Membership goes by the newest address a peer itself gives, and keeps it", () => {
  const { membership, kept, card } = alone();
  membership.heard(card("b"), []);
  membership.heard(card("c"), [{ ...card("b"), peerUrl: "http://rumour.peer" }]);
  assert.equal(membership.card("b")?.peerUrl, urlOf("b"));
  membership.heard({ ...card("b"), peerUrl: "http://moved.peer" }, []);
  assert.equal(membership.card("b")?.peerUrl, "http://moved.peer");
  assert.equal(kept.at(-1)?.find(({ id }) => id === "b")?.peerUrl, "http://moved.peer");
});

test("Membership does not list the node itself, and is bounded", () => {
  const { membership, card } = alone();
  membership.heard(card("b"), [card("self"), ...Array.from({ length: 5_000 }, (_, n) => card(`node ${n}`))]);
  assert.equal(membership.card("self"), undefined);
  assert.ok(membership.cards().length <= 2_048);
});

test("Membership: states are those of a node that joins, is there, and of what others say", () => {
  const { membership, card } = alone();
  assert.equal(membership.state("b"), undefined);
  const joining = { ...card("b"), ringId: undefined };
  membership.heard(joining, [], [{ id: "b", number: 7, state: "joining" }]);
  assert.equal(membership.state("b"), "joining");
  assert.equal(membership.isAlive("b"), true);
  membership.heard(card("b"), [], [{ id: "b", number: 8, state: "alive" }]);
  assert.equal(membership.state("b"), "alive");
  const rumour = { id: "c", number: 1, state: "suspect", card: card("c") } as const;
  membership.heard(card("b"), [], [{ id: "b", number: 8, state: "alive" }, rumour]);
  assert.equal(membership.state("c"), "suspect");
  const stranger = { id: "x", number: 1, state: "alive", card: { ...card("x"), ringId: "theirs" } } as const;
  const liar = { id: "y", number: 1, state: "alive", card: card("z") } as const;
  membership.heard(card("b"), [], [stranger, liar]);
  assert.deepEqual(ids(membership.cards()), ["b", "c"]);
});

test("Membership denies that it is dead to whoever says so, in the same answer", () => {
  const { membership, card } = alone();
  const before = membership.newsFor("b")[0]!;
  membership.heard(card("b"), [], [{ id: "self", number: before.number + 3_600, state: "dead" }]);
  const after = membership.newsFor("b")[0]!;
  assert.deepEqual([after.id, after.state, after.number], ["self", "alive", before.number + 3_601]);
});
