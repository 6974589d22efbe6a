/** put, get, ls, rm and status against a real node. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { chmod, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { command, type CommandOptions } from "../helpers/command-line.ts";
import { ask, put as store } from "../helpers/raw-http.ts";
import { HERE } from "../helpers/raw-start.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const MIB = 1 << 20;

const directory = temporaryDirectory();
let node: AtollProcess;

before(async () => {
  node = await startNode({ runtime: HERE, dataDir: join(directory.path, "data") });
});
after(async () => {
  await node[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

function atoll(words: readonly string[], options: CommandOptions = {}) {
  return command(words, { ...options, env: { ATOLL_URL: node.publicUrl, ...options.env } });
}

const file = (name: string) => join(directory.path, name);

async function fileOf(name: string, content: Uint8Array | string): Promise<string> {
  await writeFile(file(name), content);
  return file(name);
}

function etagOf(content: Uint8Array | string): string {
  return `"${createHash("sha256").update(content).digest("hex")}"`;
}

async function partsIn(path: string): Promise<string[]> {
  return (await readdir(path)).filter((name) => name.endsWith(".atoll-part"));
}

test("what put stores, get fetches, whatever the size, and both say what they did", async () => {
  for (const sizeBytes of [0, 1, 70_000, MIB, 9 * MIB + 1]) {
    const content = randomBytes(sizeBytes);
    const path = await fileOf("content", content);
    const sent = await atoll(["put", path, `sizes/s${sizeBytes}`, "--json"]);
    assert.equal(sent.code, 0, sent.stderr);
    const [{ seconds, ...said }] = sent.documents() as [Record<string, unknown>];
    assert.equal(typeof seconds, "number");
    assert.deepEqual(said, {
      command: "put",
      file: path,
      bucket: "sizes",
      key: `s${sizeBytes}`,
      bytes: sizeBytes,
      etag: etagOf(content),
      version: 1,
      created: true,
    });
    const fetched = await atoll(["get", `sizes/s${sizeBytes}`, file("fetched"), "--json"]);
    assert.equal(fetched.code, 0, fetched.stderr);
    assert.equal(fetched.documents()[0]!["bytes"], sizeBytes);
    assert.ok((await readFile(file("fetched"))).equals(content), `${sizeBytes} bytes`);
    const streamed = await atoll(["get", `sizes/s${sizeBytes}`, "-"]);
    assert.equal(streamed.code, 0, streamed.stderr);
    assert.ok(streamed.stdout.equals(content), `${sizeBytes} bytes to standard output`);
  }
  assert.deepEqual(await partsIn(directory.path), []);
});

test("standard input is stored as it comes, and --digest-first refuses what can be read but once", async () => {
  const content = randomBytes(3 * MIB + 7);
  const pieces = Array.from({ length: 50 }, (_, i) => content.subarray(i * 65_536, (i + 1) * 65_536));
  const { code, stderr } = await atoll(["put", "-", "streams/one"], { input: pieces });
  assert.equal(code, 0, stderr);
  assert.ok((await ask(`${node.publicUrl}/streams/one`)).body.equals(content));
  const refused = await atoll(["put", "--digest-first", "-", "streams/two"], { input: [Buffer.from("x")] });
  assert.equal(refused.code, 2, refused.stderr);
  const large = await fileOf("large", randomBytes(9 * MIB));
  assert.equal((await atoll(["put", "--digest-first", large, "streams/three"])).code, 0);
});

test("several files go under a prefix by their own names; one that fails does not stop the others", async () => {
  const a = await fileOf("a.txt", "a");
  const b = await fileOf("b ü.txt", "b");
  const all = await atoll(["put", a, b, "many/deep/er/"]);
  assert.equal(all.code, 0, all.stderr);
  assert.equal((await ask(`${node.publicUrl}/many/deep/er/b%20%C3%BC.txt`)).body.toString(), "b");
  const bare = await atoll(["put", a, b, "many"]);
  assert.equal(bare.code, 0, bare.stderr);
  assert.equal((await ask(`${node.publicUrl}/many/a.txt`)).status, 200);
  const some = await atoll(["put", a, file("absent"), b, "some/"]);
  assert.equal(some.code, 1);
  assert.match(some.stderr, /absent: there is no such file/);
  assert.equal((await ask(`${node.publicUrl}/some/b%20%C3%BC.txt`)).status, 200);
  const nowhere = await atoll(["put", a, b, "some/one"]);
  assert.equal(nowhere.code, 2);
  assert.match(nowhere.stderr, /BUCKET\/PREFIX\/ for 2 files/);
});

test("what goes with an object arrives with it", async () => {
  const path = await fileOf("page", "<p>");
  const { code, stderr } = await atoll([
    "put",
    path,
    "headers/page",
    "--content-type=text/html",
    "--cache-control",
    "max-age=60",
    "--meta",
    "author=ada",
    "--meta=note=a=b",
    "--ttl=3600",
  ]);
  assert.equal(code, 0, stderr);
  const { headers } = await ask(`${node.publicUrl}/headers/page`);
  assert.equal(headers["content-type"], "text/html");
  assert.equal(headers["cache-control"], "max-age=60");
  assert.equal(headers["atoll-meta-author"], "ada");
  assert.equal(headers["atoll-meta-note"], "a=b");
  for (const bad of [["--ttl=x"], ["--meta=novalue"], ["--content-type=a\nb"], ["--if-version=x"]]) {
    const refused = await atoll(["put", path, "headers/bad", ...bad]);
    assert.ok(refused.code === 2 || refused.code === 1, `${bad.join(" ")} ended with ${refused.code}`);
    assert.match(refused.stderr, /^atoll: .+\n$/);
    assert.equal((await ask(`${node.publicUrl}/headers/bad`)).status, 404);
  }
});

test("conditions that fail are exit code 4 and change nothing", async () => {
  const one = await fileOf("one", "one");
  const two = await fileOf("two", "two");
  assert.equal((await atoll(["put", "--if-none-match", one, "guarded/key"])).code, 0);
  const exists = await atoll(["put", "--if-none-match", two, "guarded/key", "--json"]);
  assert.equal(exists.code, 4);
  const { error } = JSON.parse(exists.stderr) as { error: Record<string, unknown> };
  assert.equal(error["code"], "precondition-failed");
  assert.equal(error["status"], 412);
  assert.equal(error["version"], "1");
  assert.equal(error["etag"], etagOf("one"));
  assert.equal((await atoll(["put", "--if-version", "2", two, "guarded/key"])).code, 4);
  assert.equal((await atoll(["put", "--if-version", "1", two, "guarded/key"])).code, 0);
  assert.equal((await atoll(["put", "--if-match", etagOf("one"), one, "guarded/key"])).code, 4);
  assert.equal((await atoll(["rm", "--if-version", "1", "guarded/key"])).code, 4);
  assert.equal((await ask(`${node.publicUrl}/guarded/key`)).body.toString(), "two");
  assert.equal((await atoll(["rm", "--if-version", "2", "guarded/key"])).code, 0);
});

test("an object that is not there is exit code 3, and leaves no file", async () => {
  const missing = await atoll(["get", "absent/key", file("never")]);
  assert.equal(missing.code, 3);
  assert.match(missing.stderr, /^atoll: absent\/key: .+ \(not-found\)\n$/);
  await assert.rejects(stat(file("never")));
  assert.deepEqual(await partsIn(directory.path), []);
  assert.equal((await atoll(["rm", "absent/key"])).code, 3);
  assert.equal((await atoll(["rm", "--force", "absent/key"])).code, 0);
});

test("keys of dots, slashes and emoji go both ways", async () => {
  const path = await fileOf("odd", "odd");
  for (const key of ["..", "a/../b", "//", "%2e%2e", "😀 ü", "a?b#c", "new\nline"]) {
    const sent = await atoll(["put", path, `odd-keys/${key}`, "--json"]);
    // A place that ends in a slash takes files under their own names.
    const stored = key.endsWith("/") ? `${key}odd` : key;
    assert.equal(sent.code, 0, sent.stderr);
    assert.equal(sent.documents()[0]!["key"], stored);
    const fetched = await atoll(["get", `odd-keys/${stored}`, "-"]);
    assert.equal(fetched.stdout.toString(), "odd", stored);
  }
  const listed = await atoll(["ls", "-r", "odd-keys"]);
  assert.match(listed.stdout.toString(), /new\\x0aline\n/);
  const removed = await atoll(["rm", "odd-keys/..", "odd-keys/a/../b"]);
  assert.equal(removed.code, 0, removed.stderr);
  assert.equal(removed.stdout.toString(), "removed odd-keys/..\nremoved odd-keys/a/../b\n");
});

test("get takes the key's last part for a name, a directory for a place, and follows a link", async () => {
  await store(`${node.publicUrl}/names/dir/report.txt`, "report");
  const into = file("into");
  await mkdir(into);
  assert.equal((await atoll(["get", "names/dir/report.txt", into])).code, 0);
  assert.equal(await readFile(join(into, "report.txt"), "utf8"), "report");
  await writeFile(file("real"), "old");
  await symlink(file("real"), file("link"));
  assert.equal((await atoll(["get", "names/dir/report.txt", file("link")])).code, 0);
  assert.equal(await readFile(file("real"), "utf8"), "report");
  assert.equal(await readlink(file("link")), file("real"));
  await store(`${node.publicUrl}/names/${encodeURIComponent("a/..")}`, "dots");
  const nameless = await atoll(["get", "names/a/..", into]);
  assert.equal(nameless.code, 2);
  assert.match(nameless.stderr, /no file's name/);
});

test("places that cannot be written are one clear line", async () => {
  await store(`${node.publicUrl}/places/key`, randomBytes(300_000));
  for (
    const [to, why] of [
      [file("no/such/place"), /cannot write .+: there is no such file or directory/],
      [join(await fileOf("plain", ""), "below"), /cannot write .+: a part of the path is no directory/],
      ["/dev/full", /cannot write \/dev\/full: the disk is full/],
    ] as const
  ) {
    const { code, stderr } = await atoll(["get", "places/key", to]);
    assert.equal(code, 1, stderr);
    assert.match(stderr, why);
    assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
  }
  const nulled = await atoll(["get", "places/key", "/dev/null"]);
  assert.equal(nulled.code, 0, nulled.stderr);
  assert.ok((await stat("/dev/null")).isCharacterDevice(), "a device must not be replaced by a file");
});

test("files that cannot be read are one clear line", async () => {
  const closed = await fileOf("closed", "x");
  await chmod(closed, 0);
  const isRoot = process.getuid?.() === 0; // to whom nothing is closed
  for (
    const [from, why] of [
      [file("missing"), /cannot read .+missing: there is no such file or directory/],
      [directory.path, /wanted a file, got a directory/],
      ...(isRoot ? [] : [[closed, /permission denied/] as const]),
    ] as const
  ) {
    const { code, stderr } = await atoll(["put", from, "unread/key"]);
    assert.equal(code, 1);
    assert.match(stderr, why);
  }
});

test("ls pages through everything, in order, and shows one level or all", async () => {
  const keys = Array.from({ length: 1_203 }, (_, i) => `d${i % 3}/k${String(i).padStart(5, "0")}`);
  for (let at = 0; at < keys.length; at += 50) {
    await Promise.all(
      keys.slice(at, at + 50).map(async (key) => {
        assert.equal((await store(`${node.publicUrl}/paged/${key}`, key)).status, 201);
      }),
    );
  }
  const all = await atoll(["ls", "-r", "--json", "paged"]);
  assert.equal(all.code, 0, all.stderr);
  assert.deepEqual(all.documents().map((line) => line["key"]), keys.toSorted());
  assert.deepEqual(
    Object.keys(all.documents()[0]!).sort(),
    ["bucket", "contentType", "etag", "key", "kind", "lastModified", "size", "version"],
  );
  const level = await atoll(["ls", "paged"]);
  assert.deepEqual(level.stdout.toString().trimEnd().split("\n").map((line) => line.trim().split(/\s+/)), [
    ["DIR", "d0/"],
    ["DIR", "d1/"],
    ["DIR", "d2/"],
  ]);
  const some = await atoll(["ls", "paged/d1/k0000"]);
  assert.match(some.stdout.toString(), /^ +9 {2}\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ {2}d1\/k00001\n/);
  const human = await atoll(["ls", "-H", "paged/d1/k0000"]);
  assert.match(human.stdout.toString(), /^ +9 B /);
  const buckets = await atoll(["ls", "--json"]);
  assert.ok(buckets.documents().some((line) => line["kind"] === "bucket" && line["name"] === "paged"));
  assert.equal((await atoll(["ls", "no-such-bucket"])).stdout.length, 0);
  assert.match((await atoll(["ls"])).stdout.toString(), /^paged\/$/m);

  // Recursive removal takes those 1,203 and nothing else.
  const asked = await atoll(["rm", "-r", "paged/d0/"]);
  assert.equal(asked.code, 2);
  assert.match(asked.stderr, /--yes/);
  const declined = await atoll(["rm", "-r", "paged/d0/"], {
    terminal: [{ question: /paged\/d0\/ holds 401 objects, 3\.5 KiB\. Type "delete 401"/, answer: "yes" }],
  });
  assert.equal(declined.code, 1);
  assert.match(declined.stderr, /nothing was deleted/);
  const removed = await atoll(["rm", "-r", "paged/d0/"], {
    terminal: [{ question: /Type "delete 401"/, answer: "delete 401" }],
  });
  assert.equal(removed.code, 0, removed.stderr);
  assert.match(removed.stdout.toString(), /removed 401 objects under paged\/d0\//);
  const rest = await atoll(["rm", "-r", "--yes", "paged"]);
  assert.match(rest.stdout.toString(), /removed 802 objects/);
  assert.equal((await atoll(["ls", "-r", "paged"])).stdout.length, 0);
});

test("status says whether the node is ready, and exit code 5 where nobody answers", async () => {
  const plain = await atoll(["status"]);
  assert.equal(plain.code, 0, plain.stderr);
  assert.match(plain.stdout.toString(), new RegExp(`^node +${node.nodeId}\n`));
  assert.match(plain.stdout.toString(), /^ready +yes$/m);
  const { documents } = await atoll(["status", "--json"]);
  const [said] = documents();
  assert.equal(said!["ready"], true);
  assert.equal(said!["node"], node.nodeId);
  const nobody = await atoll(["status", "--url", "http://127.0.0.1:9"]);
  assert.equal(nobody.code, 5);
  assert.equal(
    nobody.stderr,
    "atoll: no node answers at http://127.0.0.1:9: connection refused; say where one is by --url or ATOLL_URL (unreachable)\n",
  );
  for (
    const words of [["ls"], ["get", "a-bucket/k", "-"], ["rm", "a-bucket/k"], ["put", "-", "a-bucket/k"]]
  ) {
    assert.equal((await command(words, { env: { PORT: "9" } })).code, 5, words.join(" "));
  }
});

test("the ring commands and a real node's pages agree", async () => {
  const [status] = (await atoll(["ring", "status", "--json"])).documents() as [{ nodes: { id: string }[] }];
  assert.deepEqual(status.nodes.map(({ id }) => id), [node.nodeId]);
  const plan = await atoll(["ring", "plan", "--replicas", "3"]);
  assert.equal(plan.code, 0, plan.stderr);
  assert.match(plan.stdout.toString(), /^plan on layout 1: 3 replicas\n/);
  const same = await atoll(["ring", "replicas", "3", "--yes"]);
  assert.equal(same.code, 0, same.stderr);
  assert.match(same.stdout.toString(), /layout 1 stays: there was nothing to change\n$/);
  const stranger = await atoll(["ring", "remove", "nobody", "--yes"]);
  assert.equal(stranger.code, 1);
  assert.match(stranger.stderr, /\(invalid-argument\)\n$/);
  const forced = await atoll(["ring", "force-recover"]);
  assert.equal(forced.code, 1);
  assert.match(
    forced.stderr,
    /wanted a ring whose voters cannot decide, got 1 of 1 that answer.*\(refused\)\n$/,
  );
});

test("a waiting node is not ready, and status says why", async () => {
  await using waiting = await startNode({
    runtime: HERE,
    dataDir: file("waiting"),
    env: { ATOLL_SEEDS: "http://127.0.0.1:9", ATOLL_BOOTSTRAP_EXPECT: "3" },
    until: "listening",
  });
  const { code, stdout } = await command(["status"], { env: { ATOLL_URL: waiting.publicUrl } });
  assert.equal(code, 5);
  assert.match(stdout.toString(), /^ready +no: waiting for a ring/m);
});
