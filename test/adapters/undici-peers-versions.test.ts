/** Peers of different versions of the protocol: which one they speak, and what becomes of messages on the way. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { createClock } from "../../src/adapters/clock.ts";
import { openPeerListener } from "../../src/adapters/peer-listener.ts";
import { createRandom } from "../../src/adapters/random.ts";
import { createPeers } from "../../src/adapters/undici-peers.ts";
import { type ErrorCode, isAtollError } from "../../src/errors.ts";
import { createPeerApp } from "../../src/http/peer-app.ts";
import type { LogFields, PeerHandler, PeerReply, PeerRequest } from "../../src/ports.ts";
import { until } from "../helpers/deadline.ts";
import { withoutUndefined } from "../helpers/peer-messages.ts";

const OPTIONS = { timeoutMs: 10_000, expect: "server" };
const SECRET = "correct horse battery staple";
const VERSIONS = [1, 2, 3, 4];
const CHUNK = new Uint8Array(1 << 20).fill(5);
const ID = createHash("sha256").update(CHUNK).digest("hex");
const PUT: PeerRequest = { type: "chunk-put", id: ID, bytes: CHUNK };
const STATES = { type: "slot-states", partitions: [3, 5] } as const;
const clock = createClock();

/** A build of that version understands the one before, too. */
function buildOf(version: number) {
  return { min: Math.max(1, version - 1), max: version };
}

interface ServerOptions {
  readonly version: number;
  readonly port?: number;
  readonly handler?: PeerHandler;
}

async function openServer({ version, port = 0, handler = answer }: ServerOptions) {
  /** In which version each request came. */
  const spoken: number[] = [];
  const handled: PeerRequest[] = [];
  const refusals: (LogFields | undefined)[] = [];
  const app = createPeerApp({
    self: () => ({ nodeId: "server", ringId: "ring", layoutNumber: 1 }),
    secret: SECRET,
    protocols: buildOf(version),
    handler: (from, request) => {
      handled.push(request);
      return handler(from, request);
    },
    clock,
    log: { info() {}, warn: (_message, fields) => void refusals.push(fields), error() {} },
  });
  const listener = await openPeerListener({
    fetch: (request, env) => {
      spoken.push(Number(request.headers.get("atoll-protocol")));
      return app.fetch(request, env);
    },
    host: "127.0.0.1",
    port,
  });
  return {
    port: listener.port,
    url: `http://127.0.0.1:${listener.port}`,
    spoken,
    handled,
    refusals,
    [Symbol.asyncDispose]: () => listener.close({ graceMs: 1_000 }),
  };
}

function openPeers(version: number) {
  const self = () => ({ nodeId: "caller", ringId: "ring", layoutNumber: 1 });
  const protocols = buildOf(version);
  const peers = createPeers({ self, secret: SECRET, protocols, clock, random: createRandom() });
  return Object.assign(peers, { [Symbol.asyncDispose]: () => peers.close() });
}

const answer: PeerHandler = (_from, request) => {
  switch (request.type) {
    case "chunk-put":
      return Promise.resolve({ type: "chunk-put", stored: request.computed ?? "" });
    case "chunk-get":
      return Promise.resolve({ type: "chunk-get", bytes: CHUNK });
    case "slot-states":
      return Promise.resolve({ type: "slot-states", rows: [], floors: [] });
    default:
      return Promise.resolve({ type: "layout" });
  }
};

function failsWith(promise: Promise<unknown>, code: ErrorCode, message: RegExp): Promise<void> {
  return assert.rejects(promise, (error) => {
    assert(isAtollError(error, code), `wanted ${code}, got ${String(error)}`);
    assert.match(error.message, message);
    return true;
  });
}

for (const mine of VERSIONS) {
  for (const theirs of VERSIONS.filter((version) => Math.abs(version - mine) <= 1)) {
    const common = Math.min(mine, theirs);
    test(`createPeers of version ${mine} speaks ${common} with a peer of version ${theirs}`, async () => {
      const first: PeerRequest[] = [{ type: "layout" }, PUT, { type: "chunk-get", id: ID }];
      for (const request of first) {
        await using server = await openServer({ version: theirs });
        await using peers = openPeers(mine);
        assert.equal((await peers.call(server.url, request, OPTIONS)).type, request.type);
        const lowest = buildOf(mine).min;
        assert.deepEqual(server.spoken, lowest < buildOf(theirs).min ? [lowest, common] : [lowest]);
        server.spoken.length = 0;
        for (const next of first) await peers.call(server.url, next, OPTIONS);
        assert.deepEqual(server.spoken, [common, common, common]);
        assert.deepEqual(server.handled.map(({ type }) => type), [request, ...first].map(({ type }) => type));
        assert.deepEqual(server.refusals, []);
      }
    });
  }

  for (const theirs of VERSIONS.filter((version) => Math.abs(version - mine) > 1)) {
    test(`createPeers of version ${mine} and a peer of version ${theirs} refuse each other, told of once`, async () => {
      await using server = await openServer({ version: theirs });
      await using peers = openPeers(mine);
      for (const request of [{ type: "layout" }, PUT, { type: "chunk-get", id: ID }] as const) {
        const message = new RegExp(`^wanted protocol ${mine === 1 ? "1" : `${mine - 1} to ${mine}`} from`);
        await failsWith(peers.call(server.url, request, OPTIONS), "wrong-protocol", message);
      }
      assert.deepEqual(server.handled, []);
      assert.equal(server.spoken.length, 3);
      assert.deepEqual(server.refusals.map((fields) => [fields?.["from"], fields?.["code"]]), [
        ["caller", "wrong-protocol"],
      ]);
    });
  }
}

