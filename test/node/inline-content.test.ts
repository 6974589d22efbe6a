/** Objects whose content is part of the register's value: written, read, carried on, never wrong. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { base64Of } from "../../src/core/base64.ts";
import { NOTHING_ASKED } from "../../src/core/freshness.ts";
import { INLINE_BYTES, type Manifest } from "../../src/core/manifest.ts";
import type { RegisterValue } from "../../src/core/register.ts";
import type { ObjectVersion } from "../../src/node/objects.ts";
import { HASHING, type MemoryRing } from "../helpers/memory-ring.ts";
import { openParts, type Parts } from "../helpers/memory-ring-parts.ts";
import { stateAt } from "../helpers/stored-objects.ts";
import { uploadOf } from "../helpers/uploads.ts";

const IDS = ["a", "b", "c"];
const NAME = "bucket\0key";

function valueOf(bytes: Uint8Array, change: Partial<Manifest> = {}): RegisterValue {
  const manifest: Manifest = {
    format: 2,
    size: bytes.length,
    sha256: HASHING.sha256(bytes),
    layout: "inline",
    chunks: [],
    content: base64Of(bytes),
    headers: {},
    ...change,
  };
  return { version: 1, modifiedMs: 0, changeId: "x", ancestors: [], content: { kind: "object", manifest } };
}

/** What of a write's and a read's messages is sent from now on. */
function watch(ring: MemoryRing): string[] {
  const sent: string[] = [];
  ring.network.rule(({ request, reply }) => {
    if (!reply && ["prepare", "accept", "read", "chunk-put", "chunk-get"].includes(request.type)) {
      sent.push(request.type);
    }
    return undefined;
  });
  return sent;
}

async function read(ring: MemoryRing, parts: Parts, name = NAME): Promise<Buffer> {
  const located = await ring.run(parts.objects.locate(name, NOTHING_ASKED));
  assert.ok(located.kind === "found", located.kind);
  return await ring.run(bytesOf(parts, located.object, 0, located.object.manifest.size - 1));
}

/** Bytes `first` to `last` as a client is given them. */
async function bytesOf(
  { objects }: Parts,
  object: ObjectVersion,
  first: number,
  last: number,
): Promise<Buffer> {
  const taken: Uint8Array[] = [];
  for await (const part of (await objects.open(NAME, object, first, last)).bytes) taken.push(part);
  return Buffer.concat(taken);
}

function objectOf(value: RegisterValue): ObjectVersion {
  assert.ok(value.content.kind === "object");
  return { version: 1, modifiedMs: 0, manifest: value.content.manifest, value };
}

test("a small object is written in one round trip where this node wrote it last, with no chunk anywhere", async () => {
  const { ring, parts } = await openParts({ ids: IDS, delayMs: () => 50 });
  const { a } = parts as Record<"a", Parts>;
  const body = (n: number) => new Uint8Array(INLINE_BYTES).fill(n);
  const sent = watch(ring);
  await ring.run(a.objects.put(uploadOf(NAME, body(1)), {}));
  await ring.clock.advance(200);
  assert.deepEqual(sent, ["prepare", "prepare", "accept", "accept"]);
  for (const n of [2, 3]) {
    const begunMs = ring.clock.monotonicMs();
    await ring.run(a.objects.put(uploadOf(NAME, body(n)), {}));
    assert.ok(ring.clock.monotonicMs() - begunMs < 120, "100 ms there and back, and no more");
    await ring.clock.advance(200);
  }
  assert.deepEqual(sent.slice(4), Array(4).fill("accept"));
  for (const id of IDS) {
    const state = await stateAt(ring, id, NAME);
    assert.equal(state?.value?.version, 3, id);
    assert.deepEqual(await ring.site(id).disk.catalog.listChunks("", 10), [], id);
  }
});

test("whoever asks for the version has the content with it", async () => {
  const { ring, parts } = await openParts({ ids: [...IDS, "d"] });
  const { a, d } = parts as Record<"a" | "d", Parts>;
  const name = ring.nameOn(IDS);
  const content = new Uint8Array(1_000).fill(7);
  await ring.run(a.objects.put(uploadOf(name, content), {}));
  const sent = watch(ring);
  assert.deepEqual(await read(ring, d, name), Buffer.from(content));
  assert.deepEqual(sent, ["read", "read"]);
});

test("a value found at one replica is carried on with all its bytes", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  const { b } = parts as Record<"b", Parts>;
  const content = new Uint8Array(100).fill(9);
  // Accepted by c alone; then a is away, so that b and c are all there is.
  const ballot = { counter: 5, node: "c" };
  await ring.run(parts["c"]!.replica.prepare(NAME, ballot, 1));
  await ring.run(parts["c"]!.replica.accept(NAME, ballot, valueOf(content), 1));
  ring.network.refuse("a");
  assert.deepEqual(await read(ring, b), Buffer.from(content));
  await ring.clock.advance(1_000);
  assert.equal((await stateAt(ring, "b", NAME))?.value?.version, 1);
});

test("a replica accepts no content that is not what its digest says", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  const { replica } = parts["a"]!;
  const ballot = { counter: 1, node: "b" };
  const wrong = valueOf(new Uint8Array(10), { content: base64Of(new Uint8Array(10).fill(1)) });
  await assert.rejects(async () => await ring.run(replica.accept(NAME, ballot, wrong, 1)), {
    code: "digest-mismatch",
  });
  const state = { promised: ballot, accepted: ballot, value: wrong };
  await assert.rejects(
    async () => await replica.restore(0, [{ name: NAME, state }], { version: 0, promised: ballot }),
    { code: "digest-mismatch" },
  );
  assert.equal(await stateAt(ring, "a", NAME), undefined);
});

test("content that is not what its digest says is never served", async () => {
  const { parts } = await openParts({ ids: IDS });
  const { a } = parts as Record<"a", Parts>;
  const wrong = objectOf(valueOf(new Uint8Array(10), { content: base64Of(new Uint8Array(10).fill(1)) }));
  assert.throws(() => a.objects.peekContent(wrong), { code: "damaged" });
  await assert.rejects(bytesOf(a, wrong, 0, 9), { code: "damaged" });
});

test("ranges of content within a value are cut from it", async () => {
  const { ring, parts } = await openParts({ ids: ["a"] });
  const object = objectOf(valueOf(new TextEncoder().encode("0123456789")));
  for (
    const [first, last, wanted] of [[0, 0, "0"], [3, 5, "345"], [9, 9, "9"], [0, 9, "0123456789"]] as const
  ) {
    assert.equal((await ring.run(bytesOf(parts["a"]!, object, first, last))).toString(), wanted);
  }
});
