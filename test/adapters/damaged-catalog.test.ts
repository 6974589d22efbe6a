/** Bytes that change in a catalog's file: no register vanishes for it, whoever asks first, and what is known stays whole. */
import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Contradiction, type RegisterCells } from "../../src/adapters/catalog-cells.ts";
import { type Mended, NO_CHANGE } from "../../src/adapters/catalog-messages.ts";
import type { ReadQuestion } from "../../src/adapters/catalog-reads.ts";
import { toCells } from "../../src/adapters/catalog-rows.ts";
import { CatalogStore } from "../../src/adapters/catalog-store.ts";
import { openSqliteCatalog } from "../../src/adapters/sqlite-catalog.ts";
import { slotOf, SLOTS } from "../../src/core/partitions.ts";
import { DamagedRegister } from "../../src/errors.ts";
import type { Catalog } from "../../src/ports.ts";
import { row } from "../conformance/catalog.ts";
import { dividersOf, flip } from "../helpers/catalog-file.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const COUNT = 120;
/** Three buckets, so that one has neighbours on both sides; names long enough for pages of dividers. */
const rows = Array.from({ length: COUNT }, (_, index) => {
  const bucket = index < COUNT / 4 ? "a" : index < COUNT * 3 / 4 ? "b" : "c";
  return row(`${bucket}\0key-${String(index).padStart(3, "0")}-${"long".repeat(20)}`, 5);
});
const LEAF = rows[61]!.name;
/** The byte in which neighbours differ. */
const LAST_DIGIT = 8;

const directory = temporaryDirectory();
const base = join(directory.path, "base.db");
let copies = 0;

before(async () => {
  const catalog = await openSqliteCatalog({ path: base });
  await catalog.commit({ registers: rows });
  await catalog.close();
});
after(() => directory[Symbol.dispose]());

function damagedCopy(damage: (path: string) => void): string {
  const path = join(directory.path, `copy-${++copies}.db`);
  copyFileSync(base, path);
  damage(path);
  return path;
}

interface Opened extends AsyncDisposable {
  readonly catalog: Catalog;
  readonly mends: readonly Mended[];
}

async function opened(damage: (path: string) => void, maxBytes?: number): Promise<Opened> {
  const path = damagedCopy(damage);
  const mends: Mended[] = [];
  const onMended = (mended: Mended) => void mends.push(mended);
  const catalog = await openSqliteCatalog({ path, onMended, ...(maxBytes !== undefined && { maxBytes }) });
  return { catalog, mends, [Symbol.asyncDispose]: () => catalog.close() };
}

/** A name that divides the pages of that tree. */
function dividerOf(tree: "registers" | "registers_slot"): string {
  const [divider] = dividersOf(base, tree);
  assert.ok(divider, "the tree has a page of dividers");
  return rows.find(({ name }) => divider.includes(name))!.name;
}

const isDamaged = (name: string) => (error: unknown): boolean =>
  error instanceof DamagedRegister && error.register === name;
const everything = { prefix: "", after: "", limit: 2 * COUNT };
const all = (catalog: Catalog) => catalog.scan(everything, true);

/** What a node asks; by what means it does is in src/node. */
const QUESTIONS: Readonly<Record<string, (name: string) => Omit<ReadQuestion, "id">[]>> = {
  "one register": (name) => [{ type: "register", name }],
  "a bucket": () => [scan({ prefix: "b\0" })],
  "names that begin like it": (name) => [scan({ prefix: name.slice(0, LAST_DIGIT + 2) })],
  "all, page by page": () =>
    rows.flatMap(({ name }, index) => index % 8 === 0 ? [scan({ after: name, limit: 8 })] : []),
  "its slot": (name) => [slots(slotOf(name), slotOf(name) + 1)],
  "all slots": () => [slots(0, SLOTS)],
};

function scan(range: { prefix?: string; after?: string; limit?: number }): Omit<ReadQuestion, "id"> {
  return { type: "scan", range: { ...everything, ...range }, thorough: false } as Omit<ReadQuestion, "id">;
}

function slots(slot: number, end: number): Omit<ReadQuestion, "id"> {
  return { type: "slot-rows", slot, after: "", limit: 2 * COUNT, end } as Omit<ReadQuestion, "id">;
}

