/** A ring of real processes whose members change while it is read and written. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { until } from "../helpers/deadline.ts";
import { ask, put } from "../helpers/raw-http.ts";
import { freePorts } from "../helpers/ports.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";

const SETTLE_MS = 120_000;
const IDS = ["a", "b", "c", "d", "e"];

let directory: string;
let ports: number[];
const nodes = new Map<string, AtollProcess>();
const acknowledged = new Map<string, Buffer>();

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-members-"));
  ports = await freePorts(IDS.length);
});
after(async () => {
  await Promise.all([...nodes.values()].map((node) => node.kill("SIGKILL")));
  await rm(directory, { recursive: true });
});

async function start(id: string, founders: number): Promise<AtollProcess> {
  const index = IDS.indexOf(id);
  const node = await startNode({
    runtime: index % 2 === 0 ? HERE : THERE,
    dataDir: join(directory, id),
    env: {
      ATOLL_NODE_ID: id,
      ATOLL_REGION: id,
      ATOLL_PEER_PORT: String(ports[index]),
      ATOLL_SEEDS: ports.map((port) => `http://127.0.0.1:${port}`).join(","),
      ATOLL_BOOTSTRAP_EXPECT: String(founders),
      ATOLL_JOIN_AFTER: "1s",
      ATOLL_COMPARE_INTERVAL: "2s",
    },
  });
  nodes.set(id, node);
  return node;
}

function at(id: string): AtollProcess {
  return nodes.get(id)!;
}

interface Status {
  readonly layout: { readonly number: number; readonly state: string };
  readonly nodes: readonly { readonly id: string; readonly member: boolean; readonly state: string }[];
}

async function statusOf(id: string): Promise<Status> {
  const { status, body } = await ask(`${at(id).publicUrl}/_/ring`);
  assert.equal(status, 200, body.toString());
  return JSON.parse(body.toString()) as Status;
}

/** By a later one than layout `after`. */
async function settled(id: string, members: string, after = 0): Promise<void> {
  await until(`${id} goes by a settled layout of ${members}`, SETTLE_MS, async () => {
    const { layout, nodes: all } = await statusOf(id);
    return layout.number > after && layout.state === "settled" &&
      all.filter((node) => node.member).map((node) => node.id).join("") === members;
  }, at(id).lines);
}

async function post(
  id: string,
  path: string,
  body: object,
): Promise<{ status: number; answer: Record<string, unknown> }> {
  const { status, body: text } = await ask(`${at(id).publicUrl}${path}`, {
    method: "POST",
    body: Buffer.from(JSON.stringify(body)),
  });
  return { status, answer: JSON.parse(text.toString()) as Record<string, unknown> };
}

/** Resolves with the number of the layout that came of it: as a rule a moving one. */
async function apply(id: string, change: object): Promise<number> {
  const plan = await post(id, "/_/ring/plan", change);
  assert.equal(plan.status, 200, JSON.stringify(plan.answer));
  const applied = await post(id, "/_/ring/apply", { base: plan.answer["base"], change });
  assert.equal(applied.status, 200, JSON.stringify(applied.answer));
  return Number(applied.answer["layout"]);
}

/** Writes new objects and reads all old ones at every node, on and on, until `done`. */
async function underLoad<T>(ids: readonly string[], work: () => Promise<T>): Promise<T> {
  const over = new AbortController();
  const load = (async () => {
    for (let n = 0; !over.signal.aborted; n++) {
      const target = `/members/key-${n % 40}`;
      const content = randomBytes(n % 10 === 0 ? 1_200_000 : 300);
      const { status, body } = await put(at(ids[n % ids.length]!).publicUrl + target, content);
      assert.ok(status === 200 || status === 201, `PUT ${target}: ${status} ${body.toString()}`);
      acknowledged.set(target, content);
      const read = await ask(at(ids[(n + 1) % ids.length]!).publicUrl + target);
      assert.ok(read.status === 200 && read.body.equals(content), `GET ${target}: ${read.status}`);
    }
  })();
  const result = work().finally(() => over.abort());
  await Promise.all([result, load]);
  return await result;
}

async function readsAll(ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    for (const [target, content] of acknowledged) {
      const { status, body } = await ask(at(id).publicUrl + target);
      assert.ok(status === 200 && body.equals(content), `${target} at ${id}: ${status}`);
    }
  }
}

test("three nodes become five under load: every write is acknowledged, every read is the newest", async () => {
  await Promise.all(["a", "b", "c"].map((id) => start(id, 3)));
  await settled("a", "abc");
  await underLoad(["a", "b", "c"], async () => {
    await Promise.all([start("d", 1), start("e", 1)]);
    await settled("a", "abcde");
    await settled("e", "abcde");
  });
  await readsAll(IDS);
});

test("a node is drained under load, stopped and removed", async () => {
  await underLoad(["b", "c", "d", "e"], async () => {
    await settled("b", "abcde", await apply("d", { drain: ["a"] }));
  });
  await at("a").kill("SIGTERM");
  nodes.delete("a");
  await apply("c", { remove: ["a"] });
  for (const id of ["b", "c", "d", "e"]) await settled(id, "bcde");
  await readsAll(["b", "c", "d", "e"]);
});

test("a node that died is removed: what it held has all its copies again", async () => {
  await at("e").kill("SIGKILL");
  nodes.delete("e");
  await until("its death is seen", SETTLE_MS, async () => {
    return (await statusOf("b")).nodes.some(({ id, state }) => id === "e" && state !== "alive");
  }, at("b").lines);
  await apply("b", { remove: ["e"] });
  for (const id of ["b", "c", "d"]) await settled(id, "bcd");
  await readsAll(["b", "c", "d"]);
});

test("what cannot be is refused, with what was wanted and what came", async () => {
  const cases: readonly (readonly [object, number, RegExp])[] = [
    [{ drain: ["z"] }, 400, /wanted members of the ring, got z/],
    [{ join: ["z"] }, 400, /wanted nodes that this one has heard of, got z/],
    [{ replicas: 4 }, 400, /wanted an odd number of replicas/],
    [{ drain: ["b", "c", "d"] }, 400, /wanted somebody to hold the data/],
    [{ nonsense: 1 }, 400, /nonsense/],
  ];
  for (const [change, wanted, detail] of cases) {
    const { status, answer } = await post("b", "/_/ring/plan", change);
    assert.equal(status, wanted);
    assert.match(String(answer["detail"]), detail);
  }
  const { base } = (await post("b", "/_/ring/plan", { weight: { b: 2 } })).answer;
  const alive = await post("b", "/_/ring/apply", { base, change: { remove: ["c"] } });
  assert.deepEqual([alive.status, alive.answer["code"], alive.answer["confirm"]], [
    422,
    "refused",
    "remove c",
  ]);
  const old = await post("b", "/_/ring/apply", { base: Number(base) - 1, change: { weight: { b: 2 } } });
  assert.deepEqual([old.status, old.answer["code"]], [409, "layout-changed"]);
  assert.ok(old.answer["plan"], "the new plan is shown");
});

test("of two operators who change the ring at once one wins, and the other is told", async () => {
  const { base } = (await post("b", "/_/ring/plan", { weight: { b: 2 } })).answer;
  const answers = await Promise.all([
    post("b", "/_/ring/apply", { base, change: { weight: { b: 2 } } }),
    post("d", "/_/ring/apply", { base, change: { weight: { c: 3 } } }),
  ]);
  assert.deepEqual(answers.map(({ status }) => status).sort((one, other) => one - other), [200, 409]);
  await settled("b", "bcd");
  await readsAll(["b", "c", "d"]);
});
