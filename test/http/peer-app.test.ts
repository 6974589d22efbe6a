import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { createClock } from "../../src/adapters/clock.ts";
import { createRandom } from "../../src/adapters/random.ts";
import { AtollError } from "../../src/errors.ts";
import { AUTH_HEADER, bodyDigest, PeerSigner } from "../../src/http/peer-auth.ts";
import { createPeerApp } from "../../src/http/peer-app.ts";
import { type CallRequest, decodeReplies, encodeRequest, joinFrames } from "../../src/http/peer-codec.ts";
import { type PeerSelf, requestHeaders } from "../../src/http/peer-headers.ts";
import type { LogFields, PeerHandler, PeerRequest } from "../../src/ports.ts";

const SECRET = "correct horse battery staple";
const CALLER: PeerSelf = { nodeId: "caller", ringId: "ring", layoutNumber: 3 };
const ID = "a".repeat(64);
const clock = createClock();

interface Asking {
  readonly method?: "GET" | "PUT" | "POST";
  readonly path?: string;
  readonly body?: Uint8Array;
  readonly self?: PeerSelf;
  readonly expect?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Signed with it, over this digest instead of the body's. */
  readonly secret?: string;
  readonly digest?: string;
}

function openApp(
  options: { secret?: string; handler?: PeerHandler; maxConcurrentRequests?: number; bufferBytes?: number } =
    {},
) {
  const requests: PeerRequest[] = [];
  const lines: [string, LogFields | undefined][] = [];
  const line = (message: string, fields?: LogFields) => void lines.push([message, fields]);
  const app = createPeerApp({
    self: () => ({ nodeId: "server", ringId: "ring", layoutNumber: 3 }),
    secret: options.secret,
    maxConcurrentRequests: options.maxConcurrentRequests,
    bufferBytes: options.bufferBytes,
    onLimit: line,
    handler: (from, request) => {
      requests.push(request);
      return options.handler?.(from, request) ?? Promise.resolve({ type: "layout" });
    },
    clock,
    log: { info: line, warn: line, error: line },
  });
  const ask = async (asking: Asking = {}): Promise<Response> => {
    const { method = "POST", path = "/v1/call", secret, self = CALLER, expect } = asking;
    const body = asking.body ?? (method === "POST" ? calls({ type: "layout" }) : undefined);
    const { signed, headers } = requestHeaders(self, { method, path, expect });
    if (secret !== undefined) {
      const signer = new PeerSigner({ secret, clock, random: createRandom() });
      headers[AUTH_HEADER] = signer.sign(signed, asking.digest ?? (body ? bodyDigest(body) : "-")).header;
    }
    const init = {
      method,
      headers: { ...headers, ...asking.headers },
      ...(body && { body: new Uint8Array(body) }),
    };
    return await app.request(path, init);
  };
  return { app, ask, requests, lines };
}

function calls(...requests: CallRequest[]): Uint8Array {
  return joinFrames(requests.map((request) => encodeRequest({ request })));
}

async function fault(response: Response): Promise<[number, string]> {
  const { code, message } = await response.json() as { code: string; message: string };
  assert.equal(typeof message, "string");
  return [response.status, code];
}

test("createPeerApp answers a batch in order, each failure for itself", async () => {
  const { ask } = openApp({
    handler: (_from, request) =>
      request.type === "notice"
        ? Promise.reject(new AtollError("overloaded", "busy"))
        : Promise.resolve({ type: "layout" }),
  });
  const response = await ask({
    body: calls({ type: "layout" }, { type: "notice", commits: [] }, { type: "layout" }),
  });
  assert.deepEqual(
    [response.status, ...["protocol", "from", "ring"].map((name) => response.headers.get(`atoll-${name}`))],
    [200, "2", "server", "ring"],
  );
  assert.deepEqual(decodeReplies(await response.bytes(), 3), [
    { type: "layout" },
    { type: "error", code: "overloaded", message: "busy" },
    { type: "layout" },
  ]);
});

test("createPeerApp handles the messages of a batch at the same time", async () => {
  let waiting = 0;
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const { ask } = openApp({
    handler: async () => {
      if (++waiting === 3) open();
      await opened;
      return { type: "layout" };
    },
  });
  assert.equal(
    (await ask({ body: calls({ type: "layout" }, { type: "layout" }, { type: "layout" }) })).status,
    200,
  );
});

test("createPeerApp refuses more requests at a time than it may have, and takes them again once one is over", async () => {
  let open = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  const { ask, requests, lines } = openApp({
    maxConcurrentRequests: 1,
    handler: () => opened.then(() => ({ type: "layout" })),
  });
  const first = ask();
  assert.deepEqual(await fault(await ask()), [503, "overloaded"]);
  assert.deepEqual(lines[0], ["peer-requests", undefined]);
  assert.equal(requests.length, 1);
  open();
  assert.equal((await first).status, 200);
  assert.equal((await ask()).status, 200);
});