test("createPeers asks a node of its region to fetch a chunk, and one of version 1 only whether it has it", async () => {
  const question = {
    type: "chunk-get",
    id: ID,
    forRegion: { name: "bucket\0käse", sizeBytes: 1 << 20, keep: true },
  } as const;
  for (const theirs of [1, 2]) {
    await using server = await openServer({ version: theirs });
    await using peers = openPeers(2);
    await peers.call(server.url, { type: "layout" }, OPTIONS);
    assert.ok((await peers.call(server.url, question, OPTIONS)).bytes);
    assert.deepEqual(server.handled.at(-1), theirs === 1 ? { type: "chunk-get", id: ID } : question);
    assert.deepEqual(server.refusals, []);
  }
});

test("createPeers puts a question after states as the peer knows it, and goes on where it ends", async () => {
  const ask = async (mine: number, theirs: number) => {
    await using server = await openServer({ version: theirs });
    await using peers = openPeers(mine);
    await peers.call(server.url, { type: "layout" }, OPTIONS);
    const { next } = await peers.call(server.url, STATES, OPTIONS);
    return [server.handled.slice(1).map(withoutUndefined), next];
  };
  const ofOne = { type: "slot-states", partitions: [3], from: { slot: 3 * 64, after: "" } };
  assert.deepEqual(await ask(2, 2), [[STATES], undefined]);
  assert.deepEqual(await ask(2, 1), [[ofOne], { slot: 5 * 64, after: "" }]);
  assert.deepEqual(await ask(1, 2), [[ofOne], { slot: 5 * 64, after: "" }]);
});

test("createPeers puts a question anew in the version that the peer named", async () => {
  await using server = await openServer({ version: 3 });
  await using peers = openPeers(2);
  await peers.call(server.url, STATES, OPTIONS);
  assert.deepEqual(server.spoken, [1, 2]);
  assert.deepEqual(server.handled.map(withoutUndefined), [STATES]);
});

test("createPeers loses no call when a peer is replaced by one of the version before, or the next", async () => {
  await using peers = openPeers(2);
  const all = async (url: string) => {
    const calls = [{ type: "layout" }, PUT, STATES, { type: "chunk-get", id: ID }] as const;
    for (const request of [...calls, ...calls]) await peers.call(url, request, OPTIONS);
    await Promise.all([...calls, ...calls].map((request) => peers.call(url, request, OPTIONS)));
  };
  const isGone = (url: string) => async () => {
    const calls = [{ type: "layout" }, PUT, { type: "chunk-get", id: ID }] as const;
    const ends = await Promise.allSettled(calls.map((request) => peers.call(url, request, OPTIONS)));
    return ends.every((end) => end.status === "rejected" && isAtollError(end.reason, "peer-unreachable"));
  };
  let port = 0;
  for (const version of [2, 1, 2, 3, 2, 1]) {
    const server = await openServer({ version, port });
    port = server.port;
    try {
      await all(server.url);
      assert.equal(server.handled.length, 16);
      assert.equal(server.spoken.at(-1), Math.min(2, version));
    } finally {
      await server[Symbol.asyncDispose]();
    }
    await until("every connection is known to be gone", 10_000, isGone(server.url));
  }
});

test("calls of one turn on the first contact are all put again in the version that the peer named", async () => {
  await using server = await openServer({ version: 3 });
  await using peers = openPeers(2);
  const calls = Array.from({ length: 150 }, () => peers.call(server.url, { type: "layout" }, OPTIONS));
  assert.deepEqual((await Promise.all(calls)).map(({ type }) => type), calls.map(() => "layout"));
  assert.equal(server.handled.length, 150);
});

test("fields that nobody knows yet are passed over of a peer that is ahead, and refused of any other", async () => {
  const handler: PeerHandler = async (from, request) => {
    return { ...await answer(from, request), zeal: 1 } as object as PeerReply;
  };
  const ask = async (mine: number, theirs: number, request: PeerRequest) => {
    await using server = await openServer({ version: theirs, handler });
    await using peers = openPeers(mine);
    return withoutUndefined(await peers.call(server.url, request, OPTIONS));
  };
  assert.deepEqual(await ask(2, 3, { type: "layout" }), { type: "layout" });
  assert.deepEqual(await ask(2, 3, PUT), { type: "chunk-put", stored: ID });
  for (const [mine, theirs] of [[2, 2], [1, 2], [2, 1], [3, 2]] as const) {
    await failsWith(ask(mine, theirs, { type: "layout" }), "peer-garbage", /zeal/);
    await failsWith(ask(mine, theirs, PUT), "peer-garbage", /stored/);
  }
});

test("a peer passes over fields of a caller that is ahead, and refuses them of any other", async () => {
  const request = { type: "chunks-held", ids: [], zeal: 1 } as PeerRequest;
  const handler: PeerHandler = () => Promise.resolve({ type: "chunks-held", held: [] });
  const ask = async (mine: number, theirs: number) => {
    await using server = await openServer({ version: theirs, handler });
    await using peers = openPeers(mine);
    await peers.call(server.url, request, OPTIONS);
    return server.handled;
  };
  assert.deepEqual(await ask(3, 2), [{ type: "chunks-held", ids: [] }]);
  for (const [mine, theirs] of [[2, 2], [2, 1], [1, 2], [2, 3]] as const) {
    await failsWith(ask(mine, theirs), "peer-garbage", /zeal/);
  }
});
