/** What every Catalog must do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compareUtf8 } from "../../src/core/names.ts";
import { slotOf } from "../../src/core/partitions.ts";
import type { RegisterValue } from "../../src/core/register.ts";
import { isAtollError } from "../../src/errors.ts";
import type { Catalog, RegisterRow } from "../../src/ports.ts";

export interface OpenCatalog {
  readonly catalog: Catalog;
  close(): Promise<void>;
}

export interface OpenDurableCatalog extends OpenCatalog {
  /** Closes, and opens what was kept. */
  readonly reopen: () => Promise<Catalog>;
}

export function catalogConformance(name: string, open: () => Promise<OpenCatalog>): void {
  const check = checker(name, open);
  registers(check);
  scans(check);
  slots(check);
  owed(check);
  theRest(check);
}

/** What a Catalog that outlives its process must do besides. */
export function catalogDurability(name: string, open: () => Promise<OpenDurableCatalog>): void {
  durability(checker(name, open));
}

type Check<O extends OpenCatalog = OpenCatalog> = (
  criterion: string,
  body: (opened: O) => Promise<void>,
) => void;

function checker<O extends OpenCatalog>(name: string, open: () => Promise<O>): Check<O> {
  return (criterion, body) =>
    void test(`${name} ${criterion}`, async () => {
      const opened = await open();
      try {
        await body(opened);
      } finally {
        await opened.close();
      }
    });
}

function registers(check: Check): void {
  check("gives back a register as it was committed", async ({ catalog }) => {
    const rows = [
      row("photos\0a b/ü😀", 1),
      { ...row("photos\0gone", 2), state: { ...row("", 2).state, value: tombstone(3) } },
      { name: "photos\0promised", state: { ...row("", 5).state, value: null } },
    ];
    await catalog.commit({ registers: rows });
    for (const { name, state } of rows) assert.deepEqual(await catalog.register(name), state);
    assert.equal(await catalog.register("photos\0a b"), undefined);
  });

  check("reads what was committed last", async ({ catalog }) => {
    for (let counter = 1; counter <= 20; counter++) {
      await catalog.commit({ registers: [row("b\0k", counter)] });
      assert.deepEqual(await catalog.register("b\0k"), row("b\0k", counter).state);
    }
  });

  check("applies concurrent commits of one name in their order", async ({ catalog }) => {
    const counters = Array.from({ length: 100 }, (_, index) => index + 1);
    await Promise.all(counters.map((counter) => catalog.commit({ registers: [row("b\0k", counter)] })));
    assert.deepEqual(await catalog.register("b\0k"), row("b\0k", 100).state);
  });

  check("keeps all of many concurrent commits", async ({ catalog }) => {
    const rows = Array.from(
      { length: 300 },
      (_, index) => row(`b\0key-${String(index).padStart(4, "0")}`, index + 1),
    );
    await Promise.all(rows.map((one) => catalog.commit({ registers: [one] })));
    assert.deepEqual(await catalog.scan({ prefix: "b\0", after: "", limit: 1000 }), rows);
  });

  check(
    "applies all of a change or nothing, and spares the changes around a bad one",
    async ({ catalog }) => {
      const bad = catalog.commit({
        documents: [{ key: "bad", text: "x" }],
        registers: [row("b\0\ud800", 1)],
      });
      const good = Array.from(
        { length: 5 },
        (_, index) => catalog.commit({ registers: [row(`b\0${index}`, 1)] }),
      );
      await assert.rejects(bad, (error) => isAtollError(error, "internal"));
      await Promise.all(good);
      assert.equal(await catalog.document("bad"), undefined);
      assert.equal((await catalog.scan({ prefix: "b\0", after: "", limit: 9 })).length, 5);
    },
  );
}

