/** Objects over a ring: conditions, freshness, and what is answered when nobody can be asked. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CHUNK_BYTES } from "../../src/core/manifest.ts";
import { parseRequestDirectives, type RequestDirectives } from "../../src/core/freshness.ts";
import { contentAt, watchedBody } from "../helpers/memory-ring-body.ts";
import { MemoryRing } from "../helpers/memory-ring.ts";
import { bytesOf, uploadOf } from "../helpers/uploads.ts";

const IDS = ["a", "b", "c", "d"];
const PLAIN: RequestDirectives = { noCache: false, onlyIfCached: false };

interface World {
  readonly ring: MemoryRing;
  /** On a, b and c, and not on d, which reads it. */
  readonly name: string;
  readonly put: (text: string, cacheControl?: string) => Promise<void>;
  readonly get: (directives?: string) => Promise<string>;
  /** Majority reads of d so far. */
  readonly asked: () => number;
  readonly pass: (seconds: number) => Promise<void>;
  /** No majority answers d any more. */
  readonly cut: () => void;
}

async function open(): Promise<World> {
  const ring = await MemoryRing.open({ ids: IDS });
  const name = ring.nameOn(["a", "b", "c"]);
  let asked = 0;
  ring.network.rule(({ request, from, reply }) => {
    if (request.type === "read" && from === "d" && !reply && request.name === name) asked++;
    return undefined;
  });
  return {
    ring,
    name,
    async put(text, cacheControl) {
      const headers: Record<string, string> = cacheControl === undefined
        ? {}
        : { "cache-control": cacheControl };
      const upload = uploadOf(name, bytesOf(text), headers);
      assert.equal((await ring.run(ring.node("a").objects.put(upload, {}))).kind, "stored");
      await ring.clock.advance(100);
    },
    async get(directives) {
      const { objects } = ring.node("d");
      const located = await ring.run(objects.locate(name, parseRequestDirectives(directives)));
      if (located.kind !== "found") return located.kind;
      const { size } = located.object.manifest;
      const { bytes } = await ring.run(objects.open(name, located.object, 0, size - 1));
      return `${await ring.run(textOf(bytes))} ${located.known.kind}`;
    },
    asked: () => asked / 2,
    pass: (seconds) => ring.clock.advance(seconds * 1000),
    cut() {
      for (const id of ["a", "b", "c"]) ring.network.refuse(id);
    },
  };
}

async function textOf(parts: AsyncIterable<Uint8Array>): Promise<string> {
  let text = "";
  for await (const part of parts) text += new TextDecoder().decode(part);
  return text;
}

test("Objects.locate asks each time where the object says nothing of freshness", async () => {
  const { ring, put, get, asked } = await open();
  await put("one");
  assert.deepEqual([await get(), await get()], ["one asked", "one asked"]);
  assert.equal(asked(), 2);
  await put("two");
  assert.equal(await get(), "two asked");
  ring.close();
});

test("Objects.locate answers from memory for as long as max-age says, then asks", async () => {
  const { ring, put, get, pass, asked } = await open();
  await put("one", "max-age=10");
  assert.equal(await get(), "one asked");
  await pass(9.5);
  assert.equal(await get(), "one fresh");
  assert.equal(asked(), 1);
  await pass(0.6);
  assert.equal(await get(), "one asked");
  await pass(9.5);
  assert.equal(await get(), "one fresh", "it counts from the last time it was known current");
  ring.close();
});

test("Objects.locate uses nothing unasked after its Expires, also where it was asked about since", async () => {
  const { ring, name, get, pass } = await open();
  const expires = new Date(ring.clock.wallMs() + 4_000).toUTCString();
  const upload = uploadOf(name, bytesOf("one"), { expires });
  assert.equal((await ring.run(ring.node("a").objects.put(upload, {}))).kind, "stored");
  await ring.clock.advance(100);
  assert.deepEqual([await get(), await get()], ["one asked", "one fresh"]);
  await pass(6);
  assert.deepEqual([await get(), await get(), await get()], ["one asked", "one asked", "one asked"]);
  assert.equal(ring.node("d").routes.of(name).cached?.freshSeconds, 0);
  ring.close();
});

