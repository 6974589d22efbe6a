/** Garbage: chunks that nobody names go in the end, and none that anybody may still need. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CHUNK_BYTES } from "../../../src/core/manifest.ts";
import type { PeerReply } from "../../../src/ports.ts";
import { contentAt } from "../../helpers/memory-ring-body.ts";
import { HASHING, MemoryRing } from "../../helpers/memory-ring.ts";
import {
  bytesOfKind,
  deleteObject,
  FILE_BYTES,
  holdersOf,
  manifestOf,
  putObject,
  rowOf,
  stateAt,
} from "../../helpers/stored-objects.ts";

const IDS = ["a", "b", "c"];
const NAME = "bucket\0key";
const BEHIND = "bucket\0key behind it";
const GRACE_MS = 100_000;
const INTERVAL_MS = 20_000;
/** What a write's last messages may take beyond the grace. */
const LATE_MS = 40_000;
/** By then everything that may go has gone. */
const GONE_MS = 3 * (GRACE_MS + LATE_MS) + 2 * INTERVAL_MS;
const ERROR: PeerReply = { type: "error", code: "internal", message: "a bad day" };

function open(ids: readonly string[] = IDS): Promise<MemoryRing> {
  return MemoryRing.open({
    ids,
    repair: { garbageGraceMs: GRACE_MS, garbageIntervalMs: INTERVAL_MS, compareIntervalMs: 3_600_000 },
  });
}

/** A chunk that nobody ever names, on the node's disk before it starts. */
async function orphanAt(ring: MemoryRing, id: string, kind: number, sizeBytes = FILE_BYTES): Promise<string> {
  const bytes = bytesOfKind(kind, sizeBytes);
  const chunk = HASHING.sha256(bytes);
  const { disk } = ring.site(id);
  if (sizeBytes > 65_536) await disk.chunkFiles.put(chunk, bytes);
  else await disk.catalog.commit({ chunks: [{ id: chunk, bytes }] });
  return chunk;
}

/** An object whose time has passed. */
async function expiredAt(ring: MemoryRing, id: string, name: string): Promise<void> {
  const manifest = { ...manifestOf("ab".repeat(32), 0), chunks: [], expiresMs: 1 };
  await ring.site(id).disk.catalog.commit({
    registers: [rowOf(name, 1, { content: { kind: "object", manifest } })],
  });
}

function bytesAt(ring: MemoryRing, id: string): number[] {
  return ["live", "owed", "dead"].map((state) => ring.count(id, `atoll_stored_bytes{state="${state}"}`));
}

test("Garbage takes away what nobody names, files and small chunks, and leaves what an object names", async () => {
  const ring = await open();
  const orphans = [await orphanAt(ring, "a", 1_000), await orphanAt(ring, "a", 1_001, 1_000)];
  const kept = await putObject(ring, "a", NAME);
  const small = await putObject(ring, "a", "bucket\0small", new Uint8Array(5_000));
  await putObject(ring, "a", "bucket\0inline", new Uint8Array(500));
  await ring.clock.advance(INTERVAL_MS + 1_000);
  assert.deepEqual(bytesAt(ring, "a"), [FILE_BYTES + 5_500, 0, FILE_BYTES + 1_000]);
  await ring.clock.advance(GONE_MS);
  for (const orphan of orphans) assert.deepEqual(await holdersOf(ring, IDS, orphan), []);
  for (const { chunks } of [kept, small]) assert.deepEqual(await holdersOf(ring, IDS, chunks[0]!), IDS);
  assert.deepEqual(bytesAt(ring, "a"), [FILE_BYTES + 5_500, 0, 0]);
  assert.equal(ring.count("a", "atoll_garbage_collected_bytes_total"), FILE_BYTES + 1_000);
  ring.close();
});

