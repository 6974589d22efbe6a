/**
 * A ring of three becomes one of five, four and three while clients do all there is to do, and whoever was told to change it
 * is killed over it: what clients saw that are in each other's way has an order, and of those that are not no request failed
 * but at a node that was killed.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { until } from "../helpers/deadline.ts";
import { createSeededRandom } from "../helpers/fake-random.ts";
import { HttpHistory } from "../helpers/http-history.ts";
import { freePorts } from "../helpers/ports.ts";
import { ask, type Asking, type Reply } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const IDS = ["a", "b", "c", "d", "e"] as const;
type Id = (typeof IDS)[number];

const SETTLE_MS = 60_000;
/** What a change takes that nobody was killed over, about. */
const CALL_MS = 60;
/** After that long without a new layout the change is asked for again. */
const CARRIED_MS = 4_000;
/** That do everything to the same few objects. */
const CLIENTS = 4;
/** That write and read each its own. */
const OWNERS = 3;
const OWN_KEYS = 12;
/** Between an owner's requests: the ring is tried, and not a machine that has no core left to answer in time. */
const THINK_MS = 20;
const SEED = Number(process.env["ATOLL_HISTORY_SEED"] ?? Math.floor(Math.random() * 1e9));

const directory = temporaryDirectory();
const random = createSeededRandom(SEED);
let ports: number[];
const running = new Map<Id, AtollProcess>();
/** The changes of a test that failed go on for a while: no process may be left behind by them. */
let isOver = false;
/** Whom the clients ask. */
let playing: readonly Id[] = [];
/** Where requests may fail: addresses of processes that were killed. */
const killed = new Set<string>();
/** Who was told to end in good order: it may turn away what comes, and must finish what it took. */
const leaving = new Set<string>();

before(async () => {
  ports = await freePorts(IDS.length);
});
after(async () => {
  isOver = true;
  await Promise.all([...running.values()].map((node) => node.kill("SIGKILL")));
  directory[Symbol.dispose]();
});

async function start(id: Id): Promise<void> {
  const index = IDS.indexOf(id);
  assert.ok(!isOver, "the test is over");
  const node = await startNode({
    runtime: index % 2 === 0 ? HERE : THERE,
    dataDir: join(directory.path, id),
    until: "listening", // who is not taken in yet is not ready
    env: {
      ATOLL_NODE_ID: id,
      ATOLL_REGION: id,
      ATOLL_PEER_PORT: String(ports[index]),
      ATOLL_SEEDS: ports.map((port) => `http://127.0.0.1:${port}`).join(","),
      ATOLL_BOOTSTRAP_EXPECT: "3",
      ATOLL_JOIN_AFTER: "never",
      ATOLL_COMPARE_INTERVAL: "2s",
    },
  });
  running.set(id, node);
  if (isOver) await node.kill("SIGKILL");
}

function at(id: Id): AtollProcess {
  return running.get(id)!;
}

interface Status {
  readonly layout: { readonly number: number; readonly state: string };
  readonly nodes: readonly { readonly id: string; readonly member: boolean; readonly state: string }[];
}

async function statusAt(id: Id): Promise<Status> {
  const { status, body } = await ask(`${at(id).publicUrl}/_/ring`);
  assert.equal(status, 200, body.toString());
  return JSON.parse(body.toString()) as Status;
}

async function post(id: Id, path: string, document: object): Promise<{ status: number; text: string }> {
  const { status, body } = await ask(`${at(id).publicUrl}${path}`, {
    method: "POST",
    body: JSON.stringify(document),
  });
  return { status, text: body.toString() };
}

/** Every node of them goes by a settled layout of them that comes after that one. */
async function settled(ids: readonly Id[], after: number): Promise<void> {
  for (const id of ids) {
    await until(`${id} goes by a settled layout of ${ids.join()}`, SETTLE_MS, async () => {
      const { layout, nodes } = await statusAt(id);
      const members = nodes.filter(({ member }) => member).map((node) => node.id);
      return layout.state === "settled" && layout.number > after && members.join() === ids.join();
    }, at(id).lines);
  }
}

