/** Nodes of a ring of three that die, hang, and come back. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { AtollProcess } from "../helpers/atoll-process.ts";
import { type AtollRing, startRing } from "../helpers/atoll-ring.ts";
import { until } from "../helpers/deadline.ts";
import { ask, codeOf, metricOf, put } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";

/** Nothing that a peer's absence causes may take this long; whole timeouts do. */
const P99_MS_MAX = 500;
const SMALL_READS = 200;

let directory: string;
let ring: AtollRing;
/** All that was acknowledged in this file, and must be there at the end. */
const acknowledged = new Map<string, Buffer>();

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-outage-"));
  ring = await startRing({ directory, runtimes: [HERE, THERE, HERE] });
});
after(async () => {
  await ring[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

async function write(node: AtollProcess, target: string, content: Buffer): Promise<void> {
  const reply = await put(node.publicUrl + target, content);
  assert.ok(
    reply.status === 200 || reply.status === 201,
    `${target}: ${reply.status} ${reply.body.toString()}`,
  );
  acknowledged.set(target, content);
}

async function readAll(node: AtollProcess): Promise<void> {
  for (const [target, content] of acknowledged) {
    const { status, body } = await ask(node.publicUrl + target);
    assert.ok(status === 200 && body.equals(content), `${target} at ${node.publicUrl}: ${status}`);
  }
}

async function seesPeers(node: AtollProcess, count: number, deadlineMs: number): Promise<void> {
  const sees = async () => await metricOf(node.publicUrl, "atoll_peers_alive") === count;
  await until(`${node.publicUrl} sees ${count} peers alive`, deadlineMs, sees, node.lines);
}

/** Writes and reads of every kind at these nodes, none of which may fail. */
async function goesOn(nodes: readonly AtollProcess[], when: string): Promise<void> {
  for (const [i, node] of nodes.entries()) {
    await write(node, `/outage/${when}-small-${i}`, randomBytes(500));
    await write(node, `/outage/${when}-large-${i}`, randomBytes(1_500_000));
    await write(node, "/outage/overwritten", Buffer.from(`${when} ${i}`));
    assert.equal((await ask(`${node.publicUrl}/outage?limit=1`)).status, 200, "a listing");
  }
  for (const node of nodes) await readAll(node);
}

async function smallReadsAreQuick(node: AtollProcess): Promise<void> {
  await write(node, "/outage/quick", randomBytes(500));
  const tookMs: number[] = [];
  for (let i = 0; i < SMALL_READS; i++) {
    const begunMs = performance.now();
    assert.equal((await ask(`${node.publicUrl}/outage/quick`)).status, 200);
    tookMs.push(performance.now() - begunMs);
  }
  const p99 = tookMs.sort((a, b) => a - b)[Math.ceil(0.99 * SMALL_READS) - 1]!;
  assert.ok(p99 < P99_MS_MAX, `wanted a p99 below ${P99_MS_MAX} ms, got ${p99.toFixed(1)} ms`);
}

test("with one node killed, the others read, write and list on, and as quickly once it is suspect", async () => {
  const [first, second, third] = nodes();
  await goesOn([first, second, third], "before");
  await third.kill("SIGKILL");
  await goesOn([first, second], "killed");
  for (const node of [first, second]) await seesPeers(node, 1, 5_000);
  await smallReadsAreQuick(first);
  await smallReadsAreQuick(second);
});

test("a node that was down serves the newest version of what it missed, at once when it is back", async () => {
  const [first, second] = nodes();
  await write(second, "/outage/missed", Buffer.from("missed 1"));
  await write(first, "/outage/missed", Buffer.from("missed 2"));
  const third = await ring.restart(2);
  await readAll(third);
  for (const node of [first, second]) await seesPeers(node, 2, 5_000);
  await goesOn(nodes(), "back");
});

test("a node that hangs is suspect within 5 s, hinders nobody, and works again when it goes on", async () => {
  const [first, second, third] = nodes();
  second.pause();
  try {
    await Promise.all([first, third].map((node) => seesPeers(node, 1, 5_000)));
    await goesOn([first, third], "paused");
    await smallReadsAreQuick(first);
    await smallReadsAreQuick(third);
  } finally {
    second.resume();
  }
  // At once: it still believes in what it knew before.
  await readAll(second);
  for (const node of nodes()) await seesPeers(node, 2, 5_000);
  await goesOn(nodes(), "resumed");
});

test("with two nodes hanging, what needs a majority is 503 no-quorum within 10 s, and nothing is lost", async () => {
  const [first, second, third] = nodes();
  second.pause();
  third.pause();
  const url = `${first.publicUrl}/outage`;
  const deadlineMs = 10_000;
  try {
    const replies = await Promise.all([
      ask(`${url}/overwritten`, { deadlineMs }),
      put(`${url}/hanging`, "small", { deadlineMs }),
      ask(`${url}/overwritten`, { method: "DELETE", deadlineMs }),
      ask(url, { deadlineMs }),
    ]);
    assert.deepEqual(
      replies.map((reply) => `${reply.status} ${codeOf(reply)}`),
      Array(4).fill("503 no-quorum"),
    );
  } finally {
    second.resume();
    third.resume();
  }
  for (const node of nodes()) await seesPeers(node, 2, 5_000);
  for (const node of nodes()) await readAll(node);
});

test("without a majority reads, writes and listings are 503 no-quorum within 10 s; with one again all is there", async () => {
  const [first, second, third] = nodes();
  await Promise.all([second.kill("SIGKILL"), third.kill("SIGKILL")]);
  const url = first.publicUrl;
  const target = "/outage/overwritten";
  const deadlineMs = 10_000;
  for (let round = 0; round < 2; round++) {
    const replies = await Promise.all([
      ask(url + target, { deadlineMs }),
      ask(url + target, { method: "HEAD", deadlineMs }),
      put(`${url}/outage/refused-${round}`, "small", { deadlineMs }),
      put(`${url}/outage/refused-large-${round}`, Buffer.alloc(2_000_000, round), { deadlineMs }),
      put(url + target, "refused", { deadlineMs }),
      ask(url + target, { method: "DELETE", deadlineMs }),
      ask(`${url}/outage`, { deadlineMs }),
      ask(`${url}/`, { deadlineMs }),
    ]);
    assert.deepEqual(replies.map(({ status }) => status), Array(8).fill(503));
    for (const [i, reply] of replies.entries()) {
      if (i !== 1) assert.equal(codeOf(reply), "no-quorum");
      assert.match(reply.headers["retry-after"] ?? "", /^\d+$/);
    }
    assert.equal((await ask(`${url}/livez`)).status, 200);
    // Once more when the dead are known to be dead.
    await seesPeers(first, 0, 5_000);
  }
  await Promise.all([ring.restart(1), ring.restart(2)]);
  for (const node of nodes()) await seesPeers(node, 2, 10_000);
  for (const node of nodes()) await readAll(node);
  for (const refused of ["/outage/refused-0", "/outage/refused-large-1"]) {
    assert.equal(
      (await ask(nodes()[1].publicUrl + refused)).status,
      404,
      "503 means that it was not and will not be",
    );
  }
  await goesOn(nodes(), "again");
});

function nodes(): [AtollProcess, AtollProcess, AtollProcess] {
  return [ring.nodes[0]!, ring.nodes[1]!, ring.nodes[2]!];
}