test("Objects.locate asks when the request insists, and not when it forbids", async () => {
  const { ring, put, get, pass } = await open();
  await put("one", "max-age=10");
  assert.equal(await get("only-if-cached"), "not-cached");
  assert.equal(await get(), "one asked");
  assert.equal(await get("no-cache"), "one asked");
  assert.equal(await get("max-age=0"), "one asked");
  assert.equal(await get("only-if-cached"), "one fresh");
  await pass(11);
  assert.equal(await get("only-if-cached"), "not-cached");
  assert.equal(await get("max-stale=5"), "one fresh");
  ring.close();
});

test("Objects.locate hears of a commit elsewhere long before its freshness ends", async () => {
  const { ring, put, get, pass } = await open();
  await put("one", "max-age=1000");
  assert.equal(await get(), "one asked");
  await pass(1);
  await put("two", "max-age=1000");
  assert.equal(await get(), "two asked");
  ring.close();
});

test("Objects.locate uses a stale answer once while it refreshes, and refreshes once for all", async () => {
  const { ring, name, put, get, pass, asked } = await open();
  await put("one", "max-age=10, stale-while-revalidate=30");
  assert.equal(await get(), "one asked");
  await pass(15);
  const located = Array.from({ length: 20 }, () => ring.node("d").objects.peek(name, PLAIN));
  assert.ok(
    located.every((one) => one?.kind === "found" && one.known.kind === "fresh" && one.known.ttlSeconds < 0),
  );
  await pass(1);
  assert.equal(asked(), 2);
  const after = ring.node("d").objects.peek(name, PLAIN);
  assert.ok(after?.kind === "found" && after.known.kind === "fresh" && after.known.ttlSeconds > 0);
  await pass(60);
  assert.equal(await get(), "one asked", "beyond the 30 s it asks first");
  ring.close();
});

test("Objects.locate with a majority gone: stale only as far as stale-if-error allows", async () => {
  const { ring, put, get, pass, cut } = await open();
  await put("one", "max-age=10, stale-if-error=60");
  assert.equal(await get(), "one asked");
  cut();
  await pass(5);
  assert.equal(await get(), "one fresh");
  await pass(30);
  assert.equal(await get(), "one fresh");
  await assert.rejects(get("no-cache"), { code: "no-quorum" });
  await pass(60);
  await assert.rejects(get(), { code: "no-quorum" });
  ring.close();
});

test("Objects.locate with a majority gone gives nothing stale where nobody allowed it", async () => {
  const { ring, put, get, pass, cut } = await open();
  await put("one", "max-age=10");
  assert.equal(await get(), "one asked");
  cut();
  await pass(11);
  await assert.rejects(get(), { code: "no-quorum" });
  assert.equal(await get("stale-if-error=5"), "one fresh", "the request allows it");
  ring.close();
});

test("Objects.locate: must-revalidate forbids stale answers, whatever else is said", async () => {
  const { ring, put, get, pass, cut } = await open();
  await put("one", "max-age=10, must-revalidate, stale-if-error=60, stale-while-revalidate=60");
  assert.equal(await get(), "one asked");
  await pass(11);
  assert.equal(await get(), "one asked");
  cut();
  await pass(11);
  await assert.rejects(get(), { code: "no-quorum" });
  ring.close();
});

test("Objects: an expired object is absent, from memory too, and may be created again", async () => {
  const { ring, name, get } = await open();
  const { objects } = ring.node("d");
  const upload = () => uploadOf(name, bytesOf("one"), { "cache-control": "max-age=1000" });
  await ring.run(objects.put({ ...upload(), expiresMs: ring.clock.wallMs() + 5_000 }, { ifNoneMatch: "*" }));
  assert.equal(await get(), "one fresh");
  await ring.clock.advance(5_000);
  assert.equal(await get(), "absent");
  const again = await ring.run(objects.put(upload(), { ifNoneMatch: "*" }));
  assert.deepEqual(again.kind === "stored" && [again.created, again.version], [true, 2]);
  ring.close();
});