async function hasHeardOf(id: Id, wanted: readonly Id[], state: RegExp): Promise<void> {
  await until(`${id} has heard of ${wanted.join()} as ${state}`, SETTLE_MS, async () => {
    const { nodes } = await statusAt(id);
    return wanted.every((one) => nodes.some((node) => node.id === one && state.test(node.state)));
  }, at(id).lines);
}

/** It has heard of them, and that they know the ring. */
async function canBeTakenIn(by: Id, join: readonly Id[]): Promise<void> {
  await until(`${join.join()} can be taken in by ${by}`, SETTLE_MS, async () => {
    return (await post(by, "/_/ring/plan", { join })).status === 200;
  }, at(by).lines);
}

interface Plan {
  readonly replicasMoved: number;
  readonly nodes: readonly { readonly before: number; readonly after: number }[];
}

/** Whoever is to hold more must get that much: what moves beyond it is what was not needed. */
async function movesLittle(by: Id, change: object): Promise<void> {
  const { status, text } = await post(by, "/_/ring/plan", change);
  assert.equal(status, 200, text);
  const { replicasMoved, nodes } = JSON.parse(text) as Plan;
  const least = nodes.reduce((sum, { before, after: then }) => sum + Math.max(0, then - before), 0);
  assert.ok(least > 0 || replicasMoved === 0, `wanted nothing moved, got ${replicasMoved} replicas`);
  assert.ok(replicasMoved <= 1.1 * least, `wanted ${least} replicas moved, got ${replicasMoved}`);
}

async function apply(by: Id, change: object): Promise<number> {
  await movesLittle(by, change);
  const { layout } = await statusAt(by);
  const { status, text } = await post(by, "/_/ring/apply", { base: layout.number, change });
  assert.equal(status, 200, text);
  return layout.number;
}

/**
 * Kills the proposer over it: after its answer, or `afterMs` from its call. What it began the others carry through, or know
 * nothing of; then one of them is told. Resolves with how it went.
 */
async function applyKilling(
  by: Id,
  other: Id,
  change: object,
  afterMs: number | undefined,
): Promise<string> {
  await movesLittle(by, change);
  const node = at(by);
  const { number: base } = (await statusAt(by)).layout;
  const call = post(by, "/_/ring/apply", { base, change }).then(
    ({ status }) => String(status),
    () => "broken",
  );
  await (afterMs === undefined ? call : delay(afterMs));
  killed.add(node.publicUrl);
  await node.kill("SIGKILL");
  const answer = await call;
  const began = performance.now();
  while (performance.now() - began < CARRIED_MS) {
    if ((await statusAt(other)).layout.number > base) return `${answer}, and carried through`;
    // A decree that nobody brings to its end needs somebody who proposes: that is what the next operator does.
    if (answer !== "200") {
      const again = await post(other, "/_/ring/apply", { base, change });
      if (again.status === 200) return `${answer}, and applied again`;
      // Somebody has it now.
      assert.equal(again.status, 409, again.text);
    }
    await delay(20);
  }
  throw new Error(`waited ${CARRIED_MS} ms in vain for the change, which was answered ${answer}`);
}

/** Whether a request that reached somebody who leaves was not begun there, so that it may be asked of another. */
function isTurnedAway(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ECONNREFUSED";
}

/** Asks that node, and others for as long as it was killed or turns away what comes; anything else than those statuses fails. */
async function served(n: number, target: string, wanted: readonly number[], asking: Asking): Promise<Reply> {
  for (let tries = 0; tries < IDS.length; tries++) {
    const { publicUrl } = at(playing[(n + tries) % playing.length]!);
    const reply = await ask(publicUrl + target, asking).catch((error: unknown) => {
      if (killed.has(publicUrl) || (leaving.has(publicUrl) && isTurnedAway(error))) return undefined;
      throw new Error(`${asking.method} ${target} at ${publicUrl}`, { cause: error });
    });
    if (!reply) continue;
    if (leaving.has(publicUrl) && reply.status === 503 && reply.body.includes('"code":"draining"')) continue;
    assert.ok(
      wanted.includes(reply.status),
      `${asking.method} ${target}: ${reply.status} ${reply.body.toString()}`,
    );
    return reply;
  }
  throw new Error(`${asking.method} ${target} failed at every node`);
}

