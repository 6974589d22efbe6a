/** The regional tier: what a region lacks crosses to it once, and whoever fetches it for the others is needed by nobody. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { rendezvous } from "../../src/core/rendezvous.ts";
import type { ChunkWanted } from "../../src/node/chunk-reader.ts";
import type { Message, Rule } from "../helpers/fake-network.ts";
import { HASHING, type MemoryRing } from "../helpers/memory-ring.ts";
import { openParts, type Parts, type PartsRing } from "../helpers/memory-ring-parts.ts";

const HOME = ["a", "b", "c"];
const EDGE = ["d", "e", "f"];
/** One way between the regions, and within one. */
const FAR_MS = 50;
const NEAR_MS = 1;

interface Opened extends PartsRing {
  /** Questions for chunks, on their way there. */
  readonly sent: readonly Message[];
  /** What becomes of them. */
  fate: Rule;
  /** A chunk that lies at home, and whose keeper at the edge that node is. */
  chunkKeptBy(keeper: string, sizeBytes?: number): Promise<ChunkWanted>;
  /** From one region to another. */
  crossings(): number;
}

async function open({ diskCacheBytes = 8 << 20 } = {}): Promise<Opened> {
  const { ring, parts } = await openParts({
    ids: [...HOME, ...EDGE],
    regionOf: (id) => (HOME.includes(id) ? "home" : "edge"),
    delayMs: ({ from, to }) => (HOME.includes(from) === HOME.includes(to) ? NEAR_MS : FAR_MS),
    diskCacheBytes,
  });
  const sent: Message[] = [];
  const name = ring.nameOn(HOME);
  let seed = 0;
  const opened: Opened = {
    ring,
    parts,
    sent,
    fate: () => undefined,
    crossings: () => sent.filter(({ from, to }) => EDGE.includes(from) && HOME.includes(to)).length,
    async chunkKeptBy(keeper, sizeBytes = 200_000) {
      for (;;) {
        const bytes = new Uint8Array(sizeBytes).fill(++seed);
        const id = HASHING.sha256(bytes);
        if (rendezvous(EDGE, id) !== keeper) continue;
        for (const node of HOME) await ring.run(parts[node]!.chunks.put(id, bytes));
        return { name, id, sizeBytes, keep: false };
      }
    },
  };
  ring.network.rule((message) => {
    if (message.request.type !== "chunk-get" || message.reply) return undefined;
    sent.push(message);
    return opened.fate(message);
  });
  return opened;
}

function forRegion(sent: readonly Message[]): string[] {
  return sent.flatMap(({ from, to, request }) =>
    request.type === "chunk-get" && request.forRegion ? [`${from}>${to}`] : []
  );
}

async function timed(ring: MemoryRing, reader: Parts, wanted: ChunkWanted): Promise<[number, string]> {
  const begunMs = ring.clock.monotonicMs();
  const { tier, bytes } = await ring.run(reader.reader.fetch(wanted));
  assert.equal(bytes.length, wanted.sizeBytes);
  return [ring.clock.monotonicMs() - begunMs, tier];
}

test("a chunk crosses to the region once, whoever of its nodes asks, at once or later", async () => {
  const { ring, parts, sent, crossings, chunkKeptBy } = await open();
  const wanted = await chunkKeptBy("f");
  const first = await ring.run(Promise.all(EDGE.map((id) => parts[id]!.reader.fetch(wanted))));
  assert.deepEqual(first.map(({ tier, from }) => `${tier} ${HOME.includes(from!) ? "home" : from}`), [
    "region f",
    "region f",
    "peer home",
  ]);
  await ring.clock.settle();
  for (const id of EDGE) {
    const again = await ring.run(parts[id]!.reader.fetch(wanted));
    assert.equal(again.tier, id === "f" ? "disk-cache" : "region");
  }
  assert.equal(crossings(), 1);
  assert.deepEqual(forRegion(sent), ["d>f", "e>f", "d>f", "e>f"]);
  assert.equal(await ring.site("d").disk.chunkCache.get(wanted.id), undefined, "one copy is enough");
  assert.equal(ring.count("f", 'atoll_chunk_region_reads_total{tier="disk-cache"}'), 2);
  assert.equal(ring.count("f", 'atoll_chunks_received_total{region="other"}'), 1);
  assert.equal(ring.count("d", 'atoll_chunks_received_total{region="same"}'), 2);
});

test("a replica in the region is asked before anybody else, and a region's only node asks the replicas", async () => {
  const { ring, parts, sent, chunkKeptBy } = await open();
  const bytes = new Uint8Array(1_000).fill(3);
  const id = HASHING.sha256(bytes);
  for (const node of ["a", "b", "d"]) await ring.run(parts[node]!.chunks.put(id, bytes));
  const wanted = { name: ring.nameOn(["a", "b", "d"]), id, sizeBytes: 1_000, keep: false };
  assert.equal((await ring.run(parts["e"]!.reader.fetch(wanted))).from, "d");
  assert.deepEqual(forRegion(sent), []);
  for (const other of ["e", "f"]) await parted(ring, parts["d"]!, other);
  assert.equal((await ring.run(parts["d"]!.reader.fetch(await chunkKeptBy("f")))).tier, "peer");
  assert.deepEqual(forRegion(sent), []);
});

