/** Discovery by a real etcd. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createClock } from "../../src/adapters/clock.ts";
import { createEtcdDiscovery, type EtcdDiscoveryOptions } from "../../src/adapters/discovery-etcd.ts";
import { anyAnswer, encoded, keysBelow, rangeAnswer } from "../../src/adapters/etcd-messages.ts";
import type { Discovered, Discovery } from "../../src/ports.ts";
import { discoveryConformance, type DiscoveryWorld } from "../conformance/discovery.ts";
import { until } from "../helpers/deadline.ts";
import { upTo } from "../helpers/dns-world.ts";
import { type EtcdProcess, NO_ETCD, startEtcd } from "../helpers/etcd-process.ts";
import { freePorts } from "../helpers/ports.ts";
import { QUIET } from "../helpers/memory-node.ts";

const DEADLINE_MS = 15_000;
/** Ms of one watch; nothing else here takes so long. */
const WATCH_MS = 211;
const skip = NO_ETCD === undefined ? {} : { skip: NO_ETCD };

let etcd: EtcdProcess;
let worlds = 0;

before(async () => {
  if (NO_ETCD === undefined) etcd = await startEtcd();
});
after(async () => {
  await etcd?.[Symbol.asyncDispose]();
});

function open(prefix: string, id: string, more: Partial<EtcdDiscoveryOptions> = {}): Discovery {
  return createEtcdDiscovery({
    endpoints: [etcd.url],
    prefix,
    self: { id, url: `http://${id}.peer:1`, region: "here" },
    clock: createClock(),
    log: QUIET,
    ...more,
  });
}

async function put(key: string, value: string): Promise<void> {
  await etcd.gateway.call("/v3/kv/put", { key: encoded(key), value: encoded(value) }, anyAnswer);
}

async function remove(prefix: string): Promise<void> {
  await etcd.gateway.call("/v3/kv/deleterange", keysBelow(prefix), anyAnswer);
}

async function keysOf(prefix: string): Promise<string[]> {
  return (await etcd.gateway.call("/v3/kv/range", keysBelow(prefix), rangeAnswer)).kvs.map(({ key }) => key);
}

async function revision(): Promise<number> {
  return (await etcd.gateway.call("/v3/kv/range", { key: encoded("x") }, rangeAnswer)).header.revision;
}

async function compact(): Promise<void> {
  const at = { revision: String(await revision()), physical: true };
  await etcd.gateway.call("/v3/kv/compaction", at, anyAnswer);
}

/** What was told last. */
function watch(discovery: Discovery): { readonly ids: () => string } {
  let told: readonly Discovered[] = [];
  discovery.start((found) => (told = found));
  return { ids: () => told.map(({ id }) => String(id)).sort().join() };
}

/** Settings under which a watch is short, and how many were begun. */
function countedWatches() {
  const real = createClock();
  let begun = 0;
  const after = (delayMs: number, run: () => void): () => void => {
    if (delayMs === WATCH_MS) begun++;
    return real.after(delayMs, run);
  };
  return { watchMs: WATCH_MS, clock: { ...real, after }, watches: () => begun };
}

async function world(count: number): Promise<DiscoveryWorld> {
  const prefix = `/world-${++worlds}/`;
  const nodes = `${prefix}nodes/`;
  const expected = (number: number): Discovered => ({
    url: `http://10.0.0.1:${number}`,
    id: `n${number}`,
    region: "far",
  });
  const setPeers = async (numbers: readonly number[]): Promise<void> => {
    const wanted = new Set(numbers.map((number) => `${nodes}n${number}`));
    for (const key of await keysOf(nodes)) {
      if (!wanted.has(key) && key !== `${nodes}self`) {
        await etcd.gateway.call("/v3/kv/deleterange", { key: encoded(key) }, anyAnswer);
      }
    }
    await Promise.all(numbers.map(async (number) => {
      const { url, id, region } = expected(number);
      await put(`${nodes}${id}`, JSON.stringify({ url, region }));
    }));
  };
  await setPeers(upTo(count));
  // What it does shows in the watches it begins and in what it complains of.
  const { watches, ...counted } = countedWatches();
  let complaints = 0;
  const discovery = open(prefix, "self", {
    ...counted,
    log: { ...QUIET, warn: (_message, fields) => void (fields?.["what"] === "watch" && complaints++) },
  });
  /** What had been complained of when etcd began to fail. */
  let failingSince: number | undefined;
  const mend = async (): Promise<void> => {
    failingSince = undefined;
    // Whichever of the two it was.
    await etcd.kill();
    await etcd.restart();
  };
  return {
    discovery,
    expected,
    setPeers,
    failures: [
      async () => {
        failingSince = complaints;
        await etcd.kill();
      },
      async () => {
        failingSince = complaints;
        await Promise.resolve(etcd.pause());
      },
    ],
    mend,
    async asked() {
      const before = watches();
      await until(
        "etcd was asked again",
        DEADLINE_MS,
        () => failingSince === undefined ? watches() > before + 1 : complaints > failingSince,
      );
    },
    async [Symbol.asyncDispose]() {
      if (failingSince !== undefined) await mend();
      await remove(prefix);
    },
  };
}

// First: after a restart etcd takes its time to let a lease end.
test("an entry outlives its node by the lease and no longer", skip, async () => {
  const prefix = "/leased/";
  // Once it is dead none of its timers comes due.
  let isDead = false;
  const real = createClock();
  const dead = open(prefix, "dead", {
    leaseSeconds: 2,
    clock: { ...real, after: (delayMs, run) => real.after(delayMs, () => isDead || run()) },
  });
  dead.start(() => {});
  const other = open(prefix, "other");
  const seen = watch(other);
  await until("it is found", DEADLINE_MS, () => seen.ids() === "dead");
  isDead = true;
  // etcd looks for such leases when it has time to.
  await until("it is found no longer", 60_000, () => seen.ids() === "");
  await other.stop();
  await dead.stop();
});