test("Garbage leaves the chunks of an upload that is under way for as long as one may take", async () => {
  const ring = await open();
  await ring.clock.advance(3 * GONE_MS); // it knows all by now
  let finish = (): void => {};
  const held = new Promise<void>((resolve) => (finish = resolve));
  async function* body(): AsyncGenerator<Uint8Array> {
    yield contentAt(0, CHUNK_BYTES + 1_000);
    await held;
    yield contentAt(CHUNK_BYTES + 1_000, 50_000);
  }
  const upload = { name: NAME, body: body(), maxBytes: 1 << 30, digests: [], headers: {} };
  const put = ring.node("a").objects.put(upload, {});
  put.catch(() => {});
  await ring.clock.advance(GRACE_MS - 1_000);
  finish();
  const outcome = await ring.run(put);
  assert.equal(outcome.kind, "stored");
  await ring.clock.advance(GONE_MS);
  for (const chunk of outcome.kind === "stored" ? outcome.manifest.chunks : []) {
    assert.deepEqual(await holdersOf(ring, IDS, chunk), IDS);
  }
  ring.close();
});

test("Garbage leaves a replaced object's chunks to its readers for the whole grace, and then takes them", async () => {
  const ring = await open();
  const old = await putObject(ring, "a", NAME);
  await ring.clock.advance(3 * GONE_MS);
  await putObject(ring, "a", NAME, bytesOfKind(2));
  await ring.clock.advance(GRACE_MS);
  assert.deepEqual(await holdersOf(ring, IDS, old.chunks[0]!), IDS);
  await ring.clock.advance(GONE_MS);
  assert.deepEqual(await holdersOf(ring, IDS, old.chunks[0]!), []);
  ring.close();
});

test("Garbage leaves a replaced object's chunks for the grace although collections failed for long before", async () => {
  const ring = await open();
  const { disk } = ring.site("a");
  const old = await putObject(ring, "a", NAME);
  await ring.clock.advance(3 * GONE_MS);
  // The catalog cannot be walked: so nobody has seen for long what is named.
  const scan = disk.catalog.scan.bind(disk.catalog);
  disk.catalog.scan = () => Promise.reject(new Error("the disk has a bad day"));
  await ring.clock.advance(5 * GONE_MS);
  await putObject(ring, "b", NAME, bytesOfKind(2));
  disk.catalog.scan = scan;
  await ring.clock.advance(GRACE_MS);
  assert.deepEqual(await holdersOf(ring, ["a"], old.chunks[0]!), ["a"]);
  await ring.clock.advance(GONE_MS);
  assert.deepEqual(await holdersOf(ring, ["a"], old.chunks[0]!), []);
  ring.close();
});

test("Garbage takes nothing after a start until it has looked on for the whole grace, failed looks not counted", async () => {
  const ring = await open();
  const orphan = await orphanAt(ring, "a", 1_000);
  await ring.clock.advance(GRACE_MS + LATE_MS);
  assert.deepEqual(await holdersOf(ring, IDS, orphan), ["a"]);
  ring.crash("a");
  await ring.clock.advance(GONE_MS);
  const { disk } = ring.site("a");
  const scan = disk.catalog.scan.bind(disk.catalog);
  disk.catalog.scan = () => Promise.reject(new Error("the disk has a bad day"));
  await ring.start("a");
  await ring.clock.advance(GONE_MS);
  disk.catalog.scan = scan;
  await ring.clock.advance(GRACE_MS + LATE_MS);
  assert.deepEqual(await holdersOf(ring, IDS, orphan), ["a"]);
  await ring.clock.advance(GONE_MS);
  assert.deepEqual(await holdersOf(ring, IDS, orphan), []);
  ring.close();
});

