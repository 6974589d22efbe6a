/** Documents of the ring: read and written at any node, known without asking for a few seconds, seen by no client. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { objectName, RING_BUCKET } from "../../src/core/names.ts";
import type { DocumentPage, DocumentsOfKind, RingDocument } from "../../src/node/ring-documents.ts";
import { MemoryRing } from "../helpers/memory-ring.ts";
import { bytesOf, uploadOf } from "../helpers/uploads.ts";

const IDS = ["a", "b", "c", "d"];
const form = z.strictObject({ colour: z.string() });
type Colour = z.infer<typeof form>;

interface World extends Disposable {
  readonly ring: MemoryRing;
  readonly at: (id: string) => DocumentsOfKind<Colour>;
  /** Of what the node knows, `asked` where it had to ask. */
  readonly known: (id: string, document?: string) => Promise<string>;
  readonly write: (id: string, colour: string, conditions?: object) => Promise<string>;
  /** Majority reads of the node so far. */
  readonly asked: (id: string) => number;
}

async function open(): Promise<World> {
  const ring = await MemoryRing.open({ ids: IDS });
  const documents = new Map(IDS.map((id) => [id, ring.node(id).documents.ofKind("colours", form)]));
  const at = (id: string) => documents.get(id)!;
  const said = (found: RingDocument<Colour> | undefined) => found ? found.value.colour : "none";
  return {
    ring,
    at,
    async known(id, document = "sky") {
      const found = at(id).known(document);
      return found instanceof Promise
        ? `${said(await ring.run(found, `reading ${document} at ${id}`))} asked`
        : said(found);
    },
    async write(id, colour, conditions = {}) {
      const outcome = await ring.run(at(id).write("sky", { colour }, conditions));
      await ring.clock.advance(100);
      return outcome.kind === "stored" ? `version ${outcome.version}` : outcome.kind;
    },
    asked: (id) => ring.count(id, `atoll_strong_reads_total{outcome="current"}`),
    [Symbol.dispose]: () => ring.close(),
  };
}

test("RingDocuments: written at one node, read at every other; conditions have one winner", async () => {
  using world = await open();
  const { ring, at, write } = world;
  assert.equal(await write("a", "blue", { ifNoneMatch: "*" }), "version 1");
  assert.equal(await write("b", "red", { ifNoneMatch: "*" }), "conflict");
  assert.equal(await write("c", "grey", { ifVersion: 1 }), "version 2");
  for (const id of IDS) {
    const found = await ring.run(at(id).read("sky"));
    assert.deepEqual([found?.id, found?.version, found?.value], ["sky", 2, { colour: "grey" }], id);
  }
  assert.equal((await ring.run(at("d").delete("sky", { ifVersion: 1 }))).kind, "conflict");
  assert.equal((await ring.run(at("d").delete("sky", { ifVersion: 2 }))).kind, "deleted");
  assert.equal(await ring.run(at("a").read("sky")), undefined);
  await assert.rejects(ring.run(at("a").write("sky", { colour: "x".repeat(64 << 10) }, {})), {
    code: "too-large",
  });
});

test("RingDocuments.known asks once, then not again while it is fresh, also where there is none", async () => {
  using world = await open();
  const { ring, known, asked, write } = world;
  for (const there of ["none", "blue"]) {
    if (there === "blue") await write("a", "blue");
    assert.equal(await known("d"), `${there} asked`);
    const before = asked("d");
    for (let i = 0; i < 10; i++) assert.equal(await known("d"), there);
    await ring.clock.advance(1_900);
    assert.equal(await known("d"), there);
    assert.equal(asked("d"), before, "while it is fresh nobody is asked");
    await ring.clock.advance(200);
    assert.equal(await known("d"), there, "then it is refreshed behind its user");
    await ring.clock.until("it was asked for", () => asked("d") === before + 1);
    await ring.clock.advance(6_000);
    assert.equal(await known("d"), `${there} asked`, "and after a long time before its user");
  }
});

test("RingDocuments.known: many who need it at once are one question", async () => {
  using world = await open();
  const { ring, at, asked, write } = world;
  await write("a", "blue");
  const before = asked("d");
  const found = await ring.run(
    Promise.all(Array.from({ length: 50 }, async () => await at("d").known("sky"))),
  );
  assert.ok(found.every((document) => document?.value.colour === "blue"));
  assert.equal(asked("d"), before + 1);
});