test("createPeerApp refuses chunks that there is no memory for, and takes them again once another is stored", async () => {
  const bytes = new Uint8Array(100_000).fill(7);
  const stored = createHash("sha256").update(bytes).digest("hex");
  let arrived = () => {};
  const isThere = new Promise<void>((resolve) => (arrived = resolve));
  let open = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  const { ask, lines } = openApp({
    bufferBytes: 1 << 20,
    handler: () => {
      arrived();
      return opened.then(() => ({ type: "chunk-put", stored }));
    },
  });
  const put = () => ask({ method: "PUT", path: `/v1/chunks/${stored}`, body: bytes });
  const first = put();
  await isThere;
  assert.deepEqual(await fault(await put()), [503, "overloaded"]);
  assert.deepEqual(lines[0], ["peer-buffers", undefined]);
  open();
  assert.equal((await first).status, 200);
  assert.equal((await put()).status, 200);
});

test("createPeerApp hands a chunk's bytes to the handler, and serves them raw or 404", async () => {
  const bytes = new Uint8Array(1 << 20).fill(3);
  const stored = createHash("sha256").update(bytes).digest("hex");
  const { ask, requests } = openApp({
    handler: (_from, request) =>
      Promise.resolve(
        request.type === "chunk-put"
          ? { type: "chunk-put", stored }
          : { type: "chunk-get", bytes: requests.length === 2 ? bytes : undefined },
      ),
  });
  const put = await ask({ method: "PUT", path: `/v1/chunks/${stored}`, body: bytes });
  assert.deepEqual([put.status, await put.json()], [200, { type: "chunk-put", stored }]);
  assert.deepEqual(requests, [
    { type: "chunk-put", id: stored, bytes, computed: stored, owed: undefined },
  ]);
  const got = await ask({ method: "GET", path: `/v1/chunks/${stored}` });
  assert.deepEqual([got.status, await got.bytes()], [200, bytes]);
  assert.equal((await ask({ method: "GET", path: `/v1/chunks/${stored}` })).status, 404);
});

test("createPeerApp refuses to fetch for the region what no node would ask for", async () => {
  const { ask, requests } = openApp();
  const name = Buffer.from("bucket\0key").toString("base64url");
  const texts = [
    "node-a",
    "1 keep",
    `1048577 keep ${name}`,
    `0 keep ${name}`,
    `1 kept ${name}`,
    `1 keep ${name}=`,
  ];
  for (const text of texts) {
    const reply = await ask({
      method: "GET",
      path: `/v1/chunks/${ID}`,
      headers: { "atoll-owed": text },
    });
    assert.equal(reply.status, 400, text);
  }
  assert.deepEqual(requests, []);
});

test("createPeerApp answers 500 for a chunk only where the fault is its own", async () => {
  const codes = [
    ["digest-mismatch", 400],
    ["wrong-layout", 409],
    ["overloaded", 503],
    ["storage-full", 507],
    ["internal", 500],
  ] as const;
  for (const [code, status] of codes) {
    const { ask } = openApp({ handler: () => Promise.reject(new AtollError(code, "as the handler says")) });
    const askings: Asking[] = [{ method: "GET" }, { method: "PUT", body: new Uint8Array(3) }];
    for (const asking of askings) {
      const answer = await ask({ ...asking, path: `/v1/chunks/${ID}` });
      assert.deepEqual(await fault(answer), [status, code], String(asking.method));
    }
  }
});

const refusals: readonly (readonly [string, Asking, number, string])[] = [
  ["another protocol", { headers: { "atoll-protocol": "0" } }, 426, "wrong-protocol"],
  [
    "a version that its sender does not understand",
    { headers: { "atoll-understands": "3-4" } },
    400,
    "peer-garbage",
  ],
  ["another ring", { self: { ...CALLER, ringId: "another" } }, 409, "wrong-ring"],
  ["a wish for another node", { expect: "other" }, 421, "wrong-node"],
  ["no name", { headers: { "atoll-from": "" } }, 400, "peer-garbage"],
  ["a layout that is no number", { headers: { "atoll-layout": "x" } }, 400, "peer-garbage"],
  ["a body that is no batch", { body: new Uint8Array(3) }, 400, "peer-garbage"],
  [
    "a chunk beyond 1 MiB",
    { method: "PUT", path: `/v1/chunks/${ID}`, body: new Uint8Array((1 << 20) + 1) },
    413,
    "too-large",
  ],
  [
    "a declared length beyond 1 MiB",
    {
      method: "PUT",
      path: `/v1/chunks/${ID}`,
      body: new Uint8Array(1),
      headers: { "content-length": "1048577" },
    },
    413,
    "too-large",
  ],
  ["a call beyond 8 MiB", { body: new Uint8Array((8 << 20) + 1) }, 413, "too-large"],
  ["a chunk's name that is none", { method: "GET", path: "/v1/chunks/xyz" }, 400, "peer-garbage"],
  ["a path that is no route", { method: "GET", path: "/v1/secrets" }, 400, "peer-garbage"],
];

