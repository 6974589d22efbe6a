/** A hundred memberships on simulated time: how soon all know, what it costs, and that loss kills nobody. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GossipFleet } from "../helpers/gossip-fleet.ts";

const MEMBERS = 100;

test("100 members: a death is suspected within 5 s and known to all within 15 s, at a bounded cost", async () => {
  const fleet = new GossipFleet({ members: MEMBERS });
  fleet.isDecoded = true;
  await fleet.start();
  fleet.isDecoded = false;
  // Cards are news for the first half minute.
  await fleet.clock.advance(35_000);
  fleet.isDecoded = true;
  fleet.bytes = 0;
  await fleet.clock.advance(10_000);
  const bytesPerNodeSecond = fleet.bytes / MEMBERS / 10;
  assert.ok(bytesPerNodeSecond < 8_000, `${bytesPerNodeSecond} bytes a second`);
  assert.equal(fleet.falseSuspicions, 0);
  const victim = fleet.ids[50]!;
  fleet.crash(victim);
  const isSuspected = () => fleet.count(victim, (membership) => !membership.isAlive(victim)) > 0;
  const suspectedMs = await fleet.clock.until(isSuspected, 15_000);
  const knownMs = await fleet.clock.until(
    () => fleet.count(victim, (membership) => membership.state(victim) === "dead") === MEMBERS - 1,
    15_000,
  );
  assert.ok(suspectedMs !== undefined && suspectedMs <= 5_000, `suspected after ${suspectedMs} ms`);
  assert.ok(knownMs !== undefined && suspectedMs + knownMs <= 15_000, `known ${knownMs} ms later`);
  assert.equal(fleet.falseDeaths, 0);
});

test("30 % loss on all links kills nobody, in a ring of ten or of three", async () => {
  for (const members of [3, 10]) {
    const fleet = new GossipFleet({ members, seed: members });
    await fleet.start();
    fleet.isLost = () => fleet.random.chance(0.3);
    await fleet.clock.advance(120_000);
    assert.equal(fleet.falseDeaths, 0, `${members} members`);
  }
});

test("a link that loses 30 %, or works every other five seconds, kills nobody and hardly worries anybody else", async () => {
  const fleet = new GossipFleet({ members: 5 });
  await fleet.start();
  const [a, b] = fleet.ids as [string, string];
  const isTheirs = (from: string, to: string) => (from === a && to === b) || (from === b && to === a);
  fleet.isLost = (from, to) => isTheirs(from, to) && fleet.random.chance(0.3);
  await fleet.clock.advance(600_000);
  fleet.isLost = (from, to) => isTheirs(from, to) && fleet.clock.monotonicMs() % 10_000 < 5_000;
  for (let second = 0; second < 300; second++) {
    await fleet.clock.advance(1_000);
    assert.equal(
      fleet.count(a, (membership) => membership.isAlive(a)) >= 3,
      true,
      "others go by what they see",
    );
  }
  assert.equal(fleet.falseDeaths, 0);
});

test("two halves that lost each other find each other again by themselves", async () => {
  const fleet = new GossipFleet({ members: 20 });
  await fleet.start();
  const isLeft = (id: string) => fleet.ids.indexOf(id) < 10;
  fleet.isLost = (from, to) => isLeft(from) !== isLeft(to);
  const others = () => fleet.ids.map((id) => fleet.at(id).alive().length);
  assert.notEqual(await fleet.clock.until(() => others().every((count) => count === 9), 60_000), undefined);
  await fleet.clock.advance(60_000);
  fleet.isLost = undefined;
  assert.notEqual(await fleet.clock.until(() => others().every((count) => count === 19), 30_000), undefined);
});
