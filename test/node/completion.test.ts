/** Completion: a replica that accepted a manifest gets the chunks it lacks, however long that takes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CHUNK_BYTES, type Manifest } from "../../src/core/manifest.ts";
import type { PeerReply } from "../../src/ports.ts";
import { contentAt, watchedBody } from "../helpers/memory-ring-body.ts";
import { HASHING, MemoryRing } from "../helpers/memory-ring.ts";

const IDS = ["a", "b", "c"];
const NAME = "bucket\0key";
/** A fault that says nothing about who is alive. */
const FULL: PeerReply = { type: "error", code: "storage-full", message: "no room" };
const SIZE_BYTES = 3 * CHUNK_BYTES;

/** An object whose chunks never reached c, though its manifest did. */
async function openIncomplete(): Promise<{ ring: MemoryRing; manifest: Manifest; keepFrom: () => void }> {
  const ring = await MemoryRing.open({ ids: IDS });
  const keepFrom = ring.network.rule(({ request, to, reply }) =>
    !reply && to === "c" && request.type === "chunk-put" ? { reply: FULL } : undefined
  );
  const keepAway = ring.network.rule(({ request, from, reply }) =>
    !reply && from === "c" && request.type === "chunk-get" ? { reply: FULL } : undefined
  );
  return { ring, manifest: await put(ring, "a"), keepFrom: () => (keepFrom(), keepAway()) };
}

async function put(ring: MemoryRing, at: string, sizeBytes = SIZE_BYTES, name = NAME): Promise<Manifest> {
  const { body } = watchedBody(sizeBytes);
  const upload = { name, body, maxBytes: 1 << 30, digests: [], headers: {} };
  const outcome = await ring.run(ring.node(at).objects.put(upload, {}));
  return outcome.kind === "stored" ? outcome.manifest : assert.fail();
}

async function owed(ring: MemoryRing, id: string): Promise<number> {
  return (await ring.site(id).disk.catalog.incomplete(100)).length;
}

async function chunksAt(ring: MemoryRing, id: string, manifest: Manifest): Promise<number> {
  const kinds = await Promise.all(
    manifest.chunks.map(async (chunk) => (await ring.site(id).disk.chunkFiles.get(chunk)).kind),
  );
  return kinds.filter((kind) => kind === "found").length;
}

test("Completion fetches what a replica lacks of a manifest it accepted, and empties its list", async () => {
  const { ring, manifest, keepFrom } = await openIncomplete();
  await ring.clock.advance(100);
  assert.deepEqual([await owed(ring, "c"), await chunksAt(ring, "c", manifest)], [1, 0]);
  keepFrom();
  await ring.clock.advance(10_000);
  assert.deepEqual([await owed(ring, "c"), await chunksAt(ring, "c", manifest)], [0, 3]);
  ring.close();
});

test("Completion owes nothing for an object whose chunks came before its manifest", async () => {
  const ring = await MemoryRing.open({ ids: IDS });
  const manifest = await put(ring, "a");
  await ring.clock.advance(100);
  for (const id of IDS) {
    assert.deepEqual([await owed(ring, id), await chunksAt(ring, id, manifest)], [0, 3], id);
  }
  ring.close();
});

test("Completion goes on after a crash with what it owed before", async () => {
  const { ring, manifest, keepFrom } = await openIncomplete();
  await ring.clock.advance(100);
  ring.crash("c");
  keepFrom();
  await ring.clock.advance(1_000);
  assert.equal(await chunksAt(ring, "c", manifest), 0);
  await ring.start("c");
  await ring.clock.advance(20_000);
  assert.deepEqual([await owed(ring, "c"), await chunksAt(ring, "c", manifest)], [0, 3]);
  ring.close();
});

test("Completion tries again less and less often while nobody has the chunks, and gives up never", async () => {
  const { ring, manifest, keepFrom } = await openIncomplete();
  const asked: number[] = [];
  ring.network.rule(({ request, from, to, reply }) => {
    if (reply || from !== "c" || request.type !== "chunk-get") return undefined;
    if (to === "a") asked.push(ring.clock.monotonicMs());
    return { reply: FULL };
  });
  await ring.clock.advance(600_000);
  const rounds = asked.filter((ms, i) => i === 0 || ms - asked[i - 1]! > 100);
  const gapsMs = rounds.slice(1).map((ms, i) => ms - rounds[i]!);
  assert.ok(rounds.length >= 8 && rounds.length < 40, `${rounds.length} rounds in 10 minutes`);
  assert.ok(gapsMs.at(-1)! > 5 * gapsMs[0]!, `${gapsMs}`);
  assert.equal(await owed(ring, "c"), 1);
  keepFrom();
  ring.network.rule(({ request, from }) =>
    from === "c" && request.type === "chunk-get" ? { delayMs: 1 } : undefined
  );
  await ring.clock.advance(100_000);
  assert.deepEqual([await owed(ring, "c"), await chunksAt(ring, "c", manifest)], [0, 3]);
  ring.close();
});

test("Completion looks again for what came while it was at work", async () => {
  const { ring, keepFrom } = await openIncomplete();
  await ring.clock.advance(100);
  keepFrom();
  const slow = ring.network.rule(({ request, to, reply }) => {
    if (request.type === "chunk-put" && !reply && to === "c") return { reply: FULL };
    return request.type === "chunk-get" ? { delayMs: 1_000 } : undefined;
  });
  await ring.clock.advance(2_500);
  const later = await put(ring, "a", 5 * CHUNK_BYTES, "bucket\0later");
  slow();
  await ring.clock.advance(10_000);
  assert.deepEqual([await owed(ring, "c"), await chunksAt(ring, "c", later)], [0, 5]);
  ring.close();
});