for (const [what, asking, status, code] of refusals) {
  test(`createPeerApp refuses ${what} with ${status} ${code}, and asks no handler`, async () => {
    const { ask, requests } = openApp();
    assert.deepEqual(await fault(await ask(asking)), [status, code]);
    assert.deepEqual(requests, []);
  });
}

/** A build of version 1 reads no reason that is not in its own. */
for (
  const [what, asking] of [
    ["a wrong ring", { self: { ...CALLER, ringId: "another" } }],
    ["no signature", {}],
    ["no route", { secret: SECRET, path: "/v1/secrets" }],
  ] as const
) {
  test(`createPeerApp refuses ${what} in the version in which it was asked, or in its own`, async () => {
    const { ask } = openApp({ secret: SECRET });
    for (const [asked, answered] of [["1", "1"], ["2", "2"], ["3", "2"], ["x", "2"]] as const) {
      const { headers } = await ask({ ...asking, headers: { "atoll-protocol": asked } });
      assert.deepEqual([headers.get("atoll-protocol"), headers.get("atoll-understands")], [answered, "1-2"]);
    }
  });
}

const strangers: readonly (readonly [string, Asking])[] = [
  ["without a signature", {}],
  ["with another secret", { secret: "another" }],
  ["with a body that was changed", {
    secret: SECRET,
    digest: bodyDigest(calls({ type: "notice", commits: [] })),
  }],
  ["with a call whose body is not signed", { secret: SECRET, digest: "-" }],
];

for (const [what, asking] of strangers) {
  test(`createPeerApp refuses requests ${what} with 401 peer-refused, and tells nothing of the ring`, async () => {
    const { ask, requests } = openApp({ secret: SECRET });
    const response = await ask(asking);
    assert.deepEqual([response.headers.get("atoll-ring"), response.headers.get("atoll-from")], [null, null]);
    assert.deepEqual(await fault(response), [401, "peer-refused"]);
    assert.deepEqual(requests, []);
    assert.equal((await ask({ secret: SECRET })).status, 200);
  });
}

test("createPeerApp refuses a stranger before it reads the body", async () => {
  const { app } = openApp({ secret: SECRET });
  let pulled = 0;
  const body = new ReadableStream({
    pull: (controller) => {
      pulled++;
      controller.enqueue(new Uint8Array(1_000));
    },
  }, { highWaterMark: 0 });
  const { headers } = requestHeaders(CALLER, { method: "POST", path: "/v1/call" });
  const init: RequestInit & { duplex: "half" } = { method: "POST", headers, body, duplex: "half" };
  assert.deepEqual(await fault(await app.request("/v1/call", init)), [401, "peer-refused"]);
  assert.equal(pulled, 0);
});

test("createPeerApp logs a refused peer once for each reason, and no more than a bounded number of them", async () => {
  const { ask, lines } = openApp();
  for (let count = 0; count < 3; count++) await ask({ self: { ...CALLER, ringId: "another" } });
  await ask({ headers: { "atoll-protocol": "4", "atoll-understands": "3-4" } });
  assert.deepEqual(lines.map(([message, fields]) => [message, fields?.["from"], fields?.["code"]]), [
    ["audit: a peer was refused", "caller", "wrong-ring"],
    ["audit: a peer was refused", "caller", "wrong-protocol"],
  ]);
  for (let count = 0; count < 400; count++) {
    await ask({ self: { nodeId: `made-up-${count}`, ringId: "another", layoutNumber: 1 } });
  }
  assert.equal(lines.length, 257);
  assert.deepEqual(lines.at(-1), ["audit: a peer was refused: further ones are not logged", undefined]);
});

test("createPeerApp logs what nobody expected, and answers no more than that", async () => {
  const { ask, lines } = openApp({ handler: () => Promise.reject(new Error("secret")) });
  const response = await ask();
  assert.deepEqual(decodeReplies(await response.bytes(), 1), [
    { type: "error", code: "internal", message: "see that node's log" },
  ]);
  assert.deepEqual(lines.map(([message, fields]) => [message, fields?.["reason"]]), [
    ["a peer's request failed", "secret"],
  ]);
});