test("RingDocuments.known: a change is known at once at every node, whoever made it", async () => {
  using world = await open();
  const { ring, known, write } = world;
  for (const id of IDS) assert.equal(await known(id), "none asked");
  for (const [i, id] of IDS.entries()) {
    assert.equal(await write(id, `colour ${i}`), `version ${i + 1}`);
    for (const other of IDS) assert.equal(await known(other), `colour ${i} asked`, `${other} after ${id}`);
    for (const other of IDS) assert.equal(await known(other), `colour ${i}`, other);
  }
  await ring.run(world.at("a").delete("sky", {}));
  await ring.clock.advance(100);
  for (const id of IDS) assert.equal(await known(id), "none asked", id);
});

test("RingDocuments.known: while nobody answers what was known last goes on; what never was is refused", async () => {
  using world = await open();
  const { ring, known, write } = world;
  await write("a", "blue");
  assert.equal(await known("d"), "blue asked");
  for (const id of ["a", "b", "c"]) ring.network.refuse(id);
  await ring.clock.advance(6_000);
  assert.equal(await known("d"), "blue asked", "asked in vain");
  await ring.clock.advance(60_000);
  assert.equal(await known("d"), "blue", "and then not waited for");
  await assert.rejects(known("d", "never seen"), { code: "no-quorum" });
});

test("RingDocuments refuses what a newer version wrote, and says so", async () => {
  using world = await open();
  const { ring, at, known } = world;
  const name = objectName(RING_BUCKET, "colours/sky");
  for (const text of ['{"colour":"blue","hue":3}', "{", ""]) {
    await ring.run(ring.node("a").objects.put(uploadOf(name, bytesOf(text)), {}));
    await ring.clock.advance(100);
    await assert.rejects(ring.run(at("b").read("sky")), { code: "internal", message: /colours\/sky/ });
    await assert.rejects(known("c"), { code: "internal" });
    await assert.rejects(known("c"), { code: "internal" }, "again: it is not taken for none");
  }
});

test("RingDocuments.list goes page by page through one kind, and no listing of clients' shows them", async () => {
  using world = await open();
  const { ring, at } = world;
  const other = ring.node("a").documents.ofKind("colourss", form);
  await ring.run(other.write("z", { colour: "x" }, {}));
  const ids = ["a/1", "b", "c", "ä"];
  for (const id of ids) await ring.run(at("a").write(id, { colour: id }, {}));
  await ring.run(ring.node("a").objects.put(uploadOf(objectName("abc", "k"), bytesOf("x")), {}));
  const seen: string[] = [];
  for (let after: string | null = ""; after !== null;) {
    const page: DocumentPage<Colour> = await ring.run(at("b").list({ limit: 3, after }));
    for (const { id, value } of page.documents) {
      assert.equal(value.colour, id);
      seen.push(id);
    }
    after = page.next;
  }
  assert.deepEqual(seen, ids);
  assert.deepEqual((await ring.run(at("b").list({ limit: 9, prefix: "a/" }))).documents.map(({ id }) => id), [
    "a/1",
  ]);
  const { listings } = ring.node("c");
  for (const prefix of ["", "_", "_\0colours/"]) {
    const page = await ring.run(listings.list({ prefix, after: "", limit: 100 }));
    assert.deepEqual(page.objects.map(({ name }) => name), prefix === "" ? ["abc\0k"] : [], prefix);
    const buckets = await ring.run(listings.list({ prefix, after: "", limit: 100, delimiter: "\0" }));
    assert.deepEqual(buckets.prefixes, prefix === "" ? ["abc\0"] : [], prefix);
  }
});

test("RingDocuments.list ends a page of large ones by their bytes, and goes on after the last that it gave", async () => {
  using world = await open();
  const { ring, at } = world;
  const colour = "x".repeat(60_000);
  const ids = Array.from({ length: 75 }, (_, n) => `n${String(n).padStart(2, "0")}`);
  for (const id of ids) await ring.run(at("a").write(id, { colour }, {}));
  const first: DocumentPage<Colour> = await ring.run(at("b").list({ limit: 100 }));
  assert.deepEqual([first.documents.length, first.next], [70, "n69"], "4 MiB by 60,013 bytes each");
  const second = await ring.run(at("b").list({ limit: 100, after: first.next! }));
  assert.deepEqual([...first.documents, ...second.documents].map(({ id }) => id), ids);
  assert.equal(second.next, null);
});
