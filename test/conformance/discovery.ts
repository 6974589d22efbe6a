/** What every Discovery must do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Discovered, Discovery } from "../../src/ports.ts";
import { until } from "../helpers/deadline.ts";

const DEADLINE_MS = 10_000;

/** A discovery and the source it asks, of which the test is the master. */
export interface DiscoveryWorld extends AsyncDisposable {
  readonly discovery: Discovery;
  /** These are there now, and no others, by numbers from 1 on. */
  readonly setPeers: (numbers: readonly number[]) => Promise<void>;
  /** What the discovery should say of one. */
  readonly expected: (number: number) => Discovered;
  /** The source is not there, or says nothing, or nonsense: one way of failing after the other. */
  readonly failures: readonly (() => Promise<void>)[];
  readonly mend: () => Promise<void>;
  /** Resolves once the discovery has asked again, or been told, of whatever was set before. */
  readonly asked: () => Promise<void>;
}

export interface DiscoveryTraits {
  /** A list that is given once cannot change or fail. */
  readonly isFixed?: boolean;
  /** Why it is not tested, where something is missing. */
  readonly skip?: string | undefined;
}

/** `open` makes a world in which peers 1 to `count` are to be found. */
export function discoveryConformance(
  name: string,
  open: (count: number) => Promise<DiscoveryWorld>,
  traits: DiscoveryTraits = {},
): void {
  const options = traits.skip === undefined ? {} : { skip: traits.skip };

  test(`${name} tells of all that is there, each URL once`, options, async () => {
    await using world = await open(3);
    const seen = watch(world);
    await seen.are(1, 2, 3);
    await world.discovery.stop();
  });

  test(`${name} tells of 256 at most, of however many there are`, options, async () => {
    await using world = await open(500);
    const seen = watch(world);
    await until("some are found", DEADLINE_MS, () => seen.last().length > 0);
    assert.equal(seen.last().length, 256);
    assert.equal(new Set(seen.last().map(({ url }) => url)).size, 256);
    await world.discovery.stop();
  });

  test(
    `${name} tells nothing once it was stopped, and may be stopped twice, or unstarted`,
    options,
    async () => {
      await using world = await open(2);
      await world.discovery.stop();
      await using other = await open(2);
      const seen = watch(other);
      await seen.are(1, 2);
      await other.discovery.stop();
      await other.discovery.stop();
      const toldBefore = seen.times();
      if (!traits.isFixed) await other.setPeers([1, 2, 3]);
      assert.equal(seen.times(), toldBefore);
    },
  );

  if (traits.isFixed) return;

  test(`${name} tells of those that come and no longer of those that went`, options, async () => {
    await using world = await open(2);
    const seen = watch(world);
    await seen.are(1, 2);
    await world.setPeers([1, 2, 3]);
    await seen.are(1, 2, 3);
    await world.setPeers([1, 3]);
    await seen.are(1, 3);
    await world.discovery.stop();
  });

  test(`${name} is told only what changed`, options, async () => {
    await using world = await open(2);
    const seen = watch(world);
    await seen.are(1, 2);
    const times = seen.times();
    await world.asked();
    await world.asked();
    assert.equal(seen.times(), times);
    await world.discovery.stop();
  });

  test(
    `${name} keeps what it told while its source fails, and goes on when it is back`,
    options,
    async () => {
      await using world = await open(2);
      const seen = watch(world);
      await seen.are(1, 2);
      for (const [round, fail] of world.failures.entries()) {
        const times = seen.times();
        await fail();
        await world.asked();
        assert.equal(seen.times(), times, `failure ${round} was told as news`);
        await world.mend();
        // Another set each time, so that being told of it is proof.
        await world.setPeers([1, 2, 10 + round]);
        await seen.are(1, 2, 10 + round);
        await world.setPeers([1, 2]);
        await seen.are(1, 2);
      }
      await world.discovery.stop();
    },
  );

  test(`${name} waits for a source that is not there at the start`, options, async () => {
    await using world = await open(2);
    await world.failures[0]!();
    const seen = watch(world);
    await world.asked();
    assert.deepEqual(seen.last(), []);
    await world.mend();
    await world.setPeers([1, 2]);
    await seen.are(1, 2);
    await world.discovery.stop();
  });
}

function watch(world: DiscoveryWorld) {
  let told: readonly Discovered[] = [];
  let times = 0;
  world.discovery.start((found) => {
    told = found;
    times++;
  });
  const text = (found: readonly Discovered[]) =>
    found.map(({ url, id, region }) => `${url} ${id} ${region}`).sort().join("\n");
  return {
    last: () => told,
    times: () => times,
    async are(...numbers: number[]): Promise<void> {
      const wanted = text(numbers.map(world.expected));
      await until(`peers ${numbers.join()} are found`, DEADLINE_MS, () => text(told) === wanted).catch(
        (error: Error) => {
          throw new Error(`${error.message}\nfound were:\n${text(told)}`);
        },
      );
    },
  };
}
