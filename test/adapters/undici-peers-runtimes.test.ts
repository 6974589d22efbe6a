/** Peers on the other runtime, and peers that are killed and come back. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { createClock } from "../../src/adapters/clock.ts";
import { createRandom } from "../../src/adapters/random.ts";
import { createPeers } from "../../src/adapters/undici-peers.ts";
import { isAtollError } from "../../src/errors.ts";
import { startPeer } from "../helpers/peer-process.ts";

const OPTIONS = { timeoutMs: 20_000, expect: "server" };
const OTHER = "Deno" in globalThis ? "node" : "deno";
const SECRET = "correct horse battery staple";

function openPeers(secret?: string) {
  const peers = createPeers({
    self: () => ({ nodeId: "caller", ringId: "ring", layoutNumber: 1 }),
    secret,
    clock: createClock(),
    random: createRandom(),
  });
  return Object.assign(peers, { [Symbol.asyncDispose]: () => peers.close() });
}

function noise(sizeBytes: number, seed: number): { id: string; bytes: Uint8Array } {
  const bytes = new Uint8Array(sizeBytes).map((_, index) => (index * 2_654_435_761 + seed) >>> 11);
  return { id: createHash("sha256").update(bytes).digest("hex"), bytes };
}

test(`createPeers speaks with a peer on ${OTHER}: 200 calls and 64 chunks of 1 MiB at once`, async () => {
  await using peer = await startPeer(OTHER, { secret: SECRET });
  await using peers = openPeers(SECRET);
  const url = `http://127.0.0.1:${peer.port}`;
  const reads = Promise.all(Array.from({ length: 200 }, async (_, index) => {
    const name = `bucket\0${index}`;
    const { accepted } = await peers.call(url, { type: "read", name }, OPTIONS);
    assert.deepEqual(accepted, { counter: name.length, node: name });
  }));
  const chunks = Array.from({ length: 64 }, (_, index) => noise(1 << 20, index));
  await Promise.all(chunks.map(async (chunk) => {
    const { stored } = await peers.call(url, { type: "chunk-put", ...chunk }, OPTIONS);
    assert.equal(stored, chunk.id);
  }));
  await Promise.all(chunks.map(async ({ id, bytes }) => {
    const got = await peers.call(url, { type: "chunk-get", id }, OPTIONS);
    assert.equal(Buffer.compare(got.bytes ?? new Uint8Array(0), bytes), 0);
  }));
  await reads;
  const small = noise(64 << 10, 9);
  const prepare = {
    type: "prepare",
    name: "bucket\0key",
    ballot: { counter: 1, node: "caller" },
    chunk: small,
  } as const;
  assert.equal((await peers.call(url, prepare, OPTIONS)).stored, small.id);
});

test(`createPeers is refused by a peer on ${OTHER} with another secret, a chunk of 1 MiB too`, async () => {
  await using peer = await startPeer(OTHER, { secret: "another" });
  await using peers = openPeers(SECRET);
  const url = `http://127.0.0.1:${peer.port}`;
  const isRefused = (error: unknown) => isAtollError(error, "peer-refused");
  for (let round = 0; round < 3; round++) {
    await assert.rejects(peers.call(url, { type: "read", name: "bucket\0key" }, OPTIONS), isRefused);
    await assert.rejects(
      peers.call(url, { type: "chunk-put", ...noise(1 << 20, round) }, OPTIONS),
      isRefused,
    );
  }
});

for (const runtime of ["node", "deno"] as const) {
  test(`createPeers reaches a peer on ${runtime} at once after that was killed and came back`, async () => {
    await using peers = openPeers();
    const first = await startPeer(runtime);
    const { port } = first;
    const url = `http://127.0.0.1:${port}`;
    const chunk = noise(1 << 20, 1);
    const read = { type: "read", name: "bucket\0key" } as const;
    await peers.call(url, read, OPTIONS);
    await peers.call(url, { type: "chunk-put", ...chunk }, OPTIONS);
    await first.kill();
    await assert.rejects(peers.call(url, read, OPTIONS), (error) => isAtollError(error, "peer-unreachable"));
    await using _second = await startPeer(runtime, { port });
    assert.equal((await peers.call(url, read, OPTIONS)).accepted.node, read.name);
    assert.equal((await peers.call(url, { type: "chunk-put", ...chunk }, OPTIONS)).stored, chunk.id);
    assert.equal(
      (await peers.call(url, { type: "chunk-get", id: chunk.id }, OPTIONS)).bytes?.length,
      1 << 20,
    );
  });
}