/** As SqliteCatalog and a ring do it together: what is contradicted is mended, what is damaged is written again. */
function answerOf(store: CatalogStore, question: Omit<ReadQuestion, "id">, written: Set<string>): unknown {
  for (let mends = 0;;) {
    try {
      return store.reads.answer({ id: 0, ...question } as ReadQuestion);
    } catch (error) {
      if (error instanceof Contradiction) {
        assert.equal(mends++, 0, "mended once, it is not contradicted again");
        assert.equal(store.mend(), undefined);
      } else if (error instanceof DamagedRegister) {
        assert.ok(!written.has(error.register), "written again, it is whole");
        written.add(error.register);
        const again = rows.filter(({ name }) => name === error.register).map(toCells);
        assert.deepEqual(store.commit([{ ...NO_CHANGE, registers: again }]), [undefined]);
      } else throw error;
    }
  }
}

for (const tree of ["registers", "registers_slot"] as const) {
  for (const where of ["leaf", "divider"] as const) {
    for (const [asked, questions] of Object.entries(QUESTIONS)) {
      test(`a flipped bit of a name in a ${where} of ${tree} hides nothing from who asks for ${asked}`, () => {
        const name = where === "leaf" ? LEAF : dividerOf(tree);
        const bytes = tree === "registers" ? [0, 4, LAST_DIGIT] : [-2, -1, 0, LAST_DIGIT];
        for (const at of bytes) {
          for (const bits of [0x02, 0x10, 0x80]) {
            const label = `byte ${at} ^ ${bits}`;
            const mends: Mended[] = [];
            const path = damagedCopy((copy) => flip(copy, tree, name, at, bits));
            const store = new CatalogStore({ path, access: "write" }, (mended) => mends.push(mended));
            const written = new Set<string>();
            for (const question of questions(name)) {
              assert.deepEqual(answerOf(store, question, written), oracle(question), label);
            }
            const walk = { ...scan({}), thorough: true } as Omit<ReadQuestion, "id">;
            assert.deepEqual(answerOf(store, walk, written), oracle(walk), label);
            assert.deepEqual([...written], tree === "registers" ? [name] : [], label);
            assert.equal(mends.length, 1, label);
            store.close();
          }
        }
      });
    }
  }
}

/** From the rows as they were. */
function oracle(question: Omit<ReadQuestion, "id">): unknown {
  const asked = question as ReadQuestion;
  const cells: RegisterCells[] = rows.map(toCells);
  if (asked.type === "register") return cells.find(([name]) => name === asked.name);
  if (asked.type === "scan") {
    const { prefix, after: from, limit } = asked.range;
    return cells.filter(([name]) => name.startsWith(prefix) && name > from).slice(0, limit);
  }
  assert.equal(asked.type, "slot-rows");
  const { slot, end } = asked as ReadQuestion & { type: "slot-rows" };
  return cells.filter(([name]) => slotOf(name) >= slot && slotOf(name) < end)
    .sort(([a], [b]) => slotOf(a) - slotOf(b) || (a < b ? -1 : 1));
}

test("a name flipped in the table is a damaged register until it is written again", async () => {
  await using damaged = await opened((path) => flip(path, "registers", LEAF, LAST_DIGIT, 8));
  const { catalog, mends } = damaged;
  await assert.rejects(catalog.register(LEAF), isDamaged(LEAF));
  assert.deepEqual(mends, [{ rows: COUNT - 1, damaged: 1 }]);
  for (const ask of [catalog.register(LEAF), catalog.slotRows(slotOf(LEAF), "", 9), all(catalog)]) {
    await assert.rejects(ask, isDamaged(LEAF));
  }
  assert.deepEqual(await catalog.register(rows[60]!.name), rows[60]!.state);
  await catalog.commit({ registers: [row(LEAF, 6)] });
  assert.deepEqual(await catalog.register(LEAF), row(LEAF, 6).state);
  await catalog.commit({ forgotten: [LEAF] });
  assert.equal(await catalog.register(LEAF), undefined);
  assert.deepEqual(await all(catalog), rows.filter(({ name }) => name !== LEAF));
  assert.equal(mends.length, 1);
});

