import assert from "node:assert/strict";
import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { openDataDirectory } from "../../src/adapters/data-directory.ts";
import { isAtollError } from "../../src/errors.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";
import { startChild } from "./children/child.ts";

const refused = (pattern: RegExp) => (error: unknown) =>
  isAtollError(error, "data-dir") && pattern.test(error.message);

test("A data directory is made for its owner only, parents too, and found again", async () => {
  using parent = temporaryDirectory();
  const path = join(parent.path, "var", "atoll");
  const first = await openDataDirectory({ path });
  assert.equal((await stat(path)).mode & 0o777, 0o700);
  assert.equal(first.nodeId(), undefined);
  await first.saveNodeId("fra-1");
  assert.equal(first.nodeId(), "fra-1");
  assert.equal(first.catalogPath, join(path, "catalog.db"));
  assert.equal(first.chunkDirectory, join(path, "chunks"));
  assert.equal(first.cacheDirectory, join(path, "cache"));
  first.close();
  first.close();
  const second = await openDataDirectory({ path });
  assert.equal(second.nodeId(), "fra-1");
  second.close();
});

test("A data directory refuses a second opener while the first has it", async () => {
  using directory = temporaryDirectory();
  const first = await openDataDirectory({ path: directory.path });
  await assert.rejects(openDataDirectory({ path: directory.path }), refused(/is in use by a running node$/));
  first.close();
  (await openDataDirectory({ path: directory.path })).close();
});

test("A data directory is held by one of two first starts at once", async () => {
  using directory = temporaryDirectory();
  const both = await Promise.allSettled([1, 2].map(() => openDataDirectory({ path: directory.path })));
  assert.deepEqual(both.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  for (const one of both) if (one.status === "fulfilled") one.value.close();
});

test("A data directory is free again once its process was killed", async () => {
  using directory = temporaryDirectory();
  await using child = startChild("lock-holder.ts", directory.path);
  await child.printed(1);
  await assert.rejects(openDataDirectory({ path: directory.path }), refused(/in use/));
  await child.kill();
  const mine = await openDataDirectory({ path: directory.path });
  assert.equal(mine.nodeId(), "held");
  mine.close();
});

test("A data directory of a newer format is refused, naming both", async () => {
  using directory = temporaryDirectory();
  await writeFile(join(directory.path, "format"), "atoll 7\n");
  await assert.rejects(
    openDataDirectory({ path: directory.path }),
    refused(/format 1 or older, got format 7/),
  );
});

test("A data directory with a garbled format file is refused", async () => {
  using directory = temporaryDirectory();
  await writeFile(join(directory.path, "format"), "something else");
  await assert.rejects(openDataDirectory({ path: directory.path }), refused(/something else/));
});

test("A directory of somebody else's is refused and left as it was", async () => {
  using directory = temporaryDirectory();
  await writeFile(join(directory.path, "thesis.txt"), "mine");
  await assert.rejects(openDataDirectory({ path: directory.path }), refused(/thesis\.txt/));
  assert.deepEqual(await readdir(directory.path), ["thesis.txt"]);
});

test("A fresh volume and a first start that was cut off are taken for empty", async () => {
  using directory = temporaryDirectory();
  await mkdir(join(directory.path, "lost+found"));
  await writeFile(join(directory.path, "lock.db"), "");
  await writeFile(join(directory.path, ".format.tmp"), "ato");
  const opened = await openDataDirectory({ path: directory.path });
  opened.close();
  assert.ok((await readdir(directory.path)).includes("format"));
});

test("A path that is a file is refused", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "file");
  await writeFile(path, "");
  await assert.rejects(openDataDirectory({ path }), refused(/wanted a directory/));
  await assert.rejects(openDataDirectory({ path: join(path, "below") }), refused(/wanted a directory/));
});

test("A node ID that would not survive its file is refused, given or read", async () => {
  using directory = temporaryDirectory();
  const opened = await openDataDirectory({ path: directory.path });
  for (const bad of ["", "two words", "line\nbreak", "x".repeat(129)]) {
    await assert.rejects(opened.saveNodeId(bad), refused(/node ID/));
  }
  opened.close();
  await writeFile(join(directory.path, "node-id"), "");
  await assert.rejects(openDataDirectory({ path: directory.path }), refused(/node ID/));
});
