/** What createPeers makes of servers that are no peers, and of its own limits. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttp2Server, type Http2Stream, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { createClock } from "../../src/adapters/clock.ts";
import { openPeerListener } from "../../src/adapters/peer-listener.ts";
import { createRandom } from "../../src/adapters/random.ts";
import { createPeers, type PeersDeps } from "../../src/adapters/undici-peers.ts";
import { type ErrorCode, isAtollError } from "../../src/errors.ts";
import { createPeerApp } from "../../src/http/peer-app.ts";
import type { Clock, PeerHandler, PeerRequest } from "../../src/ports.ts";
import { until } from "../helpers/deadline.ts";

const DEADLINE_MS = 10_000;
const PATIENT = { timeoutMs: DEADLINE_MS };
const LAYOUT = { type: "layout" } as const;
const CHUNK = { type: "chunk-put", id: "a".repeat(64), bytes: new Uint8Array(1 << 20) } as const;
const clock = createClock();

function openPeers(options: Partial<PeersDeps> = {}) {
  const peers = createPeers({
    self: () => ({ nodeId: "caller", ringId: "ring", layoutNumber: 1 }),
    secret: undefined,
    clock,
    random: createRandom(),
    ...options,
  });
  return Object.assign(peers, { [Symbol.asyncDispose]: () => peers.close() });
}

async function openServer(handler: PeerHandler, secret?: string) {
  const app = createPeerApp({
    self: () => ({ nodeId: "server", ringId: "ring", layoutNumber: 1 }),
    secret,
    handler,
    clock,
    log: { info() {}, warn() {}, error() {} },
  });
  const listener = await openPeerListener({ fetch: app.fetch, host: "127.0.0.1", port: 0 });
  return {
    url: `http://127.0.0.1:${listener.port}`,
    [Symbol.asyncDispose]: () => listener.close({ graceMs: 1_000 }),
  };
}

/** A server that knows TCP and nothing else. */
async function openTcp(onSocket: (socket: Socket) => void) {
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    onSocket(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => connections,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** A server that knows HTTP/2 and nothing of Atoll. */
async function openHttp2(onStream: (stream: ServerHttp2Stream) => void) {
  const server = createHttp2Server();
  const sessions = new Set<{ destroy(): void }>();
  let streams = 0;
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    session.on("error", () => {});
  });
  server.on("stream", (stream: Http2Stream) => {
    streams++;
    stream.on("error", () => {});
    stream.resume();
    onStream(stream as ServerHttp2Stream);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    streams: () => streams,
    [Symbol.asyncDispose]: async () => {
      server.close();
      for (const session of sessions) session.destroy();
      await once(server, "close");
    },
  };
}

function failsWith(promise: Promise<unknown>, ...codes: ErrorCode[]): Promise<void> {
  return assert.rejects(promise, (error) => {
    assert(isAtollError(error, ...codes), `wanted ${codes.join(" or ")}, got ${String(error)}`);
    return true;
  });
}

test("createPeers is peer-timeout with a server that accepts and hangs, and dials anew for the next call", async () => {
  await using tcp = await openTcp(() => {});
  await using peers = openPeers();
  const startedMs = performance.now();
  await failsWith(peers.call(tcp.url, LAYOUT, { timeoutMs: 200 }), "peer-timeout");
  await failsWith(peers.call(tcp.url, LAYOUT, { timeoutMs: 200 }), "peer-timeout");
  assert(performance.now() - startedMs < 5_000);
  assert.equal(tcp.connections(), 2);
});

test("createPeers dials anew when calls could not even be sent for long, though another is still waited for", async () => {
  await using server = await openTcp(() => {});
  // Ten times as fast: what is waited for takes seconds.
  const fast: Clock = {
    wallMs: () => clock.wallMs(),
    monotonicMs: () => 10 * clock.monotonicMs(),
    after: (delayMs, run) => clock.after(delayMs / 10, run),
  };
  await using peers = openPeers({ clock: fast });
  const first = peers.call(server.url, LAYOUT, { timeoutMs: 600_000 });
  first.catch(() => {}); // when all is closed
  await until("it is connected", DEADLINE_MS, () => server.connections() === 1);
  for (let n = 0; n < 3; n++) {
    await failsWith(peers.call(server.url, LAYOUT, { timeoutMs: 2_500 }), "peer-unreachable");
  }
  const next = peers.call(server.url, LAYOUT, { timeoutMs: 600_000 });
  next.catch(() => {});
  await until("another connection is tried", DEADLINE_MS, () => server.connections() === 2);
});

test("createPeers is never peer-unreachable, and sends once, where a server took the request and hung up", async () => {
  for (const request of [LAYOUT, CHUNK]) {
    await using tcp = await openTcp((socket) => socket.once("data", () => socket.destroy()));
    await using peers = openPeers();
    await failsWith(peers.call(tcp.url, request, PATIENT), "peer-timeout", "peer-garbage");
    assert.equal(tcp.connections(), 1);
  }
});

test("createPeers is peer-garbage or peer-timeout at once with a server that speaks something else", async () => {
  for (
    const text of ["HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "\0\0\xff garbage".repeat(50)]
  ) {
    await using tcp = await openTcp((socket) => void socket.write(text));
    await using peers = openPeers();
    const startedMs = performance.now();
    await failsWith(peers.call(tcp.url, LAYOUT, PATIENT), "peer-garbage", "peer-timeout");
    assert(performance.now() - startedMs < DEADLINE_MS / 2);
  }
});

const ATOLL = { "atoll-protocol": "1", "atoll-from": "server", "atoll-ring": "ring" };
const answers: readonly (readonly [string, (stream: ServerHttp2Stream) => void, readonly ErrorCode[]])[] = [
  ["no peer's answer", (stream) => {
    stream.respond({ ":status": 200 });
    stream.end("hello");
  }, ["peer-garbage"]],
  ["an answer of another protocol", (stream) => {
    stream.respond({ ":status": 200, ...ATOLL, "atoll-protocol": "3", "atoll-understands": "3-4" });
    stream.end();
  }, ["wrong-protocol"]],
  ["an answer in another version than the question", (stream) => {
    stream.respond({ ":status": 200, ...ATOLL, "atoll-protocol": "2", "atoll-understands": "1-2" });
    stream.end();
  }, ["wrong-protocol"]],
  ["a refusal of the version, and of all there is to know", (stream) => {
    stream.respond({ ":status": 426, "atoll-protocol": "4", "atoll-understands": "3-4" });
    stream.end('{"code":"wrong-protocol","message":"m"}');
  }, ["wrong-protocol"]],
  ["versions that are none", (stream) => {
    stream.respond({ ":status": 200, ...ATOLL, "atoll-understands": "2-1" });
    stream.end();
  }, ["wrong-protocol"]],
  ["an answer of another node", (stream) => {
    stream.respond({ ":status": 200, ...ATOLL, "atoll-from": "other" });
    stream.end();
  }, ["wrong-node"]],
  ["an answer of another ring", (stream) => {
    stream.respond({ ":status": 200, ...ATOLL, "atoll-ring": "another" });
    stream.end();
  }, ["wrong-ring"]],
  ["a body that is no replies", (stream) => {
    stream.respond({ ":status": 200, ...ATOLL });
    stream.end("hello");
  }, ["peer-garbage"]],
  ["a reason that is none", (stream) => {
    stream.respond({ ":status": 500, ...ATOLL });
    stream.end("<html>");
  }, ["peer-garbage"]],
  ["a reason of an unknown code", (stream) => {
    stream.respond({ ":status": 500, ...ATOLL });
    stream.end('{"code":"toString","message":"m"}');
  }, ["peer-garbage"]],
  ["half an answer", (stream) => {
    stream.respond({ ":status": 200, ...ATOLL, "content-length": "1000" });
    stream.write("half");
    setImmediate(() => stream.session?.destroy());
  }, ["peer-timeout", "peer-garbage"]],
  ["a reset", (stream) => stream.close(8), ["peer-timeout"]],
];

for (const [what, onStream, codes] of answers) {
  test(`createPeers is ${codes.join(" or ")} with ${what}, after one request`, async () => {
    await using server = await openHttp2(onStream);
    await using peers = openPeers();
    await failsWith(peers.call(server.url, LAYOUT, { ...PATIENT, expect: "server" }), ...codes);
    assert.equal(server.streams(), 1);
  });
}

test("createPeers gives up an answer without end", async () => {
  let isReset = false;
  await using server = await openHttp2((stream) => {
    stream.respond({ ":status": 200, ...ATOLL });
    const part = new Uint8Array(1 << 20);
    const more = () => {
      while (!stream.destroyed && stream.write(part));
    };
    stream.on("drain", more);
    stream.on("aborted", () => {
      isReset = true;
    });
    more();
  });
  await using peers = openPeers();
  await failsWith(peers.call(server.url, LAYOUT, PATIENT), "peer-garbage");
  await until("the stream is reset", DEADLINE_MS, () => isReset);
});

test("createPeers is refused without the secret, and takes nothing unsigned or signed with another", async () => {
  const handler: PeerHandler = (_from, request) =>
    Promise.resolve(
      request.type === "chunk-put" ? { type: "chunk-put", stored: request.id } : { type: "layout" },
    );
  for (const [ours, theirs] of [[undefined, "a"], ["a", undefined], ["a", "b"]] as const) {
    await using server = await openServer(handler, theirs);
    await using peers = openPeers({ secret: ours });
    for (const request of [LAYOUT, CHUNK, LAYOUT] as const) {
      await failsWith(peers.call(server.url, request, PATIENT), "peer-refused");
    }
  }
});

test("createPeers refuses addresses that no peer can have", async () => {
  await using peers = openPeers();
  for (const url of ["https://host", "nonsense", "http://host/path", "http://user@host"]) {
    await failsWith(peers.call(url, LAYOUT, PATIENT), "peer-unreachable");
  }
});

test("createPeers sends what is called in one turn in batches of 64 messages or 1 MiB", async () => {
  const seen: PeerRequest[] = [];
  await using server = await openServer((_from, request) => {
    seen.push(request);
    return Promise.resolve(
      request.type === "prepare"
        ? { type: "prepare", reply: { kind: "refused", promised: request.ballot } }
        : { type: "layout" },
    );
  });
  let trips = 0;
  await using peers = openPeers({
    onRoundTrip: (url, seconds, ok) => {
      assert(url === server.url && seconds > 0 && seconds < DEADLINE_MS && ok);
      trips++;
    },
  });
  await Promise.all(Array.from({ length: 100 }, () => peers.call(server.url, LAYOUT, PATIENT)));
  assert.deepEqual([seen.length, trips], [100, 2]);
  const chunk = { id: "a".repeat(64), bytes: new Uint8Array(64 << 10) };
  const prepare = { type: "prepare", name: "a\0b", ballot: { counter: 1, node: "caller" }, chunk } as const;
  await Promise.all(Array.from({ length: 40 }, () => peers.call(server.url, prepare, PATIENT)));
  assert.deepEqual([seen.length, trips], [140, 2 + 3]);
});

test("createPeers does not send what was given up in the same turn", async () => {
  let calls = 0;
  await using server = await openServer(() => {
    calls++;
    return Promise.resolve({ type: "layout" });
  });
  await using peers = openPeers();
  const given = new AbortController();
  const call = peers.call(server.url, LAYOUT, { ...PATIENT, signal: given.signal });
  given.abort();
  await assert.rejects(call, { name: "AbortError" });
  await peers.call(server.url, LAYOUT, PATIENT);
  assert.equal(calls, 1);
});

test("createPeers gives up one message of a batch and still hears the others", async () => {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  let calls = 0;
  await using server = await openServer(async () => {
    calls++;
    await opened;
    return { type: "layout" };
  });
  await using peers = openPeers();
  const patient = peers.call(server.url, LAYOUT, PATIENT);
  await failsWith(peers.call(server.url, LAYOUT, { timeoutMs: 100 }), "peer-timeout");
  open();
  assert.equal((await patient).type, "layout");
  assert.equal(calls, 2);
});

test("createPeers says of a chunk that still waited for its turn that it was not stored", async () => {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  let calls = 0;
  await using server = await openServer(async () => {
    calls++;
    await opened;
    return { type: "chunk-put", stored: CHUNK.id };
  });
  await using peers = openPeers();
  // Eight of 1 MiB are under way at a time; the others' time comes first.
  const sent = Array.from({ length: 8 }, () => peers.call(server.url, CHUNK, { timeoutMs: 800 }));
  const waiting = Array.from({ length: 4 }, () => peers.call(server.url, CHUNK, { timeoutMs: 200 }));
  await Promise.all([
    ...sent.map((call) => failsWith(call, "peer-timeout")),
    ...waiting.map((call) => failsWith(call, "peer-unreachable")),
  ]);
  assert.equal(calls, 8);
  open();
  await peers.call(server.url, CHUNK, PATIENT);
  assert.equal(calls, 9);
});

test("createPeers().close() fails what is under way, and what is called later", async () => {
  let calls = 0;
  await using server = await openServer(() => {
    calls++;
    return new Promise(() => {});
  });
  await using peers = openPeers();
  const call = failsWith(peers.call(server.url, LAYOUT, PATIENT), "peer-timeout");
  await until("the call arrives", DEADLINE_MS, () => calls === 1);
  await peers.close();
  await call;
  await failsWith(peers.call(server.url, LAYOUT, PATIENT), "peer-unreachable");
});
