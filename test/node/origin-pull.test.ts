/** One answer, stored while it comes and passed on: what a client that does not read costs, and whom. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Copy } from "../../src/node/origin-copies.ts";
import { type Kept, Pull, type PullDeps, type Reader } from "../../src/node/origin-pull.ts";
import { FakeClock } from "../helpers/fake-clock.ts";

const PART_BYTES = 64 << 10;
const PARTS = 64;
const COPY = {} as Copy;

interface Source extends AsyncIterableIterator<Uint8Array> {
  taken: number;
  left: boolean;
}

function source(parts = PARTS): Source {
  return {
    taken: 0,
    left: false,
    [Symbol.asyncIterator]() {
      return this;
    },
    next() {
      if (this.taken === parts) return Promise.resolve({ done: true, value: undefined });
      return Promise.resolve({ done: false, value: new Uint8Array(PART_BYTES).fill(this.taken++) });
    },
    return() {
      this.left = true;
      return Promise.resolve({ done: true, value: undefined });
    },
  };
}

const KEPT: Kept = { copy: COPY, open: () => Promise.reject(new Error("nobody asks")) };

async function readAll(body: AsyncIterable<Uint8Array>): Promise<Kept> {
  for await (const _ of body);
  return KEPT;
}

function pullOf(parts: Source, deps: Partial<PullDeps>): Pull {
  return new Pull(parts, { clock: new FakeClock(), store: undefined, isSure: true, ...deps });
}

async function bytesOf(reader: Reader): Promise<number[]> {
  const seen: number[] = [];
  for await (const part of reader.bytes()) seen.push(part[0]!);
  return seen;
}

const ALL = Array.from({ length: PARTS }, (_, n) => n);

/** What is kept of all parts: each by its number. */
function kept(copy: Copy | undefined, asked: number[]): Kept {
  return {
    copy,
    open: (from) => {
      asked.push(from);
      return Promise.resolve((async function* () {
        for (let at = from; at < PARTS * PART_BYTES; at += PART_BYTES) {
          yield new Uint8Array([at / PART_BYTES]);
        }
      })());
    },
  };
}

for (const copy of [COPY, undefined]) {
  const what = copy ? "" : ", overtaken or not";
  test(`Pull: who does not read goes on from what was stored${what}, and holds no more than its share meanwhile`, async () => {
    const from: number[] = [];
    const pull = pullOf(source(), { store: async (body) => (await readAll(body), kept(copy, from)) });
    const late = pull.join();
    assert.equal(await pull.stored, copy);
    await pull.over;
    assert.equal(pull.join(), undefined, "the beginning has gone by");
    for (const reader of [pull.first, late!]) assert.deepEqual(await bytesOf(reader), ALL);
    assert.equal(from.length, 2);
    for (const offset of from) {
      assert.ok(offset > 0 && offset <= 512 << 10, `${offset} bytes waited in memory`);
    }
  });
}

test("Pull: where it may be too much to be stored, nobody is cut when it is", async () => {
  const parts = source();
  const pull = pullOf(parts, {
    isSure: false,
    store: async (body) => {
      for await (const _ of body) if (parts.taken === PARTS / 2) throw new Error("too much");
      return KEPT;
    },
  });
  const bytes = pull.first.bytes();
  await bytes.next();
  await new FakeClock().settle();
  assert.ok(parts.taken > 1 && parts.taken < 10, `${parts.taken} parts were taken for one`);
  let count = 1;
  for await (const _ of bytes) count++;
  assert.equal(count, PARTS);
  assert.equal(await pull.stored, undefined);
});

test("Pull: others need not wait for what slow readers hold up, and its memory is not theirs for long", async () => {
  const clock = new FakeClock();
  const parts = source();
  let store: "under way" | "given up" = "under way";
  const pull = pullOf(parts, {
    clock,
    isSure: false,
    store: async (body) => {
      try {
        return await readAll(body);
      } finally {
        store = "given up";
      }
    },
  });
  let heldUp = false;
  void pull.soon.then(() => heldUp = true);
  await clock.advance(4_000);
  assert.equal(heldUp, false, "for a while all wait");
  await clock.advance(2_000);
  assert.deepEqual([heldUp, pull.isStored, store], [true, false, "under way"]);
  await clock.advance(13_000);
  assert.equal(store, "under way");
  await clock.advance(2_000);
  assert.deepEqual([store, pull.isStored, await pull.stored], ["given up", true, undefined]);
  assert.deepEqual(await bytesOf(pull.first), ALL, "who is slow has all of it");
  await pull.over;
  assert.equal(clock.pending, 0);
});

test("Pull: a reader that is slow but goes on sets the pace, and all of it is stored", async () => {
  const clock = new FakeClock();
  const pull = pullOf(source(), { clock, isSure: false, store: readAll });
  const seen: number[] = [];
  for await (const part of pull.first.bytes()) {
    seen.push(part[0]!);
    await clock.advance(1_000);
  }
  assert.deepEqual([seen, await pull.stored], [ALL, COPY]);
});

test("Pull: where nothing is stored the slowest reader sets the pace", async () => {
  const parts = source();
  const pull = pullOf(parts, {});
  const bytes = pull.first.bytes();
  await bytes.next();
  for (let turn = 0; turn < 100; turn++) await Promise.resolve();
  assert.ok(parts.taken > 1 && parts.taken < 10, `${parts.taken} parts were taken for one`);
  let count = 1;
  for await (const _ of bytes) count++;
  assert.equal(count, PARTS);
  assert.equal(await pull.stored, undefined);
});

test("Pull: where storing fails all go on, and have everything", async () => {
  const pull = pullOf(source(), {
    store: async (body) => {
      for await (const _ of body) throw new Error("the disk is full");
      return KEPT;
    },
  });
  const other = pull.join()!;
  assert.deepEqual(await Promise.all([bytesOf(pull.first), bytesOf(other)]), [ALL, ALL]);
  assert.equal(await pull.stored, undefined);
});

test("Pull: what nobody reads is stored to its end, and left at once where it is not stored", async () => {
  const parts = source();
  const stored = pullOf(parts, { store: readAll });
  stored.first.leave();
  assert.equal(await stored.stored, COPY);
  assert.equal(parts.taken, PARTS);
  const unwanted = source();
  const pull = pullOf(unwanted, {});
  pull.first.leave();
  await pull.over;
  assert.ok(unwanted.left && unwanted.taken < PARTS);
});
