/** Told to stop, a node finishes what is under way; told twice, it stops. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { until, within } from "../helpers/deadline.ts";
import { ask, codeOf, put, RawHttp } from "../helpers/raw-http.ts";
import { HERE } from "../helpers/raw-start.ts";

const MIB = 1 << 20;
/** More than all the buffers between a node and a client that does not read. */
const LARGE = randomBytes(24 * MIB);

let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-stop-"));
});
after(() => rm(directory, { recursive: true }));

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`${signal}: not ready, nothing new, what is under way is finished, exit code 0`, async () => {
    const dataDir = join(directory, signal);
    await using node = await startNode({ runtime: HERE, dataDir });
    assert.equal((await put(`${node.publicUrl}/drain/large`, LARGE)).status, 201);

    const upload = await RawHttp.open(node.publicUrl);
    upload.head("PUT", "/drain/slow", { "Content-Length": String(2 * MIB) });
    upload.write(LARGE.subarray(0, MIB));
    await upload.flushed();
    const download = await RawHttp.open(node.publicUrl);
    download.head("GET", "/drain/large");
    await download.begun();
    download.pause();
    const idle = await RawHttp.open(node.publicUrl);
    idle.head("GET", "/livez");
    assert.equal((await idle.reply()).status, 200);

    const ended = node.kill(signal);
    await draining(node);
    await idle.closed();
    assert.equal(await refusalOf(`${node.publicUrl}/readyz`), "refused");
    assert.equal(await refusalOf(`${node.publicUrl}/drain/large`), "refused");

    upload.write(LARGE.subarray(MIB, 2 * MIB));
    assert.equal((await upload.reply("PUT")).status, 201);
    download.resume();
    assert.ok((await download.reply()).body.equals(LARGE));
    assert.deepEqual(await ended, { code: 0, signal: null });
    assert.ok(node.lines.some((line) => line.includes('"message":"stopped"')));

    await using again = await startNode({ runtime: HERE, dataDir });
    assert.ok((await ask(`${again.publicUrl}/drain/slow`)).body.equals(LARGE.subarray(0, 2 * MIB)));
  });
}

test("a second signal ends the node at once, whatever is under way", async () => {
  await using node = await startNode({ runtime: HERE, dataDir: join(directory, "twice") });
  assert.equal((await put(`${node.publicUrl}/drain/large`, LARGE)).status, 201);
  const download = await RawHttp.open(node.publicUrl);
  download.head("GET", "/drain/large");
  await download.begun();
  download.pause();
  const ended = node.kill("SIGTERM");
  await draining(node);
  process.kill(node.pid, "SIGINT");
  const { code } = await within(ended, 2_000, "the second signal ends it", node.lines);
  assert.notEqual(code, 0, "it did not finish, and must not say so");
  download.cut();
});

test("the drain has an end: a client that never reads is cut off after ATOLL_DRAIN_SECONDS", async () => {
  const env = { ATOLL_DRAIN_SECONDS: "1" };
  await using node = await startNode({ runtime: HERE, dataDir: join(directory, "short"), env });
  assert.equal((await put(`${node.publicUrl}/drain/large`, LARGE)).status, 201);
  const download = await RawHttp.open(node.publicUrl);
  download.head("GET", "/drain/large");
  await download.begun();
  download.pause();
  assert.deepEqual(await within(node.kill("SIGTERM"), 6_000, "it ends", node.lines), {
    code: 0,
    signal: null,
  });
  download.cut();
});

async function draining(node: AtollProcess): Promise<void> {
  const isDraining = () => node.lines.some((line) => line.includes('"message":"draining"'));
  await until("it drains", 5_000, isDraining, node.lines);
}

/** New work is refused by not being listened to, or with 503 `draining` in the moment before. */
async function refusalOf(url: string): Promise<string> {
  try {
    const reply = await ask(url);
    if (reply.status === 503 && (codeOf(reply) ?? "draining") === "draining") return "refused";
    return `answered ${reply.status}: ${reply.body.toString("utf8", 0, 200)}`;
  } catch (error) {
    if (error instanceof Error && /ECONNREFUSED|ECONNRESET|closed before/.test(error.message)) {
      return "refused";
    }
    throw error;
  }
}
