/** One answer, stored while it comes and passed on: what a client that does not read costs, and whom. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Copy } from "../../src/node/origin-copies.ts";
import { Pull, type Reader, type Stored } from "../../src/node/origin-pull.ts";

const PART_BYTES = 64 << 10;
const PARTS = 64;
const COPY = {} as Copy;
const STORED = { copy: COPY } as Stored;

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

async function readAll(body: AsyncIterable<Uint8Array>): Promise<Stored> {
  for await (const _ of body);
  return STORED;
}

async function bytesOf(reader: Reader): Promise<number[]> {
  const seen: number[] = [];
  for await (const part of reader.bytes()) seen.push(part[0]!);
  return seen;
}

const ALL = Array.from({ length: PARTS }, (_, n) => n);

test("Pull: who does not read goes on from what was stored, and holds no more than its share meanwhile", async () => {
  const from: number[] = [];
  const pull = new Pull(source(), readAll, async (stored, offset) => {
    assert.equal(stored, STORED);
    from.push(offset);
    return (async function* () {
      for (let at = offset; at < PARTS * PART_BYTES; at += PART_BYTES) {
        yield new Uint8Array([at / PART_BYTES]);
      }
    })();
  });
  const late = pull.join();
  assert.equal(await pull.stored, COPY);
  await pull.over;
  assert.equal(pull.join(), undefined, "the beginning has gone by");
  for (const reader of [pull.first, late!]) assert.deepEqual(await bytesOf(reader), ALL);
  assert.equal(from.length, 2);
  for (const offset of from) assert.ok(offset > 0 && offset <= 512 << 10, `${offset} bytes waited in memory`);
});

test("Pull: where nothing is stored the slowest reader sets the pace", async () => {
  const parts = source();
  const pull = new Pull(parts, undefined, () => Promise.reject(new Error("nothing is stored")));
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
  const pull = new Pull(source(), async (body) => {
    for await (const _ of body) throw new Error("the disk is full");
    return STORED;
  }, () => Promise.reject(new Error("nothing is stored")));
  const other = pull.join()!;
  assert.deepEqual(await Promise.all([bytesOf(pull.first), bytesOf(other)]), [ALL, ALL]);
  assert.equal(await pull.stored, undefined);
});

test("Pull: what nobody reads is stored to its end, and left at once where it is not stored", async () => {
  const parts = source();
  const stored = new Pull(parts, readAll, () => Promise.reject(new Error("nobody asks")));
  stored.first.leave();
  assert.equal(await stored.stored, COPY);
  assert.equal(parts.taken, PARTS);
  const unwanted = source();
  const pull = new Pull(unwanted, undefined, () => Promise.reject(new Error("nobody asks")));
  pull.first.leave();
  await pull.over;
  assert.ok(unwanted.left && unwanted.taken < PARTS);
});
