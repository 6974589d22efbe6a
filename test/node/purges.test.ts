import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRequestDirectives } from "../../src/core/freshness.ts";
import { objectName } from "../../src/core/names.ts";
import type { Purge } from "../../src/core/purge.ts";
import { MemoryRing } from "../helpers/memory-ring.ts";
import { bytesOfKind } from "../helpers/stored-objects.ts";
import { uploadOf } from "../helpers/uploads.ts";

const IDS = ["a", "b", "c", "d"];
const NONE: Purge = { names: [], prefixes: [], tagged: [], soft: false };
const USUAL = parseRequestDirectives(undefined);
const KEYS = ["img/1", "img/2", "text"];

/** Three objects that every node has in its cache, fresh for a minute and usable stale for another. */
async function open(): Promise<{ ring: MemoryRing; uses: (key: string) => Promise<string[]> }> {
  const ring = await MemoryRing.open({ ids: IDS });
  for (const [n, key] of KEYS.entries()) {
    const headers = {
      "cache-control": "max-age=60, stale-while-revalidate=60",
      "cache-tag": key === "text" ? "news" : "pictures",
    };
    const upload = uploadOf(objectName("abc", key), bytesOfKind(n, 100), headers);
    assert.equal((await ring.run(ring.node("a").objects.put(upload, {}))).kind, "stored");
  }
  await ring.clock.advance(1_000);
  const uses = (key: string): Promise<string[]> =>
    Promise.all(IDS.map(async (id) => {
      const found = await ring.run(ring.node(id).objects.locate(objectName("abc", key), USUAL));
      assert.ok(found.kind === "found");
      const { known } = found;
      return known.kind === "asked" ? "asked" : known.ttlSeconds > 0 ? "fresh" : "stale";
    }));
  for (const key of KEYS) await uses(key);
  for (const key of KEYS) assert.deepEqual(await uses(key), ["fresh", "fresh", "fresh", "fresh"]);
  return { ring, uses };
}

const CASES: readonly (readonly [what: string, purge: Purge, purged: readonly string[]])[] = [
  ["keys", { ...NONE, names: [objectName("abc", "img/1"), objectName("abc", "absent")] }, ["img/1"]],
  ["a prefix", { ...NONE, prefixes: [objectName("abc", "img/")] }, ["img/1", "img/2"]],
  ["a tag", { ...NONE, tagged: [{ bucket: "abc", tag: "news" }] }, ["text"]],
  ["a whole bucket", { ...NONE, prefixes: [objectName("abc", "")] }, KEYS],
  ["another bucket", { ...NONE, prefixes: [objectName("abd", "")] }, []],
];

for (const [what, purge, purged] of CASES) {
  test(`Purges.everywhere: of ${what} nothing is used without asking at any node, of all else everything`, async () => {
    const { ring, uses } = await open();
    try {
      const told = await ring.run(ring.node("b").purges.everywhere(purge));
      assert.deepEqual(told.map(({ node }) => node).toSorted(), IDS);
      assert.deepEqual(told.map((at) => "purged" in at && at.purged), IDS.map(() => purged.length));
      for (const key of KEYS) {
        const first = await uses(key);
        assert.deepEqual(first, IDS.map(() => purged.includes(key) ? "asked" : "fresh"), key);
        assert.deepEqual(await uses(key), IDS.map(() => "fresh"), "what was asked is fresh again");
      }
    } finally {
      ring.close();
    }
  });
}

test("Purges.everywhere, softly: what may be used stale is used stale once, and asked behind it", async () => {
  const { ring, uses } = await open();
  try {
    await ring.run(
      ring.node("d").purges.everywhere({ ...NONE, names: [objectName("abc", "text")], soft: true }),
    );
    assert.deepEqual(await uses("text"), ["stale", "stale", "stale", "stale"]);
    await ring.clock.advance(1_000);
    assert.deepEqual(await uses("text"), ["fresh", "fresh", "fresh", "fresh"]);
  } finally {
    ring.close();
  }
});

test("Purges.everywhere says who could not be told, and takes more names than one message holds", async () => {
  const { ring, uses } = await open();
  try {
    ring.network.refuse("c");
    const names = Array.from(
      { length: 2_500 },
      (_, n) => objectName("abc", n === 2_400 ? "text" : `absent ${n}`),
    );
    const told = await ring.run(ring.node("a").purges.everywhere({ ...NONE, names }));
    const byNode = new Map(told.map((at) => [at.node, at]));
    for (const id of ["a", "b", "d"]) assert.deepEqual(byNode.get(id), { node: id, purged: 1 });
    const silent = byNode.get("c");
    assert.ok(silent && "error" in silent && silent.error !== "");
    assert.equal((await uses("text"))[3], "asked");
  } finally {
    ring.close();
  }
});

test("Purges.everywhere: copies of what an origin answered are forgotten by name, softly too, and not counted", async () => {
  const ring = await MemoryRing.open({ ids: IDS });
  try {
    const name = objectName("_abc", "k");
    const upload = uploadOf(name, bytesOfKind(1, 100), {
      "cache-control": "max-age=60, stale-while-revalidate=60",
    });
    assert.equal((await ring.run(ring.node("a").objects.put(upload, {}))).kind, "stored");
    await ring.clock.advance(1_000);
    const known = (): Promise<string[]> =>
      Promise.all(IDS.map(async (id) => {
        const found = await ring.run(ring.node(id).objects.locate(name, USUAL));
        assert.ok(found.kind === "found");
        return found.known.kind;
      }));
    await known();
    assert.deepEqual(await known(), IDS.map(() => "fresh"));
    const told = await ring.run(ring.node("b").purges.everywhere({ ...NONE, names: [name], soft: true }));
    assert.deepEqual(told.map((at) => "purged" in at && at.purged), IDS.map(() => 0));
    assert.deepEqual(await known(), IDS.map(() => "asked"));
  } finally {
    ring.close();
  }
});