function scans(check: Check): void {
  check("scan() is in order of UTF-8 bytes", async ({ catalog }) => {
    // UTF-16 puts the emoji before U+FFFD; UTF-8 after it. NUL is below everything, DEL and é are on either side of 0x80.
    const names = [
      "a\0x",
      "a\0x\0",
      "a\0x\0y",
      "a\0x!",
      "a\0x\x7f",
      "a\0xé",
      "a\0x\uFFFD",
      "a\0x😀",
      "a-b\0x",
      "b\0",
    ];
    await catalog.commit({ registers: names.map((name) => row(name, 1)).reverse() });
    const found = await catalog.scan({ prefix: "", after: "", limit: 100 });
    assert.deepEqual(found.map(({ name }) => name), names);
  });

  check("scan() leaves out registers that were only promised, and shows tombstones", async ({ catalog }) => {
    const gone = { ...row("b\0gone", 2), state: { ...row("", 2).state, value: tombstone(1) } };
    const promised = { name: "b\0promised", state: { ...row("", 2).state, value: null } };
    await catalog.commit({ registers: [gone, promised] });
    assert.deepEqual(await catalog.scan({ prefix: "b\0", after: "", limit: 10 }), [gone]);
  });

  check("scan() equals a filter of the sorted names", async ({ catalog }) => {
    const part = fc.string({
      unit: fc.constantFrom("a", "b", "/", "\0", "é", "\uFFFD", "😀", "\u{10FFFF}"),
      maxLength: 4,
    });
    const names = [...new Set(fc.sample(part, { numRuns: 300, seed: 7 }))].filter((name) => name !== "");
    await catalog.commit({ registers: names.map((name) => row(name, 1)) });
    const sorted = names.toSorted(compareUtf8);
    const range = fc.record({
      prefix: part,
      after: part,
      afterPrefix: part,
      limit: fc.integer({ min: 1, max: 400 }),
    }, { requiredKeys: ["prefix", "after", "limit"] });
    await fc.assert(
      fc.asyncProperty(range, async ({ prefix, after, afterPrefix, limit }) => {
        const wanted = sorted.filter((name) =>
          name.startsWith(prefix) && (after === "" || compareUtf8(name, after) > 0) &&
          !(afterPrefix && name.startsWith(afterPrefix))
        ).slice(0, limit);
        const given = afterPrefix === undefined
          ? { prefix, after, limit }
          : { prefix, after, afterPrefix, limit };
        assert.deepEqual((await catalog.scan(given)).map(({ name }) => name), wanted);
      }),
      { numRuns: 150 },
    );
  });
}

