/** Objects that cannot be read whole any more do not keep a layout moving; those that can are waited for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { replicasOf } from "../../../src/core/layout.ts";
import type { ChunkId } from "../../../src/core/manifest.ts";
import type { PeerReply } from "../../../src/ports.ts";
import { contentAt } from "../../helpers/memory-ring-body.ts";
import { MemoryRing } from "../../helpers/memory-ring.ts";
import { holdersOf, manifestOf, putObject, rowOf } from "../../helpers/stored-objects.ts";

const IDS = ["a", "b", "c"];
const NAME = "bucket\0key";
const ERROR: PeerReply = { type: "error", code: "internal", message: "a bad day" };
/** By then everything that can be taken over has been, and what is gone is known to be. */
const LONG_MS = 300_000;

/** One copy of an object of three chunks; another ring to begin with than the one it becomes. */
async function open(listedMax = 100, ids = IDS) {
  const lines: string[] = [];
  const line = (text: string, fields: object = {}): void =>
    void lines.push(`${text} ${JSON.stringify(fields)}`);
  const ring = await MemoryRing.open({
    ids,
    replicas: 1,
    memoryCacheBytes: 0,
    chunkSizes: { chunkBytes: 1_000, smallBytes: 10, inlineBytes: 0, listedMax },
    log: { info() {}, warn: line, error: line },
    repair: { compareIntervalMs: 5_000 },
  });
  // The first scrub, which would fetch what is missing as well, is over.
  await ring.clock.advance(120_000);
  const home = replicasOf(ring.layout, NAME)[0]!;
  const { chunks } = await putObject(ring, home, NAME, contentAt(0, 3_000));
  await ring.clock.advance(5_000);
  const heirs = ids.filter((id) => id !== home);
  const grow = async (): Promise<void> => {
    const { administration } = ring.node(home);
    const { base } = administration.plan({ replicas: 3 });
    assert.equal((await ring.run(administration.apply(base, { replicas: 3 }))).kind, "applied");
  };
  return { ring, home, heirs, chunks, lines, grow };
}

function isMoving(ring: MemoryRing, ids = IDS): boolean {
  return ids.some((id) => ring.node(id).layout()!.number === 1 || ring.node(id).layout()!.from !== undefined);
}

function settles(ring: MemoryRing, ids = IDS): Promise<void> {
  return ring.clock.until("the layout settles", () => !isMoving(ring, ids), LONG_MS);
}

/** What the ring says of it until it has settled, at most. */
async function lackingWhileItSettles(ring: MemoryRing, at: string): Promise<number> {
  let lacking = 0;
  for (let waitedMs = 0; isMoving(ring); waitedMs += 500) {
    assert.ok(waitedMs < LONG_MS, "wanted the layout to settle, it is still moving");
    await ring.clock.advance(500);
    const { move } = await ring.run(ring.node(at).administration.status());
    lacking = Math.max(lacking, move?.objectsLeft ?? 0);
  }
  return lacking;
}

async function incompleteAt(ring: MemoryRing, id: string): Promise<string[]> {
  return (await ring.site(id).disk.catalog.incomplete(10)).map(({ name }) => name);
}

test("a chunk that nobody has keeps no layout moving: the object is named, and the rest of it taken over", async () => {
  const { ring, home, heirs, chunks, lines, grow } = await open();
  const { disk } = ring.site(home);
  disk.chunkFiles.flip(chunks[0]!);
  await grow();
  assert.equal(await lackingWhileItSettles(ring, home), 2);
  for (const chunk of chunks.slice(1)) assert.deepEqual(await holdersOf(ring, IDS, chunk), IDS);
  for (const id of heirs) {
    assert.deepEqual(await incompleteAt(ring, id), [NAME]);
    assert.equal(ring.count(id, "atoll_takeover_objects_gone"), 1);
  }
  const named = lines.filter((text) => text.startsWith("an object lacks chunks that no node has"));
  assert.equal(named.length, 2, lines.join("\n"));
  assert.match(named[0]!, /"bucket\/key"/);
  ring.close();
});

test("an index chunk that nobody has keeps no layout moving", async () => {
  const { ring, home, chunks: [index], grow } = await open(2);
  await ring.site(home).disk.chunkFiles.delete(index!);
  await grow();
  await settles(ring);
  ring.close();
});

test("a missing chunk is waited for as long as who may have it does not say that it has not", async () => {
  const { ring, home, chunks: [chunk], grow } = await open();
  await ring.site(home).disk.chunkFiles.delete(chunk!);
  const asksFor = (ids: readonly ChunkId[]): boolean => ids.includes(chunk!);
  for (const reply of [ERROR, { type: "chunks-held", held: [] } as const]) {
    const silent = ring.network.rule(({ request, to, reply: isReply }) =>
      !isReply && to === home && request.type === "chunks-held" && asksFor(request.ids)
        ? { reply }
        : undefined
    );
    if (reply === ERROR) await grow();
    await ring.clock.advance(LONG_MS);
    assert.ok(isMoving(ring));
    silent();
  }
  await settles(ring);
  ring.close();
});

test("a missing chunk that somebody has is waited for although it cannot be fetched", async () => {
  const { ring, chunks, grow } = await open();
  const withheld = ring.network.rule(({ request, reply }) =>
    !reply && request.type === "chunk-get" && request.id === chunks[0] ? { reply: ERROR } : undefined
  );
  await grow();
  await ring.clock.advance(LONG_MS);
  assert.ok(isMoving(ring));
  withheld();
  await settles(ring);
  for (const chunk of chunks) assert.deepEqual(await holdersOf(ring, IDS, chunk), IDS);
  ring.close();
});

test("more such objects than are waited for by name keep no layout moving", async () => {
  const ids = ["a", "b"];
  const { ring, home, grow } = await open(100, ids);
  const rows = Array.from({ length: 3_000 }, (_, n) =>
    rowOf(`bucket\0${n}`, 1, {
      content: { kind: "object", manifest: manifestOf(n.toString(16).padStart(64, "0"), 1_000) },
    }));
  const own = rows.filter(({ name }) => replicasOf(ring.layout, name)[0] === home).slice(0, 1_100);
  assert.equal(own.length, 1_100);
  await ring.site(home).disk.catalog.commit({ registers: own });
  await grow();
  await settles(ring, ids);
  ring.close();
});
