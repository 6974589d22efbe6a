/** A real node with little memory for bodies on their way: many slow clients at once take no more than that. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { until } from "../helpers/deadline.ts";
import { ask, metricOf, put, RawHttp } from "../helpers/raw-http.ts";
import { HERE } from "../helpers/raw-start.ts";

const MIB = 1 << 20;
const BUFFER_BYTES = 8 * MIB;
const CLIENTS = 24;
/** Each has its first chunk, and would like one ahead. */
const READERS = BUFFER_BYTES / MIB;
const DEADLINE_MS = 30_000;

let directory: string;
let node: AtollProcess;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-buffers-"));
  node = await startNode({
    runtime: HERE,
    dataDir: join(directory, "data"),
    env: { ATOLL_BUFFER_BYTES: String(BUFFER_BYTES), ATOLL_MEMORY_CACHE_BYTES: "0" },
  });
});
after(async () => {
  await node[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const metric = (name: string): Promise<number> => metricOf(node.publicUrl, name);

test("uploads beyond it wait and are told so; those that have their part go on, and so does what is small", async () => {
  const half = Buffer.alloc(MIB / 2, "x");
  const clients = await Promise.all(Array.from({ length: CLIENTS }, async (_, i) => {
    const client = await RawHttp.open(node.publicUrl);
    client.head("PUT", `/slow/${i}`, { "Content-Length": String(2 * half.length) });
    client.write(half);
    return client;
  }));
  await until("as many as fit have their memory", DEADLINE_MS, async () => {
    const used = await metric("atoll_buffer_bytes");
    assert.ok(used <= BUFFER_BYTES, `wanted at most ${BUFFER_BYTES}, got ${used}`);
    return used === BUFFER_BYTES && await metric("atoll_buffer_waiting") === CLIENTS - 8;
  });
  assert.equal((await put(`${node.publicUrl}/small/a`, "small")).status, 201);
  const limited = 'atoll_limited_total{limit="buffers"}';
  await until("the others were told", DEADLINE_MS, async () => await metric(limited) === CLIENTS - 8);
  for (const client of clients) client.write(half);
  const statuses = await Promise.all(clients.map(async (client) => (await client.reply("PUT")).status));
  assert.equal(statuses.filter((status) => status === 201).length, 8, `${statuses}`);
  assert.equal(statuses.filter((status) => status === 503).length, CLIENTS - 8, `${statuses}`);
  for (const client of clients) client.cut();
  await until("all is given back", DEADLINE_MS, async () => await metric("atoll_buffer_bytes") === 0);
});

test("readers that do not read take no more either, and get what they asked for when they do", async () => {
  const contents = Array.from({ length: READERS }, (_, i) => Buffer.alloc(6 * MIB, `content ${i} `));
  for (const [i, content] of contents.entries()) {
    assert.equal((await put(`${node.publicUrl}/large/${i}`, content)).status, 201);
  }
  const clients = await Promise.all(contents.map(async (_, i) => {
    const client = await RawHttp.open(node.publicUrl);
    client.pause();
    client.head("GET", `/large/${i}`);
    return client;
  }));
  await until("memory is used up", DEADLINE_MS, async () => {
    const used = await metric("atoll_buffer_bytes");
    assert.ok(used <= BUFFER_BYTES, `wanted at most ${BUFFER_BYTES}, got ${used}`);
    return used > BUFFER_BYTES - MIB;
  });
  assert.equal((await ask(`${node.publicUrl}/small/a`)).body.toString(), "small");
  const others = await put(`${node.publicUrl}/large/other`, Buffer.alloc(3 * MIB, "y"));
  assert.equal(others.status, 201, "who waits has what they do not take");
  const isWhole = await Promise.all(clients.map(async (client, i) => {
    client.resume();
    const { status, body } = await client.reply("GET", DEADLINE_MS);
    return status === 200 && body.equals(contents[i]!);
  }));
  assert.ok(isWhole.every((whole) => whole), `${isWhole}`);
  await until("all is given back", DEADLINE_MS, async () => await metric("atoll_buffer_bytes") === 0);
  for (const client of clients) client.cut();
});
