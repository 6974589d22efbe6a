/** What is accepted can be listed, whatever its length; what is longer than any key is refused, in a ring as in one node. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollRing, startRing } from "../helpers/atoll-ring.ts";
import { ask, codeOf, put } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";

const OBJECTS = 540;
const AT_ONCE = 16;
/** JSON doubles it. */
const CONTENT_TYPE = `text/plain;a="${'\\"'.repeat(8_100)}"`;
const TOO_LONG = "x".repeat(2_100);

let directory: string;
let ring: AtollRing;
let one: AtollRing;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-long-"));
  ring = await startRing({ directory: join(directory, "three"), runtimes: [HERE, THERE, HERE] });
  one = await startRing({ directory: join(directory, "one"), runtimes: [HERE] });
});
after(async () => {
  await ring[Symbol.asyncDispose]();
  await one[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

interface Page {
  readonly objects: readonly { readonly key: string; readonly contentType: string }[];
  readonly next: string | null;
}

async function json<T>(url: string): Promise<T> {
  const { status, body } = await ask(url);
  assert.equal(status, 200, body.toString().slice(0, 500));
  return JSON.parse(body.toString()) as T;
}

test("a bucket of objects with the longest types is listed on either runtime", async () => {
  const keys = Array.from({ length: OBJECTS }, (_, n) => String(n).padStart(4, "0"));
  const left = [...keys];
  const { publicUrl } = ring.nodes[0]!;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let key = left.pop(); key !== undefined; key = left.pop()) {
      const headers = { "Content-Type": CONTENT_TYPE };
      const { status, body } = await put(`${publicUrl}/long/${key}`, "x", { headers });
      assert.equal(status, 201, body.toString());
    }
  }));
  for (const node of ring.nodes.slice(0, 2)) {
    const listed: string[] = [];
    for (let query = ""; listed.length < OBJECTS;) {
      const page = await json<Page>(`${node.publicUrl}/long${query}`);
      assert.ok(page.objects.every(({ contentType }) => contentType === CONTENT_TYPE));
      listed.push(...page.objects.map(({ key }) => key));
      if (page.next === null) break;
      query = `?after=${page.next}`;
    }
    assert.deepEqual(listed, keys);
    assert.deepEqual(await json(node.publicUrl), { buckets: [{ name: "long" }], next: null });
  }
});

const refusals: readonly (readonly [what: string, target: string, body?: object])[] = [
  ["a prefix of keys", `/abc?prefix=${TOO_LONG}`],
  ["a key to list after", `/abc?after=${TOO_LONG}`],
  ["a prefix of buckets", `/?prefix=${TOO_LONG}`],
  ["a bucket to list after", `/?after=${TOO_LONG}`],
  ["a prefix of settings", `/_/buckets?prefix=${TOO_LONG}`],
  ["a bucket to list settings after", `/_/buckets?after=${TOO_LONG}`],
  ["a prefix to purge", "/_/purge", { bucket: "abc", prefix: TOO_LONG }],
  ["a prefix to prewarm", "/_/prewarm", { bucket: "abc", prefix: TOO_LONG }],
];

for (const [what, target, body] of refusals) {
  test(`${what} that is longer than any key is refused alike in a ring of one and of three`, async () => {
    for (const { publicUrl } of [one.nodes[0]!, ring.nodes[0]!]) {
      const post = body && { method: "POST", body: JSON.stringify(body) };
      const reply = await ask(publicUrl + target, { target, ...post });
      assert.deepEqual([reply.status, codeOf(reply)], [400, "invalid-argument"]);
      assert.match(reply.body.toString(), /wanted at most 1024 bytes of UTF-8 as (prefix|after), got 2100/);
    }
  });
}