function slots(check: Check): void {
  const [one, two, other] = namesOfSlots();

  check("lists a slot's registers in order of name, promised ones too", async ({ catalog }) => {
    const rows = [row(one, 1), { name: two, state: { ...row("", 5).state, value: null } }];
    rows.sort((a, b) => compareUtf8(a.name, b.name));
    await catalog.commit({ registers: [...rows.toReversed(), row(other, 1)] });
    const slot = slotOf(one);
    assert.deepEqual(await catalog.slotRows(slot, "", 9), rows);
    assert.deepEqual(await catalog.slotRows(slot, "", 1), rows.slice(0, 1));
    assert.deepEqual(await catalog.slotRows(slot, rows[0]!.name, 9), rows.slice(1));
    assert.deepEqual(await catalog.slotRows(slot, rows[1]!.name, 9), []);
    // Of several slots: in order of slot, then of name, and `after` speaks of the first alone.
    const [low, high] = [slot, slotOf(other)].sort((a, b) => a - b) as [number, number];
    const all = slot < high ? [...rows, row(other, 1)] : [row(other, 1), ...rows];
    assert.deepEqual(await catalog.slotRows(low, "", 9, high + 1), all);
    assert.deepEqual(await catalog.slotRows(low, "", 2, high + 1), all.slice(0, 2));
    assert.deepEqual(await catalog.slotRows(low, all[0]!.name, 9, high + 1), all.slice(1));
    assert.deepEqual(
      await catalog.slotRows(low, "", 9, high),
      all.filter(({ name }) => slotOf(name) === low),
    );
    await catalog.commit({ registers: [row(one, 4)] });
    assert.equal((await catalog.slotRows(slot, "", 9)).length, 2);
  });

  check(
    "says which slots changed since their digest was made, and no earlier digest hides it",
    async ({ catalog }) => {
      await catalog.commit({ registers: [row(one, 1), row(other, 1)] });
      const changed = await catalog.changedSlots(9);
      assert.deepEqual(new Set(changed.map(({ slot }) => slot)), new Set([slotOf(one), slotOf(other)]));
      assert.equal((await catalog.changedSlots(1)).length, 1);
      await catalog.commit({
        digests: changed.map(({ slot, turn }) => ({ slot, turn, digest: "a".repeat(64) })),
      });
      assert.deepEqual(await catalog.changedSlots(9), []);
      assert.equal((await catalog.digests()).length, 2);

      await catalog.commit({ registers: [row(two, 1)] });
      const [again, ...more] = await catalog.changedSlots(9);
      assert.equal(again?.slot, slotOf(two));
      assert.deepEqual(more, []);
      // Made of what was there before another change.
      await catalog.commit({ registers: [row(one, 2)] });
      await catalog.commit({ digests: [{ ...again, digest: "b".repeat(64) }] });
      assert.deepEqual((await catalog.changedSlots(9)).map(({ slot }) => slot), [slotOf(one)]);
      assert.equal(
        (await catalog.digests()).find(({ slot }) => slot === slotOf(one))?.digest,
        "b".repeat(64),
      );
    },
  );

  check("forgets a register, which changes its slot, and keeps the higher floor", async ({ catalog }) => {
    await catalog.commit({ registers: [row(one, 1), row(two, 1)] });
    for (const { slot, turn } of await catalog.changedSlots(9)) {
      await catalog.commit({ digests: [{ slot, turn, digest: "a".repeat(64) }] });
    }
    const slot = slotOf(one);
    const floor = (version: number, counter: number, node: string) => ({
      slot,
      floor: { version, promised: { counter, node } },
    });
    await catalog.commit({ forgotten: [one], floors: [floor(3, 7, "b")] });
    assert.equal(await catalog.register(one), undefined);
    assert.deepEqual((await catalog.scan({ prefix: "", after: "", limit: 9 })).map(({ name }) => name), [
      two,
    ]);
    assert.deepEqual((await catalog.slotRows(slot, "", 9)).map(({ name }) => name), [two]);
    assert.deepEqual((await catalog.changedSlots(9)).map((changed) => changed.slot), [slot]);
    await catalog.commit({ floors: [floor(5, 7, "a")] });
    assert.deepEqual(await catalog.floors(), [floor(5, 7, "b")]);
    await catalog.commit({ floors: [floor(1, 7, "c")] });
    assert.deepEqual(await catalog.floors(), [floor(5, 7, "c")]);
    await catalog.commit({ floors: [floor(9, 2, "z")] });
    assert.deepEqual(await catalog.floors(), [floor(9, 7, "c")]);
    await catalog.commit({ floors: [floor(9, 10, "a")] });
    assert.deepEqual(await catalog.floors(), [floor(9, 10, "a")]);
  });
}