/** Writes its own objects at one node and reads them at the next, on and on. Resolves with what was acknowledged. */
async function own(name: string, over: AbortSignal): Promise<Map<string, Buffer>> {
  const acknowledged = new Map<string, Buffer>();
  for (let n = 0; !over.aborted; n++) {
    const target = `/changes/${name}-${n % OWN_KEYS}`;
    const content = randomBytes(n % 10 === 0 ? 1_200_000 : 300);
    await served(n, target, [200, 201], { method: "PUT", body: content });
    acknowledged.set(target, content);
    for (const wanted of [target, `/changes/${name}-${(n + 5) % OWN_KEYS}`]) {
      const newest = acknowledged.get(wanted);
      if (!newest) continue;
      const { body } = await served(n + 1, wanted, [200], { method: "GET" });
      assert.ok(body.equals(newest), `${wanted}: wanted what was acknowledged last`);
    }
    await delay(THINK_MS);
  }
  return acknowledged;
}

test("3 nodes become 5, 4 and 3 under load, two changes without who proposed them", async (t) => {
  const history = new HttpHistory(
    {
      get nodes() {
        return playing.map((id) => at(id));
      },
    },
    createSeededRandom(SEED + 1),
  );
  await Promise.all((["a", "b", "c"] as const).map((id) => start(id)));
  await settled(["a", "b", "c"], 0);
  playing = ["a", "b", "c"];
  const over = new AbortController();
  const clients = history.play(CLIENTS);
  const owners = Promise.all(Array.from({ length: OWNERS }, (_, i) => own(`owner-${i}`, over.signal)));
  try {
    // Whoever saw what may not be ends it at once.
    await Promise.race([changes(t), clients, owners]);
  } finally {
    history.end();
    over.abort();
  }
  await clients;
  const acknowledged = (await owners).flatMap((one) => [...one]);
  const { objects, operations } = await history.check();
  for (const id of playing) {
    for (const [target, content] of acknowledged) {
      const { status, body } = await ask(at(id).publicUrl + target);
      assert.ok(status === 200 && body.equals(content), `${target} at ${id}: ${status}`);
    }
  }
  const ends = [...history.ends].map(([end, count]) => `${end} ${count}`).join(", ");
  const longest = history.longestMs.toFixed();
  t.diagnostic(
    `seed ${SEED}: ${operations} operations on ${objects} objects (${ends}), longest ${longest} ms`,
  );
  // In each other's way they may be out of luck.
  for (const { publicUrl, told } of history.failed) if (!killed.has(publicUrl)) t.diagnostic(told);
  const done = (end: string) => history.ends.get(end) ?? 0;
  assert.ok(done("stored") > 10 && done("found") > 10, `wanted clients that get something done, got ${ends}`);
  assert.ok(acknowledged.length > OWNERS, "wanted owners that get something done");
});

async function changes(t: TestContext): Promise<void> {
  await Promise.all([start("d"), start("e")]);
  await canBeTakenIn("a", ["d", "e"]);
  await canBeTakenIn("b", ["d", "e"]);
  const before = (await statusAt("a")).layout.number;
  t.diagnostic(
    `a, told to take in d and e: ${await applyKilling("a", "b", { join: ["d", "e"] }, undefined)}`,
  );
  playing = ["b", "c", "d", "e"];
  await start("a");
  await settled(["a", "b", "c", "d", "e"], before + 1);
  playing = IDS;

  const drainBase = (await statusAt("c")).layout.number;
  const afterMs = random.below(CALL_MS);
  const how = await applyKilling("c", "d", { drain: ["b"] }, afterMs);
  t.diagnostic(`c, killed ${afterMs} ms after it was told to drain b: ${how}`);
  playing = ["a", "b", "d", "e"];
  await start("c");
  await settled(["a", "b", "c", "d", "e"], drainBase + 1);
  playing = ["a", "c", "d", "e"];
  leaving.add(at("b").publicUrl);
  await at("b").kill("SIGTERM");
  running.delete("b");
  await apply("e", { remove: ["b"] });
  await settled(["a", "c", "d", "e"], drainBase + 2);

  killed.add(at("e").publicUrl);
  await at("e").kill("SIGKILL");
  playing = ["a", "c", "d"];
  running.delete("e");
  await hasHeardOf("d", ["e"], /^(suspect|dead)$/);
  const removeBase = await apply("d", { remove: ["e"] });
  await settled(["a", "c", "d"], removeBase);
}
