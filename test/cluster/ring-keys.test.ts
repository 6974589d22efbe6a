/** Keys that an admin makes at one node of a ring of both runtimes, changes at another, and takes back at a third. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollRing, startRing } from "../helpers/atoll-ring.ts";
import { bearer, KEYS, presigned, type TestKey } from "../helpers/credentials.ts";
import { until } from "../helpers/deadline.ts";
import { ask, put, type Reply } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";

/** Of known-documents.ts, and a little for the asking. */
const SEEN_WITHIN_MS = 6_000;
const AUTHORIZED = { Authorization: bearer(KEYS.admin) };

let directory: string;
let ring: AtollRing;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-ring-keys-"));
  ring = await startRing({
    directory,
    runtimes: [HERE, THERE, HERE],
    env: { ATOLL_KEYS: JSON.stringify(Object.values(KEYS)) },
  });
  assert.equal(
    (await put(`${ring.nodes[0]!.publicUrl}/docs/a`, "content", { headers: AUTHORIZED })).status,
    201,
  );
});
after(async () => {
  await ring[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const page = (node: number, method: string, path: string, document?: unknown): Promise<Reply> =>
  ask(`${ring.nodes[node]!.publicUrl}${path}`, {
    method,
    headers: AUTHORIZED,
    ...(document !== undefined && { body: JSON.stringify(document) }),
  });
const statusesOf = (key: TestKey): Promise<number[]> =>
  Promise.all(
    ring.nodes.map(async ({ publicUrl }) =>
      (await ask(`${publicUrl}/docs/a`, { headers: { Authorization: bearer(key) } })).status
    ),
  );
const becomes = (what: string, key: TestKey, status: number): Promise<void> =>
  until(what, SEEN_WITHIN_MS, async () => (await statusesOf(key)).every((each) => each === status));

async function made(id: string): Promise<TestKey> {
  const answer = await page(0, "POST", "/_/keys", { id, grants: [{ actions: ["read"], bucket: "docs" }] });
  assert.equal(answer.status, 201, answer.body.toString());
  return JSON.parse(answer.body.toString()) as TestKey;
}

test("a key is known to every node within seconds of being made, changed and taken back", async () => {
  const key = await made("ci");
  await becomes("all let it in", key, 200);
  const changed = await page(1, "PUT", "/_/keys/ci", { grants: [{ actions: ["write"], bucket: "docs" }] });
  assert.equal(changed.status, 200);
  await becomes("none lets it read", key, 403);
  const back = await page(2, "PUT", "/_/keys/ci", { grants: [{ actions: ["read"], bucket: "docs" }] });
  assert.equal(back.status, 200);
  await becomes("all let it in again", key, 200);
  const target = presigned(key, "/docs/a");
  for (const { publicUrl } of ring.nodes) assert.equal((await ask(publicUrl, { target })).status, 200);
  assert.equal((await page(1, "DELETE", "/_/keys/ci")).status, 204);
  await becomes("none lets it in", key, 401);
  for (const { publicUrl } of ring.nodes) assert.equal((await ask(publicUrl, { target })).status, 403);
});

test("keys outlive the node that made them, and a node that starts anew knows them", async () => {
  const key = await made("lasting");
  await ring.nodes[0]!.kill("SIGKILL");
  const listed = await page(1, "GET", "/_/keys");
  assert.ok(listed.body.toString().includes('"lasting"'), listed.body.toString());
  await ring.restart(0);
  await becomes("all let it in", key, 200);
});