function owed(check: Check): void {
  const id = (digit: string) => digit.repeat(64);

  check("lists what is owed in the order in which it was put, each once", async ({ catalog }) => {
    const put = (node: string, name: string, chunk?: string) =>
      catalog.commit({ owed: [{ node, name, chunk, settled: false }] });
    await put("n1", "b\0z");
    await put("n2", "b\0k", id("a"));
    await put("n1", "b\0a");
    await put("n1", "b\0z");
    await put("n1", "b\0z", id("b"));
    assert.deepEqual(await catalog.owedTo("n1", "changes", 9), [
      { node: "n1", name: "b\0z" },
      { node: "n1", name: "b\0a" },
    ]);
    assert.deepEqual(await catalog.owedTo("n1", "changes", 1), [{ node: "n1", name: "b\0z" }]);
    assert.deepEqual(await catalog.owedTo("n1", "chunks", 9), [{ node: "n1", name: "b\0z", chunk: id("b") }]);
    const counts = (await catalog.owedCounts()).sort((a, b) => (a.node < b.node ? -1 : 1));
    assert.deepEqual(counts, [{ node: "n1", changes: 2, chunks: 1 }, { node: "n2", changes: 0, chunks: 1 }]);
    assert.deepEqual(await catalog.areOwed([id("a"), id("c"), id("b")]), [true, false, true]);
  });

  check(
    "strikes off what is settled, and moves to the end what is put again in one change",
    async ({ catalog }) => {
      const entries = ["b\0x", "b\0y"].map((name) => ({ node: "n", name }));
      await catalog.commit({ owed: entries.map((entry) => ({ ...entry, settled: false })) });
      await catalog.commit({
        owed: [{ ...entries[0]!, settled: true }, { ...entries[0]!, settled: false }],
      });
      assert.deepEqual(await catalog.owedTo("n", "changes", 9), entries.toReversed());
      await catalog.commit({ owed: entries.map((entry) => ({ ...entry, settled: true })) });
      assert.deepEqual(await catalog.owedTo("n", "changes", 9), []);
      assert.deepEqual(await catalog.owedCounts(), []);
    },
  );

  check("lists small chunks in order of id", async ({ catalog }) => {
    const chunks = ["c", "a", "b"].map((digit, i) => ({ id: id(digit), bytes: new Uint8Array(i) }));
    await catalog.commit({ chunks });
    assert.deepEqual(await catalog.listChunks("", 9), [
      { id: id("a"), sizeBytes: 1 },
      { id: id("b"), sizeBytes: 2 },
      { id: id("c"), sizeBytes: 0 },
    ]);
    assert.deepEqual(await catalog.listChunks(id("a"), 1), [{ id: id("b"), sizeBytes: 2 }]);
    assert.deepEqual(await catalog.listChunks(id("c"), 1), []);
  });
}

/** Two of one slot, and one of another. */
function namesOfSlots(): [string, string, string] {
  const seen = new Map<number, string>();
  for (let n = 0;; n++) {
    const name = `b\0key-${n}`;
    const twin = seen.get(slotOf(name));
    if (twin !== undefined) return [twin, name, [...seen.values()].find((other) => other !== twin)!];
    seen.set(slotOf(name), name);
  }
}