/** That node hears that the other takes no connections. */
async function parted(ring: MemoryRing, node: Parts, other: string): Promise<void> {
  const take = ring.network.rule(({ from, to }) =>
    from === node.id && to === other ? { refused: true } : undefined
  );
  const asked = node.gate.call(other, { type: "layout" }, { timeoutMs: 1_000 });
  await assert.rejects(ring.run(asked), { code: "peer-unreachable" });
  take();
  assert.equal(node.membership.isAlive(other), false);
}

test("a keeper that is gone costs nothing but the question, and then not even that", async () => {
  const { ring, parts, sent, chunkKeptBy } = await open();
  const wanted = await chunkKeptBy("f");
  ring.network.refuse("f");
  const [tookMs, tier] = await timed(ring, parts["d"]!, wanted);
  assert.equal(tier, "peer");
  assert.ok(tookMs <= 2 * FAR_MS + 3 * NEAR_MS, `${tookMs} ms`);
  await parted(ring, parts["e"]!, "f");
  // Both know of it now: one of them has its duties.
  const other = await chunkKeptBy("f");
  const [keeper, asker] = rendezvous(["d", "e"], other.id) === "d" ? ["d", "e"] : ["e", "d"];
  const before = sent.length;
  assert.equal((await timed(ring, parts[asker]!, other))[1], "region");
  assert.deepEqual(forRegion(sent.slice(before)), [`${asker}>${keeper}`]);
});

test("a keeper that is silent is helped out in time, and left alone after some such chunks", async () => {
  const opened = await open();
  const { ring, parts, sent, chunkKeptBy } = opened;
  opened.fate = ({ to }) => to === "f" ? { lost: true } : undefined;
  const took: number[] = [];
  for (let n = 0; n < 5; n++) took.push((await timed(ring, parts["d"]!, await chunkKeptBy("f")))[0]);
  const alone = 2 * FAR_MS;
  // Late when a replica would be: three round trips, and then the way there.
  assert.ok(took.slice(0, 3).every((ms) => ms <= 5 * alone), took.join());
  assert.ok(took.slice(3).every((ms) => ms <= 2 * alone), took.join());
  assert.equal(sent.filter(({ from, to }) => from === "d" && to === "f").length, 3);
});

test("a keeper that does not have it, fails or sends something else costs its round trip", async () => {
  const opened = await open();
  const { ring, parts, chunkKeptBy } = opened;
  const answers = [
    { type: "chunk-get" },
    { type: "error", code: "overloaded", message: "no" },
    { type: "chunk-get", bytes: new Uint8Array(200_000).fill(255) },
  ] as const;
  for (const reply of answers) {
    const wanted = await chunkKeptBy("f");
    opened.fate = ({ to }) => to === "f" ? { reply } : undefined;
    const [tookMs, tier] = await timed(ring, parts["d"]!, wanted);
    assert.equal(tier, "peer");
    assert.ok(tookMs <= 2 * FAR_MS + 3 * NEAR_MS, `${tookMs} ms`);
  }
});

test("who fetches for the region asks no third node of it, whomever it holds for the keeper itself", async () => {
  const opened = await open();
  const { ring, parts, sent, crossings, chunkKeptBy } = opened;
  let wanted: ChunkWanted;
  do wanted = await chunkKeptBy("f"); while (rendezvous(["d", "e"], wanted.id) !== "e");
  // For d f is gone, for e it is the keeper, and slow: e's own reader waits for it.
  await parted(ring, parts["d"]!, "f");
  opened.fate = ({ to }) => to === "f" ? { delayMs: 200 } : undefined;
  const own = parts["e"]!.reader.fetch(wanted);
  own.catch(() => {});
  const [tookMs, tier] = await timed(ring, parts["d"]!, wanted);
  assert.equal(tier, "region");
  assert.ok(tookMs <= 2 * FAR_MS + 3 * NEAR_MS, `${tookMs} ms`);
  assert.deepEqual(forRegion(sent), ["e>f", "d>e"]);
  assert.equal(crossings(), 1);
  await ring.run(own);
});

test("a full disk cache gives nothing up for what one reader of a region wanted", async () => {
  const { ring, parts, chunkKeptBy } = await open({ diskCacheBytes: 450_000 });
  const { chunkCache } = ring.site("f").disk;
  const first = [await chunkKeptBy("f"), await chunkKeptBy("f")];
  const third = await chunkKeptBy("f");
  for (const wanted of [...first, third]) await ring.run(parts["d"]!.reader.fetch(wanted));
  await ring.clock.settle();
  const kept = async () =>
    await Promise.all([...first, third].map(async ({ id }) => (await chunkCache.get(id)) !== undefined));
  assert.deepEqual(await kept(), [true, true, false]);
  await ring.run(parts["e"]!.reader.fetch(third));
  await ring.clock.settle();
  assert.equal((await kept())[2], true, "the second reader, wherever it was, is enough");
});
