import assert from "node:assert/strict";
import { access, copyFile, open, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { openChunkFiles } from "../../src/adapters/chunk-files.ts";
import { diskFault } from "../../src/adapters/disk-durability.ts";
import { AtollError, isAtollError } from "../../src/errors.ts";
import {
  chunkFilesConformance,
  chunkFilesDurability,
  numberedChunk,
  read,
  sizedChunk,
} from "../conformance/chunk-files.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";
import { startChild } from "./children/child.ts";

const fileOf = (directory: string, id: string) => join(directory, id.slice(0, 2), id.slice(2, 4), id);

async function flipByte(path: string, at: number): Promise<void> {
  const file = await open(path, "r+");
  try {
    const { buffer } = await file.read(new Uint8Array(1), 0, 1, at);
    await file.write(new Uint8Array([buffer[0]! ^ 0x10]), 0, 1, at);
  } finally {
    await file.close();
  }
}

async function opened() {
  const parent = temporaryDirectory();
  const directory = join(parent.path, "chunks");
  return {
    directory,
    parent: parent.path,
    files: await openChunkFiles({ directory }),
    damage: (id: string) => flipByte(fileOf(directory, id), 5),
    reopen: () => openChunkFiles({ directory }),
    close: async () => parent[Symbol.dispose](),
    [Symbol.dispose]: () => parent[Symbol.dispose](),
  };
}

chunkFilesConformance("Chunk files on disk", opened);
chunkFilesDurability("Chunk files on disk", opened);

test("Chunk files on disk are the bytes and a trailer of 24", async () => {
  using one = await opened();
  const { id, bytes } = sizedChunk(5000);
  await one.files.put(id, bytes);
  const content = await readFile(fileOf(one.directory, id));
  assert.deepEqual(new Uint8Array(content.subarray(0, 5000)), bytes);
  assert.equal(content.length, 5024);
  assert.equal(content.toString("latin1", 5000, 5004), "atl2");
  assert.equal(content.readUInt32LE(5004), 5000);
});

test("Chunk files say `corrupt` of another chunk's good file that a disk put in their place", async () => {
  using one = await opened();
  const [here, there] = [numberedChunk(1), numberedChunk(19_001)];
  assert.equal(here.bytes.length, there.bytes.length);
  await one.files.put(here.id, here.bytes);
  await one.files.put(there.id, there.bytes);
  await copyFile(fileOf(one.directory, there.id), fileOf(one.directory, here.id));
  assert.deepEqual(await one.files.get(here.id), { kind: "corrupt" });
  await one.files.put(here.id, here.bytes);
  assert.deepEqual(await read(one.files, here.id), here.bytes);
  assert.deepEqual(await read(one.files, there.id), there.bytes);
});

test("Chunk files say `corrupt` wherever a byte changed and however short the file", async () => {
  using one = await opened();
  const { id, bytes } = sizedChunk(100);
  const path = fileOf(one.directory, id);
  for (let at = 0; at < 124; at += 3) {
    await one.files.put(id, bytes);
    await flipByte(path, at);
    assert.deepEqual(await one.files.get(id), { kind: "corrupt" }, `byte ${at}`);
  }
  for (const lengthBytes of [123, 100, 24, 23, 0]) {
    await one.files.put(id, bytes);
    await truncate(path, lengthBytes);
    assert.deepEqual(await one.files.get(id), { kind: "corrupt" }, `${lengthBytes} bytes`);
  }
  await one.files.put(id, bytes);
  assert.deepEqual(await read(one.files, id), bytes);
});

test("Chunk files remove what interrupted writes left behind", async () => {
  using one = await opened();
  const left = join(one.directory, "tmp", "abc.1");
  await writeFile(left, "half a chunk");
  await one.reopen();
  await assert.rejects(access(left));
});

test("Chunk files write a chunk once, however often it is put", async () => {
  using one = await opened();
  const { id, bytes } = sizedChunk(70_000);
  await Promise.all([one.files.put(id, bytes), one.files.put(id, bytes)]);
  const { ino } = await stat(fileOf(one.directory, id));
  await one.files.put(id, bytes);
  assert.equal((await stat(fileOf(one.directory, id))).ino, ino);
  assert.deepEqual(await readdir(join(one.directory, "tmp")), []);
});

test("setAside() keeps the 64 newest corrupt files", async () => {
  using one = await opened();
  const quarantine = join(dirname(one.directory), "quarantine");
  for (let number = 0; number < 70; number++) {
    const { id, bytes } = numberedChunk(number);
    await one.files.put(id, bytes);
    await one.damage(id);
    await one.files.setAside(id);
  }
  const kept = (await readdir(quarantine)).map((name) => name.slice(-64)).toSorted();
  const newest = Array.from({ length: 64 }, (_, index) => numberedChunk(index + 6).id).toSorted();
  assert.deepEqual(kept, newest);
});

test("Chunk files leave nothing of a put that failed", async () => {
  using one = await opened();
  const { id, bytes } = sizedChunk(70_000);
  const obstacle = join(one.directory, id.slice(0, 2));
  await writeFile(obstacle, "a file where a directory should be");
  await assert.rejects(one.files.put(id, bytes), (error) => isAtollError(error, "internal"));
  assert.deepEqual(await readdir(join(one.directory, "tmp")), []);
  await rm(obstacle);
  await one.files.put(id, bytes);
  assert.deepEqual(await read(one.files, id), bytes);
});

test("Chunk files tell of a directory that cannot be made", async () => {
  using one = await opened();
  const file = join(one.parent, "file");
  await writeFile(file, "");
  await assert.rejects(
    openChunkFiles({ directory: join(file, "chunks") }),
    (error) => isAtollError(error, "internal"),
  );
});

test("diskFault() knows a full disk and a spent quota, and lets faults of our own pass", () => {
  const withCode = (code: string) => Object.assign(new Error(code), { code });
  assert.equal(diskFault(withCode("ENOSPC"), "write").code, "storage-full");
  assert.equal(diskFault(withCode("EDQUOT"), "write").code, "storage-full");
  assert.equal(diskFault(withCode("EIO"), "write").code, "internal");
  const ours = new AtollError("overloaded", "x");
  assert.equal(diskFault(ours, "write"), ours);
});

for (const acknowledged of [1, 40, 100]) {
  test(`Chunk files have all they acknowledged when killed after ${acknowledged} puts`, async () => {
    using directory = temporaryDirectory();
    await using child = startChild("durable-writer.ts", "chunks", directory.path);
    await child.printed(acknowledged);
    await child.kill();
    const files = await openChunkFiles({ directory: join(directory.path, "chunks") });
    for (const number of child.lines().map(Number)) {
      const { id, bytes } = numberedChunk(number);
      assert.deepEqual(await read(files, id), bytes, `chunk number ${number} of ${child.lines().length}`);
    }
  });
}