test("Completion of one version does not strike a later one off the list that came meanwhile", async () => {
  const { ring, keepFrom } = await openIncomplete();
  await ring.clock.advance(100);
  keepFrom();
  // c fetches the old version's chunks slowly; the new one's manifest arrives before it has done.
  const slow = ring.network.rule(({ request, to, reply }) => {
    if (request.type === "chunk-put" && !reply && to === "c") return { reply: FULL };
    return request.type === "chunk-get" ? { delayMs: 1_000 } : undefined;
  });
  await ring.clock.advance(2_500);
  const manifest = await put(ring, "a", 5 * CHUNK_BYTES + 100_000);
  assert.equal(await owed(ring, "c"), 1);
  await ring.clock.advance(1_000);
  slow();
  await ring.clock.advance(120_000);
  assert.equal(await chunksAt(ring, "c", manifest), manifest.chunks.length, "its chunks were forgotten");
  assert.equal(await owed(ring, "c"), 0);
  ring.close();
});

test("Completion of one value does not strike another of the same version off the list", async () => {
  const { ring, manifest, keepFrom } = await openIncomplete();
  await ring.clock.advance(100);
  keepFrom();
  const slow = ring.network.rule(({ request }) =>
    request.type === "chunk-get" ? { delayMs: 1_000 } : undefined
  );
  await ring.clock.advance(2_500);
  assert.equal(await owed(ring, "c"), 1);
  // A minority had accepted the first value: another proposer makes its own of the same version.
  const bytes = contentAt(9 * CHUNK_BYTES, 200_000);
  const sha256 = HASHING.sha256(bytes);
  await ring.site("a").disk.chunkFiles.put(sha256, bytes);
  await ring.node("c").handlePeer({ node: "b" }, {
    type: "accept",
    name: NAME,
    ballot: { counter: 9, node: "b" },
    value: {
      version: 1,
      modifiedMs: 0,
      changeId: "another",
      ancestors: [],
      content: { kind: "object", manifest: { ...manifest, size: bytes.length, sha256, chunks: [sha256] } },
    },
  });
  await ring.clock.advance(1_000);
  slow();
  await ring.clock.advance(120_000);
  assert.equal((await ring.site("c").disk.chunkFiles.get(sha256)).kind, "found", "its chunk was forgotten");
  assert.equal(await owed(ring, "c"), 0);
  ring.close();
});

interface Lacked {
  readonly name: string;
  readonly modifiedMs: number;
  /** Of its one chunk. */
  readonly sha256: string;
}

/** c starts with a disk that has these objects' manifests, in this order on its list, and none of their chunks. */
async function startLacking(ring: MemoryRing, objects: readonly Lacked[]): Promise<void> {
  ring.crash("c");
  const ballot = { counter: 1, node: "a" };
  await ring.site("c").disk.catalog.commit({
    registers: objects.map(({ name, modifiedMs, sha256 }) => {
      const manifest: Manifest = {
        format: 1,
        size: 100_000,
        sha256,
        layout: "list",
        chunks: [sha256],
        headers: {},
      };
      const content = { kind: "object" as const, manifest };
      const value = { version: 1, modifiedMs, changeId: name, ancestors: [], content };
      return { name, state: { promised: ballot, accepted: ballot, value } };
    }),
    incomplete: objects.map(({ name }) => ({ name, version: 1 })),
  });
  await ring.start("c");
}

test("Completion reaches objects behind many that cannot be completed", async () => {
  const ring = await MemoryRing.open({ ids: IDS });
  const hopeless = Array.from({ length: 80 }, (_, n): Lacked => {
    const name = `bucket\0hopeless ${n}`;
    return { name, modifiedMs: 1_000 + n, sha256: HASHING.sha256(new TextEncoder().encode(name)) };
  });
  const bytes = contentAt(0, 100_000);
  const good = HASHING.sha256(bytes);
  await ring.site("a").disk.chunkFiles.put(good, bytes);
  await startLacking(ring, [...hopeless, { name: "bucket\0good", modifiedMs: 0, sha256: good }]);
  await ring.clock.advance(300_000);
  assert.equal((await ring.site("c").disk.chunkFiles.get(good)).kind, "found");
  assert.equal(await owed(ring, "c"), 80);
  ring.close();
});

test("Completion fetches the newest first, and each fourth is the one that waits longest", async () => {
  const ring = await MemoryRing.open({ ids: IDS });
  const objects = await Promise.all(Array.from({ length: 100 }, async (_, n): Promise<Lacked> => {
    const bytes = contentAt(n * CHUNK_BYTES, 100_000);
    const sha256 = HASHING.sha256(bytes);
    for (const id of ["a", "b"]) await ring.site(id).disk.chunkFiles.put(sha256, bytes);
    return { name: `bucket\0${n}`, modifiedMs: n, sha256 };
  }));
  const asked: number[] = [];
  ring.network.rule(({ request, from, reply }) => {
    if (!reply && from === "c" && request.type === "chunk-get") {
      asked.push(objects.findIndex(({ sha256 }) => sha256 === request.id));
    }
    return undefined;
  });
  await startLacking(ring, objects);
  await ring.clock.advance(20_000);
  assert.equal(await owed(ring, "c"), 0);
  assert.deepEqual([...new Set(asked)].slice(0, 12), [99, 98, 97, 0, 96, 95, 94, 1, 93, 92, 91, 2]);
  assert.equal(new Set(asked).size, 100);
  ring.close();
});