discoveryConformance("a registry in etcd", world, { skip: NO_ETCD });

test("nodes find each other by etcd, and one that stops is no longer found", skip, async () => {
  const [a, b, c] = ["a", "b", "c"].map((id) => open("/each/", id));
  const seen = [a, b, c].map((discovery) => watch(discovery!));
  await until(
    "all see the others",
    DEADLINE_MS,
    () => seen.map(({ ids }) => ids()).join(" ") === "b,c a,c a,b",
  );
  await c!.stop();
  await until("the others see it go", DEADLINE_MS, () => seen[0]!.ids() === "b" && seen[1]!.ids() === "a");
  await Promise.all([a!.stop(), b!.stop()]);
  assert.deepEqual(await keysOf("/each/"), []);
});

test("a node whose lease is lost, or whose entry was taken away, registers again", skip, async () => {
  const prefix = "/lost/";
  const node = open(prefix, "node", { leaseSeconds: 2 });
  node.start(() => {});
  const isThere = async () => (await keysOf(prefix)).length === 1;
  await until("it is registered", DEADLINE_MS, isThere);
  const leases = await etcd.gateway.call("/v3/lease/leases", {}, anyAnswer.loose());
  for (const { ID } of leases["leases"] as { ID: string }[]) {
    await etcd.gateway.call("/v3/lease/revoke", { ID }, anyAnswer);
  }
  await until("it is registered after its lease was revoked", DEADLINE_MS, isThere);
  await remove(prefix);
  await until("it is registered after its entry was removed", DEADLINE_MS, isThere);
  await node.stop();
  assert.ok(!await isThere());
});

test(
  "a node beyond those that are listed registers once, and again when it is seen to be missing",
  skip,
  async () => {
    const prefix = "/crowd/";
    const nodes = `${prefix}nodes/`;
    await Promise.all(upTo(300).map((number) => put(`${nodes}a${number}`, "{}")));
    const isThere = async () => (await keysOf(nodes)).includes(`${nodes}z`);
    const { watches, ...counted } = countedWatches();
    const node = open(prefix, "z", { ...counted, leaseSeconds: 60 });
    node.start(() => {});
    await until("it is registered", DEADLINE_MS, isThere);
    const before = await revision();
    // Each of these is news, on which it looks for itself.
    for (let i = 0; i < 3; i++) await put(`${nodes}a1`, String(i));
    const begun = watches();
    await until("it has heard of them", DEADLINE_MS, () => watches() > begun + 1);
    assert.equal(await revision(), before + 3, "it registers again and again");
    await remove(nodes);
    await until("it is registered again", DEADLINE_MS, isThere);
    await node.stop();
  },
);

test("an etcd that came back empty is filled again by the nodes", skip, async () => {
  const prefix = "/emptied/";
  for (let i = 0; i < 20; i++) await put("/other", String(i)); // the old store has come further than the new one will
  const nodes = ["a", "b"].map((id) => open(prefix, id, { leaseSeconds: 2, watchMs: 500 }));
  const seen = nodes.map(watch);
  await until("they find each other", DEADLINE_MS, () => seen[0]!.ids() === "b" && seen[1]!.ids() === "a");
  await etcd.kill();
  await etcd.restart({ empty: true });
  await until("both are there again", DEADLINE_MS, async () => (await keysOf(prefix)).length === 2);
  const late = open(prefix, "c");
  const seenByLate = watch(late);
  await until("all are found", DEADLINE_MS, () => seenByLate.ids() === "a,b" && seen[0]!.ids() === "b,c");
  await Promise.all([...nodes, late].map((node) => node.stop()));
});

test("a watch that was away while etcd compacted lists anew", skip, async () => {
  const prefix = "/compacted/";
  const url = (id: string) => JSON.stringify({ url: `http://${id}.peer:1`, region: "far" });
  await put(`${prefix}nodes/a`, url("a"));
  // A second endpoint that is not there: it is tried in turn and does no harm.
  const [nowhere] = await freePorts(1);
  const { watches, ...counted } = countedWatches();
  const node = open(prefix, "self", { ...counted, endpoints: [`http://127.0.0.1:${nowhere}`, etcd.url] });
  const seen = watch(node);
  await until("a is found", DEADLINE_MS, () => seen.ids() === "a");
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 10; i++) await put("/elsewhere", String(i));
    await compact();
    // The next watch would begin before what is left.
    const before = watches();
    await until("it has begun anew", DEADLINE_MS, () => watches() > before + 2);
    const next = `b${round}`;
    await put(`${prefix}nodes/${next}`, url(next));
    await until(`${next} is found`, DEADLINE_MS, () => seen.ids().includes(next));
  }
  await node.stop();
  await remove(prefix);
});

test("entries that cannot be read are passed over", skip, async () => {
  const prefix = "/garbage/";
  for (
    const [i, text] of ["", "{", "[]", '{"url":"ftp://x","region":"y"}', '{"url":"http://x/y","region":"z"}']
      .entries()
  ) {
    await put(`${prefix}nodes/bad${i}`, text);
  }
  await put(`${prefix}nodes/good`, '{"url":"http://10.0.0.1:1","region":"far"}');
  const node = open(prefix, "self");
  const seen = watch(node);
  await until("the good one is found", DEADLINE_MS, () => seen.ids() === "good");
  await node.stop();
  await remove(prefix);
});