test("a name that another's was flipped to is still nobody's", async () => {
  await using damaged = await opened((path) => flip(path, "registers", LEAF, LAST_DIGIT, 0x40));
  const wrong = LEAF.replace("061", "06q");
  assert.equal(await damaged.catalog.register(wrong), undefined);
  await assert.rejects(damaged.catalog.register(LEAF), isDamaged(LEAF));
  assert.equal(await damaged.catalog.register(wrong), undefined);
  assert.equal(damaged.mends.length, 1);
});

for (
  const [what, change, left] of [
    ["replaced", { registers: [row(LEAF, 6)] }, row(LEAF, 6).state],
    ["forgotten", { forgotten: [LEAF] }, undefined],
  ] as const
) {
  test(`a register whose entry in the index is wrong can be ${what}, and no other witness is lost`, async () => {
    const other = rows[55]!.name;
    await using damaged = await opened((path) => {
      flip(path, "registers_slot", LEAF, LAST_DIGIT, 8);
      flip(path, "registers", other, LAST_DIGIT, 8);
    });
    const { catalog, mends } = damaged;
    await Promise.all([catalog.commit({ documents: [{ key: "d", text: "t" }] }), catalog.commit(change)]);
    assert.deepEqual(mends, [{ rows: COUNT - 1, damaged: 1 }]);
    assert.deepEqual(await catalog.register(LEAF), left);
    assert.equal(await catalog.document("d"), "t");
    await assert.rejects(catalog.register(other), isDamaged(other));
    assert.equal(mends.length, 1);
  });
}

test("a thorough scan finds the row that the index does not know, which no other scan looks for", async () => {
  await using damaged = await opened((path) => flip(path, "registers_slot", LEAF, LAST_DIGIT, 8));
  assert.deepEqual(await damaged.catalog.scan(everything), rows);
  assert.deepEqual(damaged.mends, []);
  assert.deepEqual(await all(damaged.catalog), rows);
  assert.deepEqual(damaged.mends, [{ rows: COUNT, damaged: 0 }]);
});

test("of a register that was written anew while its row could not be found the latest is kept", async () => {
  const divider = dividerOf("registers");
  const at = rows.findIndex(({ name }) => name === divider);
  for (const [bits, name] of [[0x40, rows[at - 1]!.name], [0x10, rows[at + 1]!.name]] as const) {
    await using damaged = await opened((path) => flip(path, "registers", divider, 0, bits));
    const { catalog, mends } = damaged;
    // As a node does that has its state in memory.
    await catalog.commit({ registers: [row(name, 9)] });
    assert.deepEqual(mends, []);
    await assert.rejects(all(catalog), isDamaged(divider));
    assert.deepEqual(await catalog.register(name), row(name, 9).state);
    await catalog.commit({ registers: [row(divider, 5)] });
    assert.deepEqual(await all(catalog), rows.map((one) => one.name === name ? row(name, 9) : one));
  }
});

test("a row under a neighbour's name is not taken for the neighbour's, nor replaced in its stead", async () => {
  for (const bits of [1, 2, 4, 8]) {
    await using damaged = await opened((path) => flip(path, "registers", LEAF, LAST_DIGIT, bits));
    const { catalog } = damaged;
    const neighbour = LEAF.replace("061", `06${1 ^ bits}`);
    await catalog.commit({ registers: [row(neighbour, 9)] });
    await assert.rejects(catalog.scan(everything), isDamaged(LEAF));
    assert.deepEqual(await catalog.register(neighbour), row(neighbour, 9).state);
    await catalog.commit({ registers: [row(LEAF, 5)] });
    assert.deepEqual(await all(catalog), rows.map((one) => one.name === neighbour ? row(neighbour, 9) : one));
  }
});

test("where there is no room to make the registers anew, one is damaged and the others are served", async () => {
  await using damaged = await opened((path) => flip(path, "registers", LEAF, LAST_DIGIT, 8), 4096);
  const { catalog, mends } = damaged;
  await assert.rejects(catalog.register(LEAF), isDamaged(LEAF));
  assert.deepEqual(mends, []);
  assert.deepEqual(await catalog.register(rows[0]!.name), rows[0]!.state);
});
