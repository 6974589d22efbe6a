/** ring …, against a ring of three real processes on both runtimes: from what an operator types to what clients see of it. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { RingStatus } from "../../src/cli/ring-documents.ts";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { command, type CommandOptions, type CommandRun } from "../helpers/command-line.ts";
import { until } from "../helpers/deadline.ts";
import { freePorts } from "../helpers/ports.ts";
import { ask, codeOf, put } from "../helpers/raw-http.ts";
import { HERE, runAtoll, THERE } from "../helpers/raw-start.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const IDS = ["node-a", "node-b", "node-c", "node-d", "node-e", "node-f"];
const WAIT_MS = 30_000;
const OBJECTS = 40;

const directory = temporaryDirectory();
let ports: number[];
const nodes = new Map<string, AtollProcess>();
const stored = new Map<string, Buffer>();

before(async () => {
  ports = await freePorts(IDS.length);
  await Promise.all(["node-a", "node-b", "node-c"].map((id) => start(id)));
  await Promise.all([...nodes.values()].map((node) => node.ready()));
  for (let i = 0; i < OBJECTS; i++) await store(at(IDS[i % 3]!), `/real/${i}`, i % 8 === 0 ? 300_000 : 500);
});
after(async () => {
  await Promise.all([...nodes.values()].map((node) => node.kill("SIGKILL")));
  directory[Symbol.dispose]();
});

async function start(id: string): Promise<void> {
  const index = IDS.indexOf(id);
  nodes.set(
    id,
    await startNode({
      runtime: index % 2 === 0 ? HERE : THERE,
      dataDir: join(directory.path, id),
      until: "listening", // who is not taken in yet is not ready
      env: {
        ATOLL_NODE_ID: id,
        ATOLL_REGION: `region-${id.at(-1)}`,
        ATOLL_PEER_PORT: String(ports[index]),
        ATOLL_SEEDS: ports.map((port) => `http://127.0.0.1:${port}`).join(","),
        ATOLL_BOOTSTRAP_EXPECT: "3",
        ATOLL_JOIN_AFTER: "never",
      },
    }),
  );
}

function at(id: string): AtollProcess {
  return nodes.get(id)!;
}

async function loseForGood(id: string): Promise<void> {
  await at(id).kill("SIGKILL");
  nodes.delete(id);
  await rm(join(directory.path, id), { recursive: true });
}

async function store(node: AtollProcess, target: string, sizeBytes: number): Promise<void> {
  const content = randomBytes(sizeBytes);
  const { status, body } = await put(node.publicUrl + target, content);
  assert.ok(status === 201 || status === 200, `PUT ${target}: ${status} ${body.toString()}`);
  stored.set(target, content);
}

/** At every node that runs. */
async function readsAll(): Promise<void> {
  for (const [id, { publicUrl }] of nodes) {
    for (const [target, content] of stored) {
      const { status, body } = await ask(publicUrl + target);
      assert.ok(status === 200 && body.equals(content), `${target} at ${id}: ${status}`);
    }
  }
}

function ring(id: string, words: readonly string[], options: CommandOptions = {}): Promise<CommandRun> {
  return command(["ring", ...words, ...(words.includes("--watch") ? ["--interval", "0.1"] : [])], {
    ...options,
    env: { ATOLL_URL: at(id).publicUrl },
  });
}

async function succeeds(id: string, words: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await ring(id, words);
  assert.equal(code, 0, `${words.join(" ")}: ${stderr}`);
  return stdout.toString();
}

async function statusBy(id: string): Promise<RingStatus> {
  const { code, stderr, documents } = await ring(id, ["status", "--json"]);
  assert.equal(code, 0, stderr);
  return documents()[0] as unknown as RingStatus;
}

/** How many partitions each member has a replica of. */
async function held(id: string): Promise<Record<string, number>> {
  const { layout, nodes: all } = await statusBy(id);
  assert.equal(layout.state, "settled");
  return Object.fromEntries(
    all.filter(({ member }) => member).map((node) => [node.id, node.partitions.after]),
  );
}

