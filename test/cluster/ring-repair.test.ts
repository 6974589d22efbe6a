/** What a ring of real processes mends by itself: what a node missed while it was down, and a disk that was lost. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, test } from "node:test";
import type { AtollProcess } from "../helpers/atoll-process.ts";
import { type AtollRing, startRing } from "../helpers/atoll-ring.ts";
import { until } from "../helpers/deadline.ts";
import { ask, metricOf, put } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";

const CHUNK_BYTES = 1 << 20;
const MEND_MS = 60_000;

let directory: string;
let ring: AtollRing;
const acknowledged = new Map<string, Buffer>();

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-repair-"));
  ring = await startRing({ directory, runtimes: [HERE, THERE, HERE], env: { ATOLL_COMPARE_INTERVAL: "2s" } });
});
after(async () => {
  await ring[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

async function write(node: AtollProcess, target: string, content: Buffer): Promise<void> {
  const { status, body } = await put(node.publicUrl + target, content);
  assert.ok(status === 200 || status === 201, `${target}: ${status} ${body.toString()}`);
  acknowledged.set(target, content);
}

async function writeSome(nodes: readonly AtollProcess[], when: string): Promise<void> {
  for (const [i, node] of nodes.entries()) {
    for (let n = 0; n < 20; n++) await write(node, `/repair/${when}-${i}-${n}`, randomBytes(500));
    await write(node, `/repair/${when}-${i}-large`, randomBytes(CHUNK_BYTES + 200_000));
    await write(node, "/repair/overwritten", randomBytes(CHUNK_BYTES + 100_000));
  }
}

/** Chunks of large objects that lie as files in a node's directory. */
async function chunkFiles(index: number): Promise<Set<string>> {
  const chunks = join(directory, String.fromCharCode(97 + index), "chunks");
  return new Set((await readdir(chunks, { recursive: true })).map((path) => path.split("/").at(-1)!));
}

function chunksOf(content: Buffer): string[] {
  if (content.length <= CHUNK_BYTES) return [];
  return [content.subarray(0, CHUNK_BYTES), content.subarray(CHUNK_BYTES)].map((chunk) =>
    createHash("sha256").update(chunk).digest("hex")
  );
}

async function hasAllChunks(index: number): Promise<void> {
  const wanted = [...acknowledged.values()].flatMap(chunksOf);
  const node = ring.nodes[index]!;
  await until(`node ${index} has every chunk`, MEND_MS, async () => {
    const held = await chunkFiles(index);
    return wanted.every((id) => held.has(id));
  }, node.lines);
}

async function becomes(node: AtollProcess, metric: string, value: number): Promise<void> {
  const reached = async () => await metricOf(node.publicUrl, metric) === value;
  await until(`${metric} is ${value} at ${node.publicUrl}`, MEND_MS, reached, node.lines);
}

/** With `silent` killed, the others must both hold everything: any two are a majority only together. */
async function readsWithout(silent: number): Promise<void> {
  await ring.nodes[silent]!.kill("SIGKILL");
  for (const node of ring.nodes.filter((_, i) => i !== silent)) {
    for (const [target, content] of acknowledged) {
      const { status, body } = await ask(node.publicUrl + target);
      assert.ok(status === 200 && body.equals(content), `${target} at ${node.publicUrl}: ${status}`);
    }
  }
  await becomes(await ring.restart(silent), "atoll_peers_alive", 2);
}

test("a node that was down gets what it missed, and deletes stay deletes", async () => {
  const [first, second, third] = ring.nodes as [AtollProcess, AtollProcess, AtollProcess];
  await writeSome([first, second, third], "before");
  await third.kill("SIGKILL");
  await writeSome([first, second], "meanwhile");
  const gone = "/repair/before-0-0";
  acknowledged.delete(gone);
  assert.equal((await ask(first.publicUrl + gone, { method: "DELETE" })).status, 204);
  await until("what the node missed is noted", MEND_MS, async () => {
    const owed = await Promise.all(
      [first, second].map((node) => metricOf(node.publicUrl, "atoll_hints_owed")),
    );
    return owed.some((count) => count > 0);
  }, first.lines);
  await ring.restart(2);
  for (const node of [first, second]) await becomes(node, "atoll_hints_owed", 0);
  await hasAllChunks(2);
  await readsWithout(0);
  assert.equal((await ask(ring.nodes[2]!.publicUrl + gone)).status, 404);
});

test("a node whose directory was lost comes back whole without anybody's command", async () => {
  await ring.nodes[1]!.kill("SIGKILL");
  await rm(join(directory, "b"), { recursive: true });
  const again = await ring.restart(1);
  await until("it has learned what it held", MEND_MS, () => {
    return again.lines.some((line) => line.includes("resyncing") && line.includes('"partitionsLeft":0'));
  }, again.lines);
  await becomes(again, "atoll_recovery_partitions_left", 0);
  await hasAllChunks(1);
  await readsWithout(2);
});

test("a scrub on demand reads everything, and mends what was damaged", async () => {
  const node = ring.nodes[0]!;
  const status = async () => {
    const { body } = await ask(`${node.publicUrl}/_/scrub`);
    return JSON.parse(body.toString()) as { onDemand: boolean; report: { objects: number; mended: number } };
  };
  assert.equal((await ask(`${node.publicUrl}/_/scrub`, { method: "POST" })).status, 202);
  await until("the scrub is over", MEND_MS, async () => !(await status()).onDemand, node.lines);
  const { report } = await status();
  assert.deepEqual([report.objects, report.mended], [acknowledged.size, 0]);
  // As if the disk had lost one in silence.
  const lost = chunksOf(acknowledged.get("/repair/overwritten")!)[0]!;
  await rm(join(directory, "a", "chunks", lost.slice(0, 2), lost.slice(2, 4), lost));
  await ask(`${node.publicUrl}/_/scrub`, { method: "POST" });
  await until("it was mended", MEND_MS, async () => (await status()).report.mended === 1, node.lines);
  await hasAllChunks(0);
});

test("a damaged row of the catalog is fetched anew, and is never believed meanwhile", async () => {
  const target = "/repair/overwritten";
  await ring.nodes[0]!.kill("SIGKILL");
  const database = new DatabaseSync(join(directory, "a", "catalog.db"));
  const damage = database.prepare(
    "UPDATE registers SET accepted_counter = accepted_counter + 7 WHERE name = ?",
  );
  assert.equal(damage.run(new TextEncoder().encode("repair\0overwritten")).changes, 1);
  database.close();
  const node = await ring.restart(0);
  const { status, body } = await ask(node.publicUrl + target);
  assert.ok(status === 200 && body.equals(acknowledged.get(target)!), `${status}`);
  await until(
    "the row is mended",
    MEND_MS,
    () => node.lines.some((line) => line.includes("a damaged register was mended")),
    node.lines,
  );
  await becomes(node, "atoll_registers_damaged", 0);
  await readsWithout(1);
});
