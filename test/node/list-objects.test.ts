/** Listings over several nodes: each object whose write ended before, none whose delete did, in order, page by page. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compareUtf8, type Name, objectName } from "../../src/core/names.ts";
import { type ListPage, type ListRequest, PAGE_BYTES_MAX, scanCatalog } from "../../src/node/list-objects.ts";
import { type MemoryRing, urlOf } from "../helpers/memory-ring.ts";
import { bytesOf, uploadOf } from "../helpers/uploads.ts";
import { openParts, type Parts } from "../helpers/memory-ring-parts.ts";

const IDS = ["a", "b", "c"];
const PREFIX = "bucket\0";

async function put(
  ring: MemoryRing,
  { objects }: Parts,
  name: Name,
  ttl?: { expiresMs: number },
): Promise<void> {
  const outcome = await ring.run(objects.put({ ...uploadOf(name, bytesOf(name)), ...ttl }, {}));
  assert.equal(outcome.kind, "stored");
}

async function list(
  ring: MemoryRing,
  { listings }: Parts,
  more: Partial<ListRequest> = {},
): Promise<ListPage> {
  return await ring.run(listings.list({ prefix: PREFIX, after: "", limit: 1_000, ...more }), "the listing");
}

async function keys(ring: MemoryRing, parts: Parts, more: Partial<ListRequest> = {}): Promise<string[]> {
  return (await list(ring, parts, more)).objects.map(({ name }) => name.slice(PREFIX.length));
}

test("Listings.list shows what its answer needs of an object", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  const upload = uploadOf(`${PREFIX}key`, bytesOf("hello"), { "content-type": "text/plain" });
  const stored = await ring.run(parts["a"]!.objects.put(upload, {}));
  const { objects, prefixes, next } = await list(ring, parts["b"]!);
  assert.ok(stored.kind === "stored");
  const { size, sha256 } = stored.manifest;
  assert.deepEqual(
    objects.map(({ name, version, object }) => ({ name, version, object })),
    [{
      name: `${PREFIX}key`,
      version: 1,
      object: { size, sha256, modifiedMs: stored.modifiedMs, contentType: "text/plain" },
    }],
  );
  assert.deepEqual([prefixes, next], [[], null]);
});

test("Listings.list shows an object whose write ended though one replica has not got it", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  for (const missing of IDS) {
    const heal = ring.network.rule(({ request, to }) =>
      to === missing && (request.type === "accept" || request.type === "prepare") ? { lost: true } : undefined
    );
    const writer = IDS.find((id) => id !== missing)!;
    await put(ring, parts[writer]!, `${PREFIX}not at ${missing}`);
    heal();
  }
  for (const id of IDS) {
    assert.deepEqual(await keys(ring, parts[id]!), ["not at a", "not at b", "not at c"], `at ${id}`);
  }
});

for (const down of IDS) {
  test(`Listings.list needs no more than a majority: ${down} is gone`, async () => {
    const { ring, parts } = await openParts({ ids: IDS });
    for (let n = 0; n < 20; n++) {
      await put(ring, parts[IDS[n % 3]!]!, `${PREFIX}${String(n).padStart(2, "0")}`);
    }
    ring.network.refuse(down);
    const asked = IDS.find((id) => id !== down)!;
    assert.equal((await keys(ring, parts[asked]!)).length, 20);
  });
}

test("Listings.list is not held up by a node that hangs", async () => {
  const { ring, parts } = await openParts({ ids: ["a", "b", "c", "d"] });
  await put(ring, parts["a"]!, `${PREFIX}key`);
  await ring.clock.advance(100);
  ring.network.hang("d");
  const begunMs = ring.clock.monotonicMs();
  assert.deepEqual(await keys(ring, parts["a"]!), ["key"]);
  assert.ok(ring.clock.monotonicMs() - begunMs < 100);
});

test("Listings.list is no-quorum when some partition's majority is gone", async () => {
  const { ring, parts } = await openParts({ ids: ["a", "b", "c", "d"] });
  ring.network.refuse("c");
  ring.network.refuse("d");
  await assert.rejects(list(ring, parts["a"]!), { code: "no-quorum" });
});

test("Listings.list does not show what was deleted, though one replica still holds it", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  await put(ring, parts["a"]!, `${PREFIX}gone`);
  await ring.clock.advance(100);
  const heal = ring.network.refuse("c");
  await ring.run(parts["a"]!.objects.delete(`${PREFIX}gone`, {}));
  heal();
  for (const id of IDS) assert.deepEqual(await keys(ring, parts[id]!), [], `at ${id}`);
});

test("Listings.list: a half-finished delete hides nothing that a read would still show, and once hidden stays so", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  await put(ring, parts["a"]!, `${PREFIX}key`);
  await ring.clock.advance(100);
  const heal = ring.network.rule(({ request, to }) =>
    request.type === "accept" && to !== "a" ? { lost: true } : undefined
  );
  await assert.rejects(ring.run(parts["a"]!.objects.delete(`${PREFIX}key`, {})), { code: "outcome-unknown" });
  heal();
  // Only a holds the tombstone. b and c agree on the object, so whether it goes depends on who is asked first.
  const hidden = ring.network.refuse("a");
  assert.deepEqual(await keys(ring, parts["b"]!), ["key"]);
  hidden();
  let gone = false;
  for (const id of [...IDS, ...IDS]) {
    const shown = (await keys(ring, parts[id]!)).length === 1;
    assert.ok(!(gone && shown), "it vanished and came back");
    if (!shown) gone = true;
    const located = await ring.run(
      parts[id]!.objects.locate(`${PREFIX}key`, { noCache: true, onlyIfCached: false }),
    );
    assert.equal(located.kind === "found" && gone, false, "a read shows what a listing did not");
    if (located.kind === "absent") gone = true;
  }
});

test("Listings.list: a half-finished write is shown only once it is committed", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  const heal = ring.network.rule(({ request, to }) =>
    request.type === "accept" && to !== "a" ? { lost: true } : undefined
  );
  await assert.rejects(ring.run(parts["a"]!.objects.put(uploadOf(`${PREFIX}key`, bytesOf("x")), {})), {
    code: "outcome-unknown",
  });
  heal();
  ring.network.refuse("c");
  assert.deepEqual(await keys(ring, parts["b"]!), ["key"], "a and b differ: it was finished");
  assert.equal((await ring.site("b").disk.catalog.register(`${PREFIX}key`))?.value?.version, 1);
});

test("Listings.list passes over expired objects, other buckets, and names that are no objects", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  await put(ring, parts["a"]!, `${PREFIX}expiring`, { expiresMs: ring.clock.wallMs() + 10_000 });
  await put(ring, parts["a"]!, `${PREFIX}staying`);
  await put(ring, parts["a"]!, objectName("bucket-2", "other"));
  await put(ring, parts["a"]!, objectName("_locks", "lock"));
  assert.deepEqual(await keys(ring, parts["b"]!), ["expiring", "staying"]);
  await ring.clock.advance(10_000);
  assert.deepEqual(await keys(ring, parts["b"]!), ["staying"]);
  const buckets = await list(ring, parts["c"]!, { prefix: "", delimiter: "\0" });
  assert.deepEqual([buckets.prefixes, buckets.objects], [["bucket\0", "bucket-2\0"], []]);
});

test("Listings.list goes on through pages that hold nothing but tombstones", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  for (let n = 0; n < 150; n++) await put(ring, parts["a"]!, `${PREFIX}${String(n).padStart(3, "0")}`);
  for (let n = 1; n < 149; n++) {
    await ring.run(parts["a"]!.objects.delete(`${PREFIX}${String(n).padStart(3, "0")}`, {}));
  }
  const first = await list(ring, parts["b"]!, { limit: 1 });
  assert.deepEqual([first.objects.map(({ name }) => name), first.next], [[`${PREFIX}000`], `${PREFIX}000`]);
  const second = await list(ring, parts["b"]!, { limit: 1, after: first.next! });
  assert.deepEqual([second.objects.map(({ name }) => name), second.next], [[`${PREFIX}149`], null]);
});

test("Listings.list: types too long for one message come in pages of so many bytes, also where a node lacks some", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  const contentType = `text/plain;a="${'"'.repeat(16_000)}"`;
  const stored = Array.from({ length: 240 }, (_, n) => `${PREFIX}${String(n).padStart(3, "0")}`);
  const store = async (name: Name): Promise<void> => {
    const upload = uploadOf(name, bytesOf("x"), { "content-type": contentType });
    await ring.run(parts["a"]!.objects.put(upload, {}));
  };
  for (const [n, name] of stored.entries()) if (n % 3 > 0) await store(name);
  await ring.clock.advance(100);
  const heal = ring.network.refuse("c");
  for (const [n, name] of stored.entries()) if (n % 3 === 0) await store(name);
  heal();
  const range = { prefix: PREFIX, after: "", limit: 1_000 };
  const pages = await Promise.all(
    IDS.map((id) => scanCatalog(ring.site(id).disk.catalog, range, parts[id]!.recovery)),
  );
  assert.notEqual(pages[0]!.entries.at(-1)!.name, pages[2]!.entries.at(-1)!.name);
  for (const { entries, done } of pages) {
    const bytes = JSON.stringify(entries).length;
    assert.ok(!done && bytes >= PAGE_BYTES_MAX && bytes < PAGE_BYTES_MAX + 40_000, `got ${bytes} bytes`);
  }
  const listed: Name[] = [];
  for (let after: Name | null = ""; after !== null;) {
    const page: ListPage = await list(ring, parts["c"]!, { after });
    const bytes = JSON.stringify(page).length;
    assert.ok(bytes < PAGE_BYTES_MAX + 40_000, `got a page of ${bytes} bytes`);
    listed.push(...page.objects.map(({ name }) => name));
    after = page.next;
  }
  assert.deepEqual(listed, stored);
});

test("Listings.list does not ask for ever where a node says the same page again and again", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  await put(ring, parts["a"]!, `${PREFIX}key`);
  const range = { prefix: PREFIX, after: "", limit: 1_000 };
  const whole = await scanCatalog(ring.site("b").disk.catalog, range, parts["b"]!.recovery);
  for (const entries of [whole.entries, []]) {
    for (const id of ["b", "c"]) {
      ring.network.listen(urlOf(id), {
        id,
        handler: () => Promise.resolve({ type: "scan", entries, done: false }),
        ringId: () => ring.layout.ringId,
      });
    }
    const after = entries.at(-1)?.name ?? "";
    await assert.rejects(list(ring, parts["a"]!, { after }), {
      code: "no-quorum",
      message: /wanted names after the last page/,
    });
  }
});

/** Keys that order, prefixes and delimiters could trip over. */
const KEY = fc.array(fc.constantFrom("a", "b", "/", "//", "\uffee", "😀", "é", "-"), {
  minLength: 1,
  maxLength: 5,
})
  .map((pieces) => pieces.join(""));

