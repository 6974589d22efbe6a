/** A healthy ring of three, on both runtimes: whatever one node acknowledged, each of them serves. */
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

const MIB = 1 << 20;
/** Nothing, a row, the largest row, the smallest file, several files and a bit. */
const SIZES_BYTES = [0, 1_000, 64 * 1024, 64 * 1024 + 1, 3 * MIB + 1];

let directory: string;
let ring: AtollRing;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-ring-"));
  ring = await startRing({ directory, runtimes: [HERE, THERE, HERE] });
});
after(async () => {
  await ring[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

test("three nodes that know of each other by seeds form one ring", async () => {
  for (const node of ring.nodes) {
    const sees = async () => await metricOf(node.publicUrl, "atoll_peers_alive") === 2;
    await until(`${node.publicUrl} sees the others`, 5_000, sees, node.lines);
    assert.equal(await metricOf(node.publicUrl, "atoll_layout_number"), 1);
  }
  const ringIdOf = (node: AtollProcess) =>
    node.lines.map((line) => /"ringId":"(\w+)"/.exec(line)?.[1]).find((id) => id !== undefined);
  for (const node of ring.nodes) {
    await until(`${node.publicUrl} names its ring`, 5_000, () => ringIdOf(node) !== undefined, node.lines);
  }
  assert.equal(new Set(ring.nodes.map(ringIdOf)).size, 1);
});

test("an object of any size written at any node is the same at each, and gone at each once it is deleted", async () => {
  for (const [i, writer] of ring.nodes.entries()) {
    for (const sizeBytes of SIZES_BYTES) {
      const target = `/each/${i}-${sizeBytes}`;
      const content = randomBytes(sizeBytes);
      const stored = await put(writer.publicUrl + target, content, { headers: { "Content-Type": "x/y" } });
      assert.equal(stored.status, 201);
      for (const reader of ring.nodes) {
        const got = await ask(reader.publicUrl + target);
        assert.ok(
          got.status === 200 && got.body.equals(content),
          `${target} at ${reader.publicUrl}: ${got.status}`,
        );
        for (const name of ["etag", "atoll-version", "last-modified"]) {
          assert.equal(got.headers[name], stored.headers[name], `${name} of ${target}`);
        }
        assert.equal(got.headers["content-type"], "x/y");
      }
      const remover = ring.nodes[(i + 1) % 3]!;
      assert.equal((await ask(remover.publicUrl + target, { method: "DELETE" })).status, 204);
      for (const reader of ring.nodes) {
        assert.equal((await ask(reader.publicUrl + target)).status, 404, target);
      }
    }
  }
});

test("an object of 16 MiB is read whole and in part at every node", async () => {
  const content = randomBytes(16 * MIB);
  assert.equal((await put(`${ring.nodes[0]!.publicUrl}/large/object`, content)).status, 201);
  await Promise.all(ring.nodes.map(async ({ publicUrl }) => {
    const range = { Range: `bytes=${5 * MIB - 10}-${9 * MIB + 10}` };
    const part = await ask(`${publicUrl}/large/object`, { headers: range });
    assert.ok(
      part.status === 206 && part.body.equals(content.subarray(5 * MIB - 10, 9 * MIB + 11)),
      publicUrl,
    );
    assert.ok((await ask(`${publicUrl}/large/object`)).body.equals(content), publicUrl);
  }));
});

test("of eight clients that create one object at all nodes at once, exactly one succeeds", async () => {
  for (let round = 0; round < 20; round++) {
    const target = `/race/${round}`;
    const replies = await Promise.all(
      Array.from(
        { length: 8 },
        (_, client) =>
          put(nodeOf(client).publicUrl + target, `client ${client}`, { headers: { "If-None-Match": "*" } }),
      ),
    );
    const told = replies.map((reply) => `${reply.status} ${codeOf(reply) ?? ""}`).join(", ");
    const winners = replies.flatMap(({ status }, client) => (status === 201 ? [client] : []));
    assert.equal(winners.length, 1, `round ${round}: ${told}`);
    assert.equal(replies.filter(({ status }) => status === 412).length, 7, `round ${round}: ${told}`);
    for (const reader of ring.nodes) {
      const got = await ask(reader.publicUrl + target);
      assert.equal(got.body.toString(), `client ${winners[0]}`, `round ${round} at ${reader.publicUrl}`);
      assert.equal(got.headers["atoll-version"], "1");
    }
  }
});

test("of clients that count up by version at all nodes, none loses a step and none is counted twice", async () => {
  const target = "/race/counter";
  assert.equal((await put(nodeOf(0).publicUrl + target, "0")).status, 201);
  const acknowledged: number[] = [];
  let unknown = 0;
  await Promise.all([0, 1, 2, 3].map(async (client) => {
    for (let done = 0; done < 10;) {
      const url = nodeOf(client).publicUrl + target;
      const seen = await ask(url);
      const next = Number(seen.body.toString()) + 1;
      const headers = { "Atoll-If-Version": seen.headers["atoll-version"]! };
      const reply = await put(url, String(next), { headers });
      if (reply.status === 412) continue;
      done++;
      // Preempted so often that nobody can tell any longer: the step may be there, once.
      if (codeOf(reply) === "outcome-unknown") unknown++;
      else {
        assert.equal(reply.status, 200, reply.body.toString());
        assert.equal(reply.headers["atoll-version"], String(next + 1), "one version for each step");
        acknowledged.push(next);
      }
    }
  }));
  assert.equal(new Set(acknowledged).size, acknowledged.length, "one step was acknowledged twice");
  for (const reader of ring.nodes) {
    const got = await ask(reader.publicUrl + target);
    const count = Number(got.body.toString());
    assert.ok(
      count >= acknowledged.length && count <= acknowledged.length + unknown,
      `${acknowledged.length} acknowledged, ${unknown} unknown, ${count} counted`,
    );
    assert.equal(got.headers["atoll-version"], String(count + 1));
  }
});

test("a read after an overwrite at another node never gives the old object", async () => {
  for (let n = 1; n <= 60; n++) {
    // Every third is large enough to lie in a file, with chunks of its own to be fetched.
    const content = n % 3 === 0 ? Buffer.alloc(100_000, `${n} `) : Buffer.from(`number ${n}`);
    const stored = await put(`${nodeOf(n).publicUrl}/strong/object`, content);
    assert.ok(stored.status === 200 || n === 1);
    const replies = await Promise.all(ring.nodes.map((node) => ask(`${node.publicUrl}/strong/object`)));
    for (const [i, reply] of replies.entries()) {
      assert.equal(
        reply.headers["atoll-version"],
        String(n),
        `overwrite ${n} at node ${n % 3}, read at ${i}`,
      );
      assert.ok(reply.body.equals(content), `overwrite ${n}, read at ${i}`);
    }
  }
});

test("a listing shows at every node what was written at any, page by page, and not what was deleted", async () => {
  const keys = Array.from({ length: 45 }, (_, i) => `k${String(i).padStart(2, "0")}`);
  await Promise.all(keys.map((key, i) => put(`${nodeOf(i).publicUrl}/list/${key}`, key)));
  const deleted = keys.filter((_, i) => i % 9 === 0);
  await Promise.all(
    deleted.map((key, i) => ask(`${nodeOf(i + 1).publicUrl}/list/${key}`, { method: "DELETE" })),
  );
  const wanted = keys.filter((key) => !deleted.includes(key));
  for (const node of ring.nodes) {
    assert.deepEqual(await listed(node, ""), wanted);
    assert.deepEqual(await listed(node, "&limit=7"), wanted);
    assert.deepEqual(await listed(node, "&prefix=k1"), wanted.filter((key) => key.startsWith("k1")));
    const buckets = JSON.parse((await ask(`${node.publicUrl}/`)).body.toString()) as {
      buckets: { name: string }[];
    };
    assert.deepEqual(buckets.buckets.map(({ name }) => name), ["large", "list", "race", "strong"]);
  }
});

function nodeOf(client: number): AtollProcess {
  return ring.nodes[client % ring.nodes.length]!;
}

async function listed(node: AtollProcess, query: string): Promise<string[]> {
  const keys: string[] = [];
  for (let after = "";;) {
    const { status, body } = await ask(`${node.publicUrl}/list?after=${after}${query}`);
    assert.equal(status, 200);
    const page = JSON.parse(body.toString()) as { objects: { key: string }[]; next: string | null };
    keys.push(...page.objects.map(({ key }) => key));
    if (page.next === null) return keys;
    after = page.next;
  }
}
