/** dist/atoll.mjs is all there is to deploy: it must run where nothing else lies, on both runtimes. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Runtime, startNode } from "../helpers/atoll-process.ts";
import { runAtoll } from "../helpers/raw-start.ts";
import { run } from "../tools/project.ts";

let directory: string;
let built: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-single-file-"));
  built = join(directory, "built", "atoll.mjs");
  // In a process of its own: esbuild's service would outlive the test otherwise.
  const { code, output } = await run(["node", "test/tools/build.ts", built], { show: false });
  assert.equal(code, 0, output);
});

after(() => rm(directory, { recursive: true }));

for (const runtime of ["node", "deno"] as const) {
  test(`the single file alone in a directory stores, reads back and survives kill -9 on ${runtime}`, async () => {
    const empty = join(directory, `empty-${runtime}`);
    await mkdir(empty);
    const entry = join(empty, "atoll.mjs");
    await copyFile(built, entry);
    const small = randomBytes(1_000);
    const large = randomBytes(3 * (1 << 20) + 1);
    {
      await using node = await start(runtime, entry, empty);
      assert.equal(await put(`${node.publicUrl}/single/small`, small), 201);
      assert.equal(await put(`${node.publicUrl}/single/large`, large), 201);
      assert.deepEqual(await get(`${node.publicUrl}/single/large`), large);
    }
    await using again = await start(runtime, entry, empty);
    assert.deepEqual(await get(`${again.publicUrl}/single/small`), small);
    assert.deepEqual(await get(`${again.publicUrl}/single/large`), large);
  });
}

for (const runtime of ["node", "deno"] as const) {
  test(`the single file is the command line, too, on ${runtime}`, async () => {
    const place = join(directory, `client-${runtime}`);
    await mkdir(place);
    const entry = join(place, "atoll.mjs");
    await copyFile(built, entry);
    const content = randomBytes(2 * (1 << 20) + 1);
    await writeFile(join(place, "sent"), content);
    await using node = await start(runtime, entry, place);
    const atoll = (...words: string[]) =>
      runAtoll(runtime, { ATOLL_URL: node.publicUrl }, words, { entry, deadlineMs: 30_000 });
    const help = await atoll("help");
    assert.equal(help.code, 0, help.stderr);
    assert.match(help.stdout, /^Usage: atoll /);
    for (
      const words of [["put", join(place, "sent"), "single/cli"], ["get", "single/cli", join(place, "got")]]
    ) {
      const { code, stderr } = await atoll(...words);
      assert.equal(code, 0, stderr);
    }
    assert.deepEqual(await readFile(join(place, "got")), content);
    assert.match((await atoll("ls", "single")).stdout, /^ +2097153 .+ cli\n$/);
    assert.equal((await atoll("get", "single/none", "-")).code, 3);
    assert.equal((await atoll("frobnicate")).code, 2);
  });
}

function start(runtime: Runtime, entry: string, cwd: string) {
  return startNode({ runtime, entry, cwd, dataDir: join(cwd, "data") });
}

async function put(url: string, body: Uint8Array<ArrayBuffer>): Promise<number> {
  const response = await fetch(url, { method: "PUT", body });
  await response.body?.cancel();
  return response.status;
}

async function get(url: string): Promise<Buffer> {
  const response = await fetch(url);
  const body = Buffer.from(await response.arrayBuffer());
  assert.equal(response.status, 200, body.toString("utf8", 0, 500));
  return body;
}