function theRest(check: Check): void {
  const id = (digit: string) => digit.repeat(64);

  check("keeps small chunks of up to 64 KiB, the first of an id", async ({ catalog }) => {
    const bytes = Uint8Array.from({ length: 65_536 }, (_, index) => index * 31);
    await catalog.commit({ chunks: [{ id: id("a"), bytes }, { id: id("b"), bytes: new Uint8Array() }] });
    await catalog.commit({ chunks: [{ id: id("a"), bytes: new Uint8Array(3) }] });
    assert.deepEqual(new Uint8Array((await catalog.chunk(id("a")))!), bytes);
    assert.equal((await catalog.chunk(id("b")))!.length, 0);
    assert.equal(await catalog.chunk(id("c")), undefined);
    assert.deepEqual(await catalog.hasChunks([id("b"), id("c"), id("a")]), [true, false, true]);
    await catalog.deleteChunk(id("a"));
    assert.deepEqual(await catalog.hasChunks([id("a")]), [false]);
    assert.equal(await catalog.chunk(id("a")), undefined);
  });

  check("leaves the caller's bytes alone, and its neighbours in the same buffer", async ({ catalog }) => {
    const pool = Uint8Array.from({ length: 100 }, (_, index) => index);
    const bytes = pool.subarray(10, 20);
    const committed = catalog.commit({ chunks: [{ id: id("a"), bytes }] });
    assert.equal(pool.length, 100);
    await committed;
    assert.deepEqual([...bytes], [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    assert.deepEqual([...(await catalog.chunk(id("a")))!], [...bytes]);
  });

  check("lists incomplete registers in the order in which they were put", async ({ catalog }) => {
    const put = (name: string, version: number | null) => catalog.commit({ incomplete: [{ name, version }] });
    await put("b\0z", 1);
    await put("b\0a", 2);
    await put("b\0m", 3);
    assert.deepEqual(await catalog.incomplete(2), [{ name: "b\0z", version: 1 }, {
      name: "b\0a",
      version: 2,
    }]);
    await put("b\0z", 4);
    await put("b\0m", null);
    await put("b\0never", null);
    assert.deepEqual(await catalog.incomplete(9), [{ name: "b\0a", version: 2 }, {
      name: "b\0z",
      version: 4,
    }]);
  });

  check("keeps documents, whatever is in them", async ({ catalog }) => {
    await catalog.commit({
      documents: [{ key: "layout", text: "1" }, { key: "cut", text: "before\0after 😀" }],
    });
    await catalog.commit({ documents: [{ key: "layout", text: "2" }] });
    assert.equal(await catalog.document("layout"), "2");
    assert.equal(await catalog.document("cut"), "before\0after 😀");
    assert.equal(await catalog.document("other"), undefined);
  });

  check("close() waits for commits under way, and then nothing is answered any more", async ({ catalog }) => {
    const commits = Array.from(
      { length: 50 },
      (_, index) => catalog.commit({ registers: [row(`b\0${index}`, 1)] }),
    );
    const closed = catalog.close();
    const late = catalog.commit({ registers: [row("b\0late", 1)] });
    await assert.rejects(late, (error) => isAtollError(error, "internal"));
    await Promise.all(commits);
    await closed;
    await assert.rejects(catalog.register("b\0" + 1), (error) => isAtollError(error, "internal"));
    await catalog.close();
  });
}

function durability(check: Check<OpenDurableCatalog>): void {
  check("has everything after it was closed and opened again", async ({ catalog, reopen }) => {
    const bytes = new Uint8Array(1000).fill(9);
    const id = "c".repeat(64);
    await catalog.commit({
      registers: [row("b\0k", 7)],
      chunks: [{ id, bytes }],
      incomplete: [{ name: "b\0k", version: 7 }],
      documents: [{ key: "d", text: "t" }],
      forgotten: ["b\0gone"],
      floors: [{ slot: 5, floor: { version: 2, promised: { counter: 3, node: "n" } } }],
      owed: [{ node: "n", name: "b\0k", settled: false }, {
        node: "n",
        name: "b\0k",
        chunk: id,
        settled: false,
      }],
    });
    const changed = await catalog.changedSlots(9);
    await catalog.commit({ digests: [{ ...changed[0]!, digest: id }] });
    const again = await reopen();
    assert.deepEqual(await again.register("b\0k"), row("b\0k", 7).state);
    assert.deepEqual([...(await again.chunk(id))!], [...bytes]);
    assert.deepEqual(await again.incomplete(9), [{ name: "b\0k", version: 7 }]);
    assert.equal(await again.document("d"), "t");
    assert.deepEqual(await again.floors(), [{
      slot: 5,
      floor: { version: 2, promised: { counter: 3, node: "n" } },
    }]);
    assert.deepEqual(await again.owedCounts(), [{ node: "n", changes: 1, chunks: 1 }]);
    assert.deepEqual(await again.changedSlots(9), changed.slice(1));
    assert.deepEqual(await again.digests(), [{ slot: changed[0]!.slot, digest: id }]);
    // A turn is never used twice: the old digest must not pass for one of a later change.
    await again.commit({ registers: [row("b\0k", 8)] });
    const turns = (await again.changedSlots(9)).map(({ turn }) => turn);
    assert.ok(Math.max(...turns) > Math.max(...changed.map(({ turn }) => turn)));
  });
}

/** A register that accepted an object in ballot `counter`. */
export function row(name: string, counter: number): RegisterRow {
  const ballot = { counter, node: "node-ü" };
  return {
    name,
    state: { promised: { ...ballot, counter: counter + 1 }, accepted: ballot, value: object(counter) },
  };
}

function object(version: number): RegisterValue {
  const sha256 = "0123456789abcdef".repeat(4);
  const headers = { "content-type": "text/plain", "atoll-meta-a": "ü" };
  const manifest = {
    format: 1,
    size: 5,
    sha256,
    layout: "list",
    chunks: [sha256],
    headers,
    expiresMs: 9e12,
  } as const;
  return {
    version,
    modifiedMs: 1e12,
    changeId: "c1",
    ancestors: ["c0"],
    content: { kind: "object", manifest },
  };
}

function tombstone(version: number): RegisterValue {
  return { version, modifiedMs: 1e12, changeId: "c2", ancestors: [], content: { kind: "tombstone" } };
}
