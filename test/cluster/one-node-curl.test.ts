/** What people do with curl, done with curl. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { curl } from "../helpers/curl-run.ts";
import { ask } from "../helpers/raw-http.ts";
import { HERE } from "../helpers/raw-start.ts";

const MIB = 1 << 20;
const MAX_OBJECT_BYTES = 8 * MIB;
const CONTENT = randomBytes(3 * MIB + 12_345);

let directory: string;
let file: string;
let node: AtollProcess;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-curl-"));
  file = join(directory, "photo.jpg");
  await writeFile(file, CONTENT);
  node = await startNode({
    runtime: HERE,
    dataDir: join(directory, "data"),
    env: { ATOLL_MAX_OBJECT_BYTES: String(MAX_OBJECT_BYTES) },
  });
});
after(async () => {
  await node[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

test("curl -T stores a file, -o brings it back", async () => {
  const url = `${node.publicUrl}/pictures/there/and/back`;
  const stored = await curl(["-T", file, url]);
  assert.equal(stored.status, 201, stored.stderr);
  assert.equal((await curl(["-T", file, url])).status, 200, "the second time replaces");
  const copy = join(directory, "copy");
  assert.deepEqual(statusAndCode(await curl(["-o", copy, url])), [200, 0]);
  assert.deepEqual(await readFile(copy), CONTENT);
});

test("curl -T to a URL that ends in a slash stores under the file's name", async () => {
  assert.equal((await curl(["-T", file, `${node.publicUrl}/pictures/dir/`])).status, 201);
  assert.equal((await curl(["-T", file, `${node.publicUrl}/pictures/`])).status, 201);
  for (const path of ["/pictures/dir/photo.jpg", "/pictures/photo.jpg"]) {
    const head = await ask(node.publicUrl + path, { method: "HEAD" });
    assert.equal(head.headers["content-length"], String(CONTENT.length), path);
    assert.equal(head.headers["content-type"], "image/jpeg", path);
  }
});

test("curl -T - stores what comes from standard input, of unknown length, and nothing at all too", async () => {
  const url = `${node.publicUrl}/pictures/from-stdin`;
  assert.equal((await curl(["-T", "-", url], CONTENT)).status, 201);
  assert.deepEqual((await curl([url])).stdout, CONTENT);
  assert.equal((await curl(["-T", "-", url])).status, 200);
  assert.deepEqual((await curl([url])).stdout, Buffer.alloc(0));
});

test("curl -C - goes on where a download was broken off", async () => {
  const url = `${node.publicUrl}/pictures/resumed`;
  await curl(["-T", file, url]);
  const part = join(directory, "part");
  await writeFile(part, CONTENT.subarray(0, MIB + 7));
  assert.deepEqual(statusAndCode(await curl(["-C", "-", "-o", part, url])), [206, 0]);
  assert.deepEqual(await readFile(part), CONTENT);
});

test("curl -r brings one range, the last bytes, and several ranges", async () => {
  const url = `${node.publicUrl}/pictures/ranged`;
  await curl(["-T", file, url]);
  assert.deepEqual((await curl(["-r", "1048570-1048589", url])).stdout, CONTENT.subarray(1048570, 1048590));
  assert.deepEqual((await curl(["-r", "-100", url])).stdout, CONTENT.subarray(-100));
  const several = await curl(["-i", "-r", "0-9,2000000-2000009", url]);
  assert.equal(several.status, 206);
  const text = several.stdout.toString("latin1");
  const boundary = /multipart\/byteranges; boundary=([^\r]+)/.exec(text)?.[1];
  assert.equal(text.split(`--${boundary}\r\n`).length, 3, "two parts");
  assert.ok(text.includes(`\r\n\r\n${CONTENT.toString("latin1", 2_000_000, 2_000_010)}\r\n--${boundary}--`));
  assert.equal((await curl(["-r", "99999999-", url])).status, 416);
});

test("curl's digests: a right one is stored, a wrong one is 400 and stores nothing", async () => {
  const url = `${node.publicUrl}/pictures/digest`;
  const md5 = createHash("md5").update(CONTENT).digest("base64");
  const sha256 = createHash("sha256").update(CONTENT).digest("base64");
  const wrong = createHash("sha256").update("other").digest("base64");
  const refused = await curl(["-T", file, "-H", `Repr-Digest: sha-256=:${wrong}:`, url]);
  assert.equal(refused.status, 400);
  assert.match(refused.stdout.toString(), /"code":"digest-mismatch"/);
  assert.equal((await curl([url])).status, 404);
  const stored = await curl(["-i", "-T", file, "-H", `Content-MD5: ${md5}`, url]);
  assert.equal(stored.status, 201);
  assert.ok(stored.stdout.toString().includes(`Repr-Digest: sha-256=:${sha256}:`), "what was stored is told");
  assert.ok((await curl(["-I", url])).stdout.toString().includes(`Repr-Digest: sha-256=:${sha256}:`));
});

test("curl --etag-compare is 304 while the object is as it was", async () => {
  const url = `${node.publicUrl}/pictures/etag`;
  const etags = join(directory, "etags");
  await curl(["-T", file, url]);
  assert.equal((await curl(["--etag-save", etags, "-o", join(directory, "x"), url])).status, 200);
  assert.equal((await curl(["--etag-compare", etags, "-o", join(directory, "y"), url])).status, 304);
  await curl(["-T", "-", url], Buffer.from("changed"));
  assert.equal((await curl(["--etag-compare", etags, "-o", join(directory, "y"), url])).status, 200);
});

test("curl with Expect: 100-continue is told 413 before it sends a byte that is too many", async () => {
  const large = join(directory, "large");
  await writeFile(large, Buffer.alloc(MAX_OBJECT_BYTES + 1));
  const url = `${node.publicUrl}/pictures/large`;
  const refused = await curl(["-T", large, url]);
  assert.deepEqual([refused.status, refused.uploadedBytes], [413, 0], refused.stderr);
  assert.match(refused.stdout.toString(), /"code":"too-large"/);
  assert.equal((await curl([url])).status, 404);
});

test("curl that sends more than is allowed without saying how much gets 413 in the middle", async () => {
  const url = `${node.publicUrl}/pictures/endless`;
  const refused = await curl(["-T", "-", url], Buffer.alloc(2 * MAX_OBJECT_BYTES));
  assert.equal(refused.status, 413, refused.stderr);
  assert.match(refused.stdout.toString(), /"code":"too-large"/);
  assert.equal((await curl([url])).status, 404);
  const exactly = await curl(["-T", "-", url], Buffer.alloc(MAX_OBJECT_BYTES));
  assert.equal(exactly.status, 201, "as much as is allowed is stored");
});

test("curl -X DELETE deletes, and says so again", async () => {
  const url = `${node.publicUrl}/pictures/deleted`;
  await curl(["-T", file, url]);
  assert.equal((await curl(["-X", "DELETE", url])).status, 204);
  assert.equal((await curl([url])).status, 404);
  assert.equal((await curl(["-X", "DELETE", url])).status, 204);
});

function statusAndCode({ status, code }: { status: number; code: number | null }): [number, number | null] {
  return [status, code];
}