test("Objects.put and delete: conditions are decided by what is committed, wherever they are asked", async () => {
  const { ring, name } = await open();
  const at = (id: string) => ring.node(id).objects;
  const first = await ring.run(at("a").put(uploadOf(name, bytesOf("one")), { ifNoneMatch: "*" }));
  assert.deepEqual(first.kind === "stored" && [first.created, first.version], [true, 1]);
  const second = await ring.run(at("d").put(uploadOf(name, bytesOf("two")), { ifNoneMatch: "*" }));
  assert.deepEqual(second.kind === "conflict" && second.current?.version, 1);
  const third = await ring.run(at("b").put(uploadOf(name, bytesOf("two")), { ifVersion: 1 }));
  assert.deepEqual(third.kind === "stored" && [third.created, third.version], [false, 2]);
  assert.equal((await ring.run(at("c").delete(name, { ifVersion: 1 }))).kind, "conflict");
  assert.deepEqual(await ring.run(at("c").delete(name, { ifVersion: 2 })), { kind: "deleted", version: 3 });
  assert.deepEqual(await ring.run(at("d").delete(name, {})), { kind: "deleted", version: 3 });
  const fourth = await ring.run(at("d").put(uploadOf(name, bytesOf("one")), { ifVersion: 0 }));
  assert.deepEqual(
    fourth.kind === "stored" && [fourth.created, fourth.version],
    [true, 4],
    "versions never repeat",
  );
  ring.close();
});

test("Objects.put that finds no majority leaves the old object as it was", async () => {
  const { ring, name, put, get } = await open();
  await put("old");
  const heal = [ring.network.refuse("a"), ring.network.refuse("b")];
  await assert.rejects(ring.run(ring.node("d").objects.put(uploadOf(name, bytesOf("new")), {})), {
    code: "no-quorum",
  });
  const large = {
    ...uploadOf(name, bytesOf("")),
    body: watchedBody(3 * CHUNK_BYTES).body,
    sizeBytes: undefined,
  };
  await assert.rejects(ring.run(ring.node("d").objects.put(large, {})), { code: "no-quorum" });
  for (const undo of heal) undo();
  await ring.clock.advance(5_000);
  assert.equal(await get(), "old asked");
  ring.close();
});

test("Objects.open gives the bytes that were stored, whole and in parts, with a replica dead", async () => {
  const { ring, name } = await open();
  const size = 5 * CHUNK_BYTES + 12_345;
  const upload = {
    ...uploadOf(name, bytesOf("")),
    body: watchedBody(size, 77_777).body,
    sizeBytes: undefined,
  };
  assert.equal((await ring.run(ring.node("a").objects.put(upload, {}))).kind, "stored");
  ring.crash("b");
  await ring.clock.advance(2_000);
  const { objects } = ring.node("d");
  const located = await ring.run(objects.locate(name, PLAIN));
  assert.ok(located.kind === "found");
  const ranges = [[0, size - 1], [0, 0], [size - 1, size - 1], [CHUNK_BYTES - 1, CHUNK_BYTES], [
    CHUNK_BYTES + 5,
    4 * CHUNK_BYTES,
  ]] as const;
  for (const [first, last] of ranges) {
    const { bytes } = await ring.run(objects.open(name, located.object, first, last));
    let at = first;
    const read = async (): Promise<void> => {
      for await (const part of bytes) {
        assert.deepEqual(part, contentAt(at, part.length));
        at += part.length;
      }
    };
    await ring.run(read());
    assert.equal(at, last + 1);
  }
  ring.close();
});
