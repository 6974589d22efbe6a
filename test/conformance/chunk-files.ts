/** What all ChunkFiles must do. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import type { ChunkId } from "../../src/core/manifest.ts";
import type { ChunkFiles } from "../../src/ports.ts";

export interface OpenChunkFiles {
  readonly files: ChunkFiles;
  /** Changes a byte of what lies under `id`. */
  readonly damage: (id: ChunkId) => Promise<void>;
  close(): Promise<void>;
}

export interface OpenDurableChunkFiles extends OpenChunkFiles {
  /** Opens the same files as another process would. */
  readonly reopen: () => Promise<ChunkFiles>;
}

type Check<O extends OpenChunkFiles = OpenChunkFiles> = (
  criterion: string,
  body: (opened: O) => Promise<void>,
) => void;

export function chunkFilesConformance(name: string, open: () => Promise<OpenChunkFiles>): void {
  const check = checker(name, open);
  wholeFiles(check);
  damagedFiles(check);
}

export function chunkFilesDurability(name: string, open: () => Promise<OpenDurableChunkFiles>): void {
  const check = checker(name, open);
  check("have what was put after they were opened again", async ({ files, reopen }) => {
    const chunks = [1, 2, 3].map(numberedChunk);
    await Promise.all(chunks.map(({ id, bytes }) => files.put(id, bytes)));
    const again = await reopen();
    for (const { id, bytes } of chunks) {
      assert.deepEqual(await read(again, id), bytes);
      await again.put(id, bytes);
      assert.deepEqual(await read(again, id), bytes);
    }
  });
}

function wholeFiles(check: Check): void {
  check("give back what was put, from nothing up to 1 MiB", async ({ files }) => {
    for (const sizeBytes of [0, 1, 24, 65_537, 1 << 20]) {
      const { id, bytes } = sizedChunk(sizeBytes);
      await files.put(id, bytes);
      assert.equal(await files.has(id), true);
      assert.deepEqual(await read(files, id), bytes);
    }
  });

  check("do not have what was never put, and pass over its removal", async ({ files }) => {
    const { id } = numberedChunk(1);
    assert.equal(await files.has(id), false);
    assert.deepEqual(await files.get(id), { kind: "missing" });
    await files.delete(id);
    await files.setAside(id);
  });

  check("take the same chunk twice, one after another and at once", async ({ files }) => {
    const { id, bytes } = sizedChunk(100_000);
    await Promise.all(Array.from({ length: 20 }, () => files.put(id, bytes)));
    await files.put(id, bytes);
    assert.deepEqual(await read(files, id), bytes);
  });

  check("keep many chunks put at once apart", async ({ files }) => {
    const chunks = Array.from({ length: 100 }, (_, index) => numberedChunk(index));
    await Promise.all(chunks.map(({ id, bytes }) => files.put(id, bytes)));
    await Promise.all(chunks.map(async ({ id, bytes }) => assert.deepEqual(await read(files, id), bytes)));
  });

  check(
    "take the bytes of a view, not of its whole buffer, and hand out bytes of one's own",
    async ({ files }) => {
      const pool = Uint8Array.from({ length: 300 }, (_, index) => index);
      const { id } = numberedChunk(1);
      await files.put(id, pool.subarray(100, 200));
      const first = await read(files, id);
      assert.deepEqual(first, pool.slice(100, 200));
      first.fill(0);
      assert.deepEqual(await read(files, id), pool.slice(100, 200));
    },
  );

  check("have a chunk no more after delete(), and again after another put", async ({ files }) => {
    const { id, bytes } = numberedChunk(1);
    await files.put(id, bytes);
    await files.delete(id);
    assert.equal(await files.has(id), false);
    await files.put(id, bytes);
    assert.deepEqual(await read(files, id), bytes);
  });

  check("list what is there in order of id, page by page, good or not", async ({ files, damage }) => {
    assert.deepEqual(await files.list("", 9), []);
    const chunks = Array.from({ length: 30 }, (_, index) => numberedChunk(index));
    chunks.sort((a, b) => (a.id < b.id ? -1 : 1));
    await Promise.all(chunks.map(({ id, bytes }) => files.put(id, bytes)));
    await damage(chunks[3]!.id);
    await files.delete(chunks[7]!.id);
    const wanted = chunks.toSpliced(7, 1).map(({ id, bytes }) => ({ id, sizeBytes: bytes.length }));
    assert.deepEqual(await files.list("", 100), wanted);
    for (let from = 0; from < wanted.length; from += 4) {
      const after = from === 0 ? "" : wanted[from - 1]!.id;
      assert.deepEqual(await files.list(after, 4), wanted.slice(from, from + 4));
    }
    assert.deepEqual(await files.list(wanted.at(-1)!.id, 4), []);
  });

  check("carry out put() and delete() of one chunk in their order", async ({ files }) => {
    const { id, bytes } = numberedChunk(1);
    await Promise.all([files.put(id, bytes), files.delete(id)]);
    assert.equal(await files.has(id), false);
    await Promise.all([files.put(id, bytes), files.delete(id), files.put(id, bytes)]);
    assert.deepEqual(await read(files, id), bytes);
  });
}

function damagedFiles(check: Check): void {
  check("say `corrupt` of damaged bytes", async ({ files, damage }) => {
    const { id, bytes } = sizedChunk(70_000);
    await files.put(id, bytes);
    await damage(id);
    assert.deepEqual(await files.get(id), { kind: "corrupt" });
  });

  check("are rid of a corrupt chunk after setAside()", async ({ files, damage }) => {
    const { id, bytes } = sizedChunk(70_000);
    await files.put(id, bytes);
    await damage(id);
    await files.setAside(id);
    assert.deepEqual(await files.get(id), { kind: "missing" });
    assert.equal(await files.has(id), false);
    await files.put(id, bytes);
    assert.deepEqual(await read(files, id), bytes);
  });

  check("leave a good chunk in place on setAside(): somebody repaired it first", async ({ files }) => {
    const { id, bytes } = sizedChunk(70_000);
    await files.put(id, bytes);
    await files.setAside(id);
    assert.deepEqual(await read(files, id), bytes);
  });

  check("replace a damaged chunk that is put again", async ({ files, damage }) => {
    const { id, bytes } = sizedChunk(70_000);
    await files.put(id, bytes);
    await damage(id);
    await files.put(id, bytes);
    assert.deepEqual(await read(files, id), bytes);
  });
}

export async function read(files: ChunkFiles, id: ChunkId): Promise<Uint8Array> {
  const found = await files.get(id);
  assert.equal(found.kind, "found", `chunk ${id}`);
  return new Uint8Array(found.kind === "found" ? found.bytes : []);
}

/** A chunk of its own for every number; of 1 to 20 KB. */
export function numberedChunk(number: number): { id: ChunkId; bytes: Uint8Array } {
  return chunkOf(new Uint8Array(1000 + (number * 997) % 19_000).fill(number), String(number));
}

export function sizedChunk(sizeBytes: number): { id: ChunkId; bytes: Uint8Array } {
  return chunkOf(Uint8Array.from({ length: sizeBytes }, (_, index) => index * 7 + (index >> 8)), "");
}

function chunkOf(bytes: Uint8Array, salt: string): { id: ChunkId; bytes: Uint8Array } {
  bytes.set(new TextEncoder().encode(salt).subarray(0, bytes.length));
  return { id: createHash("sha256").update(bytes).digest("hex"), bytes };
}

function checker<O extends OpenChunkFiles>(name: string, open: () => Promise<O>): Check<O> {
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