test("Garbage takes nothing while a member is away or does not answer, and counts all the same", async () => {
  const ring = await open();
  const orphan = await orphanAt(ring, "a", 1_000);
  ring.crash("c");
  await ring.clock.advance(2 * GONE_MS);
  assert.deepEqual(await holdersOf(ring, ["a"], orphan), ["a"]);
  const second = await orphanAt(ring, "a", 1_001);
  await ring.clock.advance(INTERVAL_MS + 6_000);
  assert.deepEqual(bytesAt(ring, "a"), [0, 0, 2 * FILE_BYTES]);
  await ring.start("c");
  const lift = ring.network.rule(({ request, to, reply }) =>
    !reply && to === "c" && request.type === "chunks-wanted" ? { reply: ERROR } : undefined
  );
  await ring.clock.advance(GONE_MS);
  assert.deepEqual(await holdersOf(ring, ["a"], orphan), ["a"]);
  lift();
  // An answer that is too short has not said no.
  const short = ring.network.rule(({ request, to, reply }) =>
    !reply && to === "c" && request.type === "chunks-wanted"
      ? { reply: { type: "chunks-wanted", wanted: [] } }
      : undefined
  );
  await ring.clock.advance(GONE_MS);
  assert.deepEqual(await holdersOf(ring, ["a"], orphan), ["a"]);
  short();
  await ring.clock.advance(GONE_MS);
  for (const chunk of [orphan, second]) assert.deepEqual(await holdersOf(ring, ["a"], chunk), []);
  ring.close();
});

test("Garbage takes nothing while a row cannot be read", async () => {
  const ring = await MemoryRing.open({
    ids: ["a"],
    repair: { garbageGraceMs: GRACE_MS, garbageIntervalMs: INTERVAL_MS },
  });
  const orphan = await orphanAt(ring, "a", 1_000);
  await putObject(ring, "a", NAME);
  await expiredAt(ring, "a", BEHIND);
  // A ring of one: nobody can mend it.
  ring.site("a").disk.damagedRows.add(NAME);
  await ring.clock.advance(2 * GONE_MS);
  assert.deepEqual(await holdersOf(ring, ["a"], orphan), ["a"]);
  assert.deepEqual(await stateAt(ring, "a", BEHIND).then((state) => state?.value?.content.kind), "tombstone");
  ring.site("a").disk.damagedRows.delete(NAME);
  await ring.clock.advance(2 * GONE_MS);
  assert.deepEqual(await holdersOf(ring, ["a"], orphan), []);
  ring.close();
});

test("Garbage takes nothing while an index chunk cannot be had, names the object, and goes on to the others", async () => {
  const lines: string[] = [];
  const line = (text: string, fields: object = {}): void =>
    void lines.push(`${text} ${JSON.stringify(fields)}`);
  const ring = await MemoryRing.open({
    ids: ["a"],
    memoryCacheBytes: 0,
    chunkSizes: { chunkBytes: 1_000, smallBytes: 100, inlineBytes: 0, listedMax: 2 },
    log: { info: line, warn: line, error: line },
    repair: { garbageGraceMs: GRACE_MS, garbageIntervalMs: INTERVAL_MS },
  });
  const orphan = await orphanAt(ring, "a", 1_000);
  const { layout, chunks: [index] } = await putObject(ring, "a", NAME, contentAt(0, 5_000));
  assert.equal(layout, "index");
  await expiredAt(ring, "a", BEHIND);
  const { chunkFiles } = ring.site("a").disk;
  const kept = await chunkFiles.get(index!);
  assert.ok(kept.kind === "found");
  await chunkFiles.delete(index!);
  await ring.clock.advance(2 * GONE_MS);
  assert.deepEqual(await holdersOf(ring, ["a"], orphan), ["a"]);
  assert.deepEqual(await stateAt(ring, "a", BEHIND).then((state) => state?.value?.content.kind), "tombstone");
  const named = lines.filter((text) => text.startsWith("the chunks of an object are not known"));
  assert.ok(named[0]?.includes('"bucket/key"'), lines.join("\n"));
  await chunkFiles.put(index!, kept.bytes);
  await ring.clock.advance(2 * GONE_MS);
  assert.deepEqual(await holdersOf(ring, ["a"], orphan), []);
  assert.deepEqual(await holdersOf(ring, ["a"], index!), ["a"]);
  ring.close();
});

