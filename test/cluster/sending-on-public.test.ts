/** A reader of a public bucket whom a node with keys sends to a replica is let in there, too. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { startRing } from "../helpers/atoll-ring.ts";
import { bearer, KEYS } from "../helpers/credentials.ts";
import { curl } from "../helpers/curl-run.ts";
import { ask, put } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const AUTHORIZED = { headers: { Authorization: bearer(KEYS.admin) } };
const LARGE = randomBytes(300_000);

test("whoever may read without a key is sent to a replica and let in there", async () => {
  using directory = temporaryDirectory();
  await using ring = await startRing({
    directory: directory.path,
    runtimes: [HERE, THERE],
    env: {
      ATOLL_KEYS: JSON.stringify(Object.values(KEYS)),
      ATOLL_REPLICAS: "1",
      ATOLL_ROUTE: "redirect",
      ATOLL_ROUTE_MIN_BYTES: "100KiB",
    },
  });
  const [outside, home] = ring.nodes;
  const target = await keyAt(home!.nodeId, outside!.publicUrl);
  const settings = await put(`${outside!.publicUrl}/_/buckets/route`, '{"public":"read"}', AUTHORIZED);
  assert.equal(settings.status, 201);
  assert.equal((await put(home!.publicUrl + target, LARGE, AUTHORIZED)).status, 201);
  const sent = await ask(outside!.publicUrl + target);
  assert.equal(sent.status, 307);
  assert.equal(sent.headers["location"], `${home!.publicUrl}${target}?atoll-sent=${outside!.nodeId}`);
  const { status, stdout } = await curl(["-L", outside!.publicUrl + target]);
  assert.equal(status, 200);
  assert.ok(stdout.equals(LARGE));
});

async function keyAt(nodeId: string, url: string): Promise<string> {
  for (let n = 0;; n++) {
    const target = `/route/large-${n}`;
    const { body } = await ask(`${url}/_/route${target}`, AUTHORIZED);
    const { replicas } = JSON.parse(String(body)) as { replicas: readonly { node: string }[] };
    if (replicas[0]?.node === nodeId) return target;
  }
}
