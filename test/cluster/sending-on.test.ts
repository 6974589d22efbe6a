/** Redirects of a real ring, followed by a real curl: to a replica, with all the bytes, once. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { type AtollRing, startRing } from "../helpers/atoll-ring.ts";
import { curl } from "../helpers/curl-run.ts";
import { ask, put } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";
import { until } from "../helpers/deadline.ts";

const DEADLINE_MS = 30_000;
const LARGE = randomBytes(300_000);
const SMALL = randomBytes(9_000);

const directory = temporaryDirectory();
let ring: AtollRing;
/** No replica of the objects below. */
let outside: string;
let replicas: readonly string[];

before(async () => {
  ring = await startRing({
    directory: directory.path,
    runtimes: [HERE, THERE, HERE, THERE],
    env: { ATOLL_ROUTE: "redirect", ATOLL_ROUTE_MIN_BYTES: "100KiB" },
  });
  outside = ring.nodes[3]!.publicUrl;
  const [large, small] = [await keyElsewhere("large"), await keyElsewhere("small")];
  targets = { large, small };
  assert.equal((await put(ring.nodes[0]!.publicUrl + large, LARGE)).status, 201);
  assert.equal((await put(ring.nodes[0]!.publicUrl + small, SMALL)).status, 201);
  replicas = (await routeOf(large)).filter(({ node }) => node !== ring.nodes[3]!.nodeId).map((
    { publicUrl },
  ) => publicUrl);
});
after(async () => {
  await ring?.[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

let targets: { readonly large: string; readonly small: string };

interface Replica {
  readonly node: string;
  readonly publicUrl: string;
  readonly rttMs: number | null;
}

async function routeOf(target: string): Promise<readonly Replica[]> {
  const { body } = await ask(`${outside}/_/route${target}`);
  return (JSON.parse(String(body)) as { replicas: Replica[] }).replicas;
}

async function keyElsewhere(name: string): Promise<string> {
  for (let n = 0;; n++) {
    const target = `/route/${name}-${n}`;
    if ((await routeOf(target)).every(({ node }) => node !== ring.nodes[3]!.nodeId)) return target;
  }
}

test("a large object's reader is sent to a replica, and curl -L has all of it from there", async () => {
  const { status, headers } = await ask(outside + targets.large);
  assert.equal(status, 307);
  const [url, query] = headers["location"]!.split("?");
  assert.ok(replicas.some((replica) => url === replica + targets.large), String(url));
  assert.equal(query, `atoll-sent=${ring.nodes[3]!.nodeId}`);
  assert.deepEqual([headers["cache-control"], headers["content-length"]], ["no-store", "0"]);
  const { stdout, status: last } = await curl(["-L", outside + targets.large]);
  assert.equal(last, 200);
  assert.ok(stdout.equals(LARGE));
  const head = await curl(["-L", "-I", outside + targets.large]);
  assert.match(String(head.stdout), /^HTTP\/1.1 307 [^]*HTTP\/1.1 200 [^]*content-length: 300000/i);
});

test("who was sent already, who will not be, and whose copy is current, is answered here", async () => {
  const here = [
    ask(`${outside}${targets.large}?atoll-sent=somebody`),
    ask(outside + targets.large, { headers: { "Atoll-Route": "here" } }),
    ask(replicas[0]! + targets.large),
  ];
  for (const asked of here) {
    const { status, body } = await asked;
    assert.ok(status === 200 && body.equals(LARGE), String(status));
  }
});

test("conditions, parts and small objects are answered by whoever was asked", async () => {
  const etag = (await ask(replicas[0]! + targets.large)).headers["etag"]!;
  const large = outside + await fresh();
  const of = async (headers: Record<string, string>) => (await ask(large, { headers })).status;
  assert.equal(await of({ "If-None-Match": etag }), 304);
  assert.equal(await of({ "If-Match": '"another"' }), 412);
  assert.equal(await of({ Range: "bytes=0-99" }), 206);
  assert.equal((await ask(outside + targets.small)).status, 200);
});

/** The same content, under a name of which nothing is cached. */
async function fresh(): Promise<string> {
  const target = await keyElsewhere("again");
  assert.equal((await put(ring.nodes[0]!.publicUrl + target, LARGE)).status, 201);
  return target;
}

test("nobody is sent to a node that is gone", async () => {
  const [nearest] = await routeOf(targets.large);
  const index = ring.nodes.findIndex(({ nodeId }) => nodeId === nearest!.node);
  const other = randomBytes(200_000);
  const target = await keyElsewhere("other");
  assert.equal((await put(outside + target, other)).status, 201);
  await ring.nodes[index]!.kill("SIGKILL");
  await until("the death is known", DEADLINE_MS, async () => {
    const dead = (await routeOf(target)).find(({ node }) => node === nearest!.node);
    return dead?.rttMs === null;
  });
  for (let n = 0; n < 5; n++) {
    const { status, stdout } = await curl(["-L", outside + target]);
    assert.equal(status, 200);
    assert.ok(stdout.equals(other));
  }
});