async function sees(id: string, other: string, state: RegExp): Promise<void> {
  await until(`${id} sees ${other} as ${state}`, WAIT_MS, async () => {
    return (await statusBy(id)).nodes.some((node) => node.id === other && state.test(node.state));
  }, at(id).lines);
}

test("status of a real ring, for people and for programs, as a process", async () => {
  const env = { ATOLL_URL: at("node-b").publicUrl };
  const shown = await runAtoll(THERE, env, ["ring", "status"], { deadlineMs: WAIT_MS });
  assert.deepEqual([shown.code, shown.stderr], [0, ""]);
  assert.match(shown.stdout, /^ring \w+ {2}layout 1, settled {2}3 replicas {2}3 members in 3 zones$/m);
  assert.match(shown.stdout, /^node-b \* +alive +region-b +region-b +1 +1024 +0\.0 ms +voter/m);
  const { layout, self, nodes: all } = await statusBy("node-c");
  assert.deepEqual([layout.number, layout.state, layout.voters], [1, "settled", IDS.slice(0, 3)]);
  assert.equal(self, "node-c");
  assert.deepEqual(all.map(({ id, member }) => [id, member]), IDS.slice(0, 3).map((id) => [id, true]));
});

test("drain: nothing without a yes; with it the node holds nothing, and a weight brings it back", async () => {
  const unasked = await runAtoll(HERE, { ATOLL_URL: at("node-a").publicUrl }, ["ring", "drain", "node-c"], {
    deadlineMs: WAIT_MS,
  });
  assert.equal(unasked.code, 2);
  assert.match(unasked.stderr, /wanted --yes/);
  assert.equal((await statusBy("node-a")).layout.number, 1);
  const said = await succeeds("node-a", ["drain", "node-c", "--yes", "--watch"]);
  assert.match(said, /wanted 3 copies, got 2/);
  assert.match(said, /layout 2 is decided/);
  assert.match(said, /layout 3, settled/);
  assert.deepEqual(await held("node-a"), { "node-a": 1024, "node-b": 1024, "node-c": 0 });
  await readsAll();
  const back = await ring("node-b", ["weight", "node-c", "1", "--yes", "--watch", "--json"]);
  assert.equal(back.code, 0, back.stderr);
  assert.equal((back.documents()[0] as { layout: number }).layout, 4);
  assert.deepEqual(await held("node-a"), { "node-a": 1024, "node-b": 1024, "node-c": 1024 });
  await readsAll();
});

test("replace: a new node under a new ID takes the place of one that lost its disk", async () => {
  await loseForGood("node-c");
  await store(at("node-a"), "/real/while-c-is-gone", 70_000);
  await start("node-d");
  await sees("node-a", "node-d", /^joining$/);
  await sees("node-a", "node-c", /^(suspect|dead)$/);
  await until("node-a has heard that node-d knows the ring", WAIT_MS, async () => {
    return (await ring("node-a", ["plan", "--replace", "node-c=node-d", "--json"])).code === 0;
  }, at("node-d").lines);
  const said = await succeeds("node-a", ["replace", "node-c", "node-d", "--yes", "--watch"]);
  assert.match(said, /layout \d+ is decided/);
  assert.deepEqual(await held("node-a"), { "node-a": 1024, "node-b": 1024, "node-d": 1024 });
  await at("node-d").ready();
  await readsAll();
});

test("replicas: from three copies to one and back", async () => {
  assert.match(await succeeds("node-d", ["replicas", "1", "--yes", "--watch"]), /settled {2}1 replica /);
  const one = Object.values(await held("node-d"));
  assert.equal(one.reduce((sum, count) => sum + count, 0), 1024);
  assert.ok(one.every((count) => count >= 341 && count <= 342), `wanted thirds, got ${one.join()}`);
  await readsAll();
  await store(at("node-b"), "/real/0", 300_000);
  await succeeds("node-a", ["replicas", "3", "--yes", "--watch"]);
  assert.deepEqual(await held("node-a"), { "node-a": 1024, "node-b": 1024, "node-d": 1024 });
  await readsAll();
});