test("Garbage leaves what another node looks for", async () => {
  const ring = await open();
  const orphan = await orphanAt(ring, "a", 1_000);
  // c accepted a value that named it, and then heard of nothing: that value may yet be carried on.
  await ring.site("c").disk.catalog.commit({
    registers: [rowOf(NAME, 1, { content: { kind: "object", manifest: manifestOf(orphan) } })],
    incomplete: [{ name: NAME, version: 1 }],
  });
  const apart = ring.network.rule(({ request }) =>
    ["chunk-get", "chunk-put", "read"].includes(request.type) ? { reply: ERROR } : undefined
  );
  await ring.clock.advance(2 * GONE_MS);
  assert.deepEqual(await holdersOf(ring, ["a"], orphan), ["a"]);
  apart();
  await ring.clock.advance(70_000);
  assert.deepEqual(await holdersOf(ring, ["c"], orphan), ["c"], "gone before c had it");
  ring.close();
});

test("Garbage leaves an old chunk that is stored once more just when it goes", async () => {
  const ring = await open();
  const bytes = bytesOfKind(9);
  const manifest = await putObject(ring, "a", NAME, bytes);
  await ring.clock.advance(GONE_MS);
  await deleteObject(ring, "a", NAME);
  // Just after it went, and from then on for good.
  const from = ring.clock.monotonicMs();
  while (
    ring.clock.monotonicMs() < from + GONE_MS && (await holdersOf(ring, ["a"], manifest.chunks[0]!)).length
  ) {
    await ring.clock.advance(INTERVAL_MS / 4);
  }
  await putObject(ring, "a", "bucket\0again", bytes);
  const goneMs = ring.clock.monotonicMs() - from;
  assert.ok(goneMs > GRACE_MS, `gone after ${goneMs} ms`);
  await ring.clock.advance(GONE_MS);
  assert.deepEqual(await holdersOf(ring, IDS, manifest.chunks[0]!), IDS);
  ring.close();
});

test("Garbage of many chunks is seen as what it is from the first look on", async () => {
  const ring = new MemoryRing({
    ids: ["a"],
    repair: { garbageGraceMs: GRACE_MS, garbageIntervalMs: INTERVAL_MS },
  });
  const { disk } = ring.site("a");
  const chunks = Array.from({ length: 4_000 }, (_, n) => {
    const bytes = bytesOfKind(n, 10);
    return { id: HASHING.sha256(bytes), bytes };
  });
  await disk.catalog.commit({
    chunks,
    registers: chunks.slice(0, 2_000).map(({ id }, n) =>
      rowOf(`bucket\0${n}`, 1, { content: { kind: "object", manifest: manifestOf(id, 10) } })
    ),
  });
  await ring.start("a");
  await ring.clock.advance(INTERVAL_MS + 1_000);
  const [live, owed, dead] = bytesAt(ring, "a");
  assert.ok(live! >= 20_000 && live! < 22_000 && owed === 0, `${live} live, ${dead} dead`);
  await ring.clock.advance(GONE_MS);
  const left = await disk.catalog.listChunks("", 100_000);
  assert.ok(left.length >= 2_000 && left.length < 2_200, `${left.length} left`);
  ring.close();
});

test("Garbage brings others what they lack and would not ask this node for", async () => {
  const ids = [...IDS, "d"];
  const ring = await open(ids);
  const name = ring.nameOn(IDS);
  const chunk = await orphanAt(ring, "d", 1_000);
  const content = { kind: "object", manifest: manifestOf(chunk) } as const;
  for (const id of IDS) {
    await ring.site(id).disk.catalog.commit({
      registers: [rowOf(name, 1, { content })],
      incomplete: [{ name, version: 1 }],
    });
  }
  // It is nobody they ask, as one that has left the ring.
  ring.network.rule(({ to, request }) =>
    to === "d" && request.type === "chunk-get" ? { reply: ERROR } : undefined
  );
  await ring.clock.advance(GONE_MS);
  assert.deepEqual(await holdersOf(ring, IDS, chunk), IDS);
  ring.close();
});