/** What a listing is by its definition: items in order, those after `after`, so many of them. */
function oracle(
  live: readonly string[],
  prefix: string,
  delimiter: string | undefined,
  after: string,
): string[] {
  const items = live.filter((key) => key.startsWith(prefix)).map((key) => {
    const at = delimiter === undefined ? -1 : key.indexOf(delimiter, prefix.length);
    return at === -1 ? key : `${key.slice(0, at + delimiter!.length)}…`;
  });
  return [...new Set(items)]
    .filter((item) => compareUtf8(item.endsWith("…") ? item.slice(0, -1) : item, after) > 0)
    .sort((a, b) => compareUtf8(a.replace(/…$/, ""), b.replace(/…$/, "")));
}

test("Listings.list page by page is what a sorted list with prefix, delimiter and start would be", async () => {
  let pages = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(KEY, { maxLength: 40 }),
      fc.array(fc.nat(39), { maxLength: 12 }),
      fc.oneof(fc.constant(""), KEY),
      fc.option(fc.constantFrom("/", "😀", "-", "a/"), { nil: undefined }),
      fc.oneof(fc.constant(""), KEY),
      fc.integer({ min: 1, max: 7 }),
      async (stored, deleted, prefix, delimiter, start, limit) => {
        const { ring, parts } = shared ??= await openParts({ ids: IDS });
        const bucket = `bucket-${pages++}\0`;
        for (const key of stored) await put(ring, parts["a"]!, bucket + key);
        const gone = new Set(deleted.map((n) => stored[n]).filter((key) => key !== undefined));
        for (const key of gone) await ring.run(parts["b"]!.objects.delete(bucket + key, {}));
        const live = stored.filter((key) => !gone.has(key));

        const items: string[] = [];
        for (let after: Name | null = bucket + start; after !== null;) {
          const page: ListPage = await list(ring, parts["c"]!, {
            prefix: bucket + prefix,
            delimiter,
            after,
            limit,
          });
          const here = [
            ...page.objects.map(({ name }) => name.slice(bucket.length)),
            ...page.prefixes.map((name) => `${name.slice(bucket.length)}…`),
          ].sort((a, b) => compareUtf8(a.replace(/…$/, ""), b.replace(/…$/, "")));
          assert.ok(here.length <= limit);
          assert.ok(page.next === null || here.length === limit, "a page that is not the last is full");
          items.push(...here);
          after = page.next;
        }
        assert.deepEqual(items, oracle(live, prefix, delimiter, start));
      },
    ),
    { numRuns: 120 },
  );
});
let shared: Awaited<ReturnType<typeof openParts>> | undefined;