test("force-recover: two of three are gone for good, and the survivor serves everything again", async () => {
  const needless = await ring("node-a", ["force-recover", "--survivors", "node-a"]);
  assert.equal(needless.code, 1);
  assert.match(needless.stderr, /wanted a ring whose voters cannot decide, got 3 of 3 that answer/);
  await loseForGood("node-b");
  await loseForGood("node-d");
  await sees("node-a", "node-b", /^(suspect|dead)$/);
  await sees("node-a", "node-d", /^(suspect|dead)$/);
  const refused = await ask(`${at("node-a").publicUrl}/real/1`);
  assert.deepEqual([refused.status, codeOf(refused)], [503, "no-quorum"]);
  const { number } = (await statusBy("node-a")).layout;
  const undecided = await ring("node-a", ["remove", "node-b", "--yes", "--confirm", "remove node-b"]);
  assert.equal(undecided.code, 5, `nothing can be decided: ${undecided.stderr}`);

  const words = "lose 0 partitions";
  const nobody = await ring("node-a", ["force-recover"]);
  assert.equal(nobody.code, 1);
  assert.match(nobody.stderr, /What only the others held is lost/);
  assert.match(nobody.stderr, /gives up on node-b node-d: 0 of 1024 partitions have no replica among/);
  assert.match(nobody.stderr, /pass --confirm "lose 0 partitions"/);
  const wrong = await ring("node-a", ["force-recover"], {
    terminal: [{ question: /type: lose 0 partitions/, answer: "yes" }],
  });
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /nothing was changed/);
  assert.equal((await statusBy("node-a")).layout.number, number);
  const silent = await ring("node-a", ["force-recover", "--survivors", "node-a,node-b", "--confirm", words]);
  assert.equal(silent.code, 1);
  assert.match(silent.stderr, /wanted members that are alive as survivors, got node-b/);

  const typed = await ring("node-a", ["force-recover", "--survivors", "node-a", "--watch"], {
    terminal: [{ question: /type: lose 0 partitions/, answer: words }],
  });
  assert.equal(typed.code, 0, typed.stderr);
  assert.match(typed.stdout.toString(), /is decided by force/);
  assert.deepEqual(await held("node-a"), { "node-a": 1024 });
  await at("node-a").ready();
  await readsAll();
  await store(at("node-a"), "/real/after-all", 100_000);
  await readsAll();
});

test("force-recover of a ring of single copies: how much is lost stands in the words, and what is left serves", async () => {
  await start("node-e");
  await start("node-f");
  for (const id of ["node-e", "node-f"]) await sees("node-a", id, /^joining$/);
  await until("it has heard that they know the ring", WAIT_MS, async () => {
    return (await ring("node-a", ["plan", "--join", "node-e,node-f", "--json"])).code === 0;
  }, at("node-f").lines);
  await succeeds("node-a", ["join", "node-e", "node-f", "--yes", "--watch"]);
  await succeeds("node-a", ["replicas", "1", "--yes", "--watch"]);
  const { "node-a": kept = 0 } = await held("node-a");
  await readsAll();
  await loseForGood("node-e");
  await loseForGood("node-f");
  for (const id of ["node-e", "node-f"]) await sees("node-a", id, /^(suspect|dead)$/);
  const words = `lose ${1024 - kept} partitions`;
  const typed = await ring("node-a", ["force-recover", "--watch"], {
    terminal: [{ question: new RegExp(`type: ${words}`), answer: words }],
  });
  assert.equal(typed.code, 0, typed.stderr);
  assert.match(typed.stderr, new RegExp(`${1024 - kept} of 1024 partitions have no replica among`));
  let [there, lost] = [0, 0];
  for (const [target, content] of stored) {
    const { status, body } = await ask(at("node-a").publicUrl + target);
    if (status === 404) lost++;
    else {
      assert.ok(
        status === 200 && body.equals(content),
        `${target}: ${status} ${body.toString("utf8", 0, 300)}`,
      );
      there++;
    }
  }
  assert.ok(there > 0 && lost > 0, `wanted some of both, got ${there} there and ${lost} lost`);
  await store(at("node-a"), "/real/new", 500);
});
