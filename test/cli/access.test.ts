/** The command line with keys, at a real node that asks for them. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { command, type CommandRun } from "../helpers/command-line.ts";
import { KEYS, type TestKey } from "../helpers/credentials.ts";
import { ask, put } from "../helpers/raw-http.ts";
import { HERE } from "../helpers/raw-start.ts";

let directory: string;
let node: AtollProcess;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-cli-access-"));
  node = await startNode({
    runtime: HERE,
    dataDir: join(directory, "data"),
    env: { ATOLL_KEYS: JSON.stringify(Object.values(KEYS)) },
  });
  await writeFile(join(directory, "file"), "content");
});
after(async () => {
  await node[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const atoll = (words: string[], key?: TestKey): Promise<CommandRun> =>
  command([...words, "--url", node.publicUrl], {
    env: key ? { ATOLL_KEY: `${key.id}.${key.secret}` } : {},
  });

test("ATOLL_KEY is shown to the node, which lets it do what it is granted", async () => {
  const stored = await atoll(["put", join(directory, "file"), "docs/a"], KEYS.admin);
  assert.equal(stored.code, 0, stored.stderr);
  const read = await atoll(["get", "docs/a", "-"], KEYS.reader);
  assert.deepEqual([read.code, read.stdout.toString()], [0, "content"]);
  assert.equal((await atoll(["status"], KEYS.admin)).code, 0);
  const refused = await atoll(["rm", "docs/a"], KEYS.reader);
  assert.deepEqual([refused.code, refused.stderr.includes("no grant")], [1, true], refused.stderr);
  const stranger = await atoll(["ls", "docs"]);
  assert.equal(stranger.code, 1);
  assert.match(stranger.stderr, /wanted credentials, got none.*ATOLL_KEY/);
});

test("who may write and not read is told of no version", async () => {
  const { code, stdout, stderr } = await atoll(["put", join(directory, "file"), "docs/in/a"], KEYS.dropper);
  assert.equal(code, 0, stderr);
  assert.match(stdout.toString(), /-> docs\/in\/a .* in .+, new\n$/);
  assert.doesNotMatch(stdout.toString(), /version/);
});

test("presign makes URLs without asking, which hold at the node", async () => {
  const made = await atoll(["presign", "docs/a"], KEYS.reader);
  assert.equal(made.code, 0, made.stderr);
  const url = made.stdout.toString().trim();
  assert.equal((await ask(url)).body.toString(), "content");
  assert.equal((await put(url, "x")).status, 403);
  const words = [
    "presign",
    "docs/in/ä b",
    "--method",
    "PUT",
    "--max-bytes",
    "3",
    "--content-type",
    "text/plain",
  ];
  const upload = await atoll([...words, "--expires", "10m", "--json"], KEYS.dropper);
  const [{ url: target, method, expires } = {}] = upload.documents();
  assert.equal(method, "PUT");
  assert.ok(Math.abs(Number(expires) - Date.now() / 1000 - 600) < 30);
  const headers = { "Content-Type": "text/plain" };
  assert.equal((await put(String(target), "1234", { headers })).status, 413);
  assert.equal((await put(String(target), "123", { headers })).status, 201);
});

test("what cannot be signed is said, and no secret with it", async () => {
  const cases: readonly (readonly [words: string[], key: TestKey | undefined, says: RegExp])[] = [
    [["presign", "docs/a"], undefined, /ATOLL_KEY: wanted ID\.SECRET/],
    [["presign", "docs/a"], { id: "a b", secret: KEYS.reader.secret }, /wanted an ID/],
    [["presign", "docs/a", "--expires", "8d"], KEYS.reader, /at most 7d/],
    [["presign", "docs/a", "--method", "POST"], KEYS.reader, /GET, PUT, DELETE/],
    [["presign", "docs/a", "--max-bytes", "1"], KEYS.reader, /for PUT only/],
    [["presign", "docs"], KEYS.reader, /BUCKET\/KEY/],
  ];
  for (const [words, key, says] of cases) {
    const { code, stderr } = await atoll(words, key);
    assert.equal(code, 2, words.join(" "));
    assert.match(stderr, says);
    assert.ok(!stderr.includes(KEYS.reader.secret));
  }
});
