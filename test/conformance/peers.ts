/** What every Peers must do, together with the handler at its other end. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { AtollError, type ErrorCode, isAtollError } from "../../src/errors.ts";
import type { PeerHandler, PeerRequest, Peers } from "../../src/ports.ts";
import { until, within } from "../helpers/deadline.ts";
import { exchanges as allExchanges, withoutUndefined } from "../helpers/peer-messages.ts";

export interface OpenPeers extends AsyncDisposable {
  /** Of the node `caller`, of ring `ring`. */
  readonly peers: Peers;
  /** Where `handle` answers, as the node `server` of ring `ring`. */
  readonly url: string;
  /** Where nobody listens. */
  readonly deadUrl: string;
  handle: PeerHandler;
  callerRing: string | undefined;
  serverRing: string | undefined;
}

const DEADLINE_MS = 10_000;
const PATIENT = { timeoutMs: DEADLINE_MS, expect: "server" };
const LAYOUT: PeerRequest = { type: "layout" };
const READ: PeerRequest = { type: "read", name: "bucket\0key" };

function failsWith(promise: Promise<unknown>, code: ErrorCode, message?: RegExp): Promise<void> {
  return assert.rejects(promise, (error) => {
    assert(isAtollError(error, code), `wanted ${code}, got ${String(error)}`);
    if (message) assert.match(error.message, message);
    return true;
  });
}

/** A promise that the test settles. */
function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

/** `translated`: kinds that arrive otherwise than they were sent, or not, since the two ends know different versions. */
export function peersConformance(
  name: string,
  setup: () => Promise<OpenPeers>,
  translated: readonly string[] = [],
): void {
  const exchanges = Object.fromEntries(
    Object.entries(allExchanges).filter(([type]) => !translated.includes(type)),
  );
  const anyExchange = fc.oneof(...Object.values(exchanges));
  for (const [type, exchange] of Object.entries(exchanges)) {
    test(`${name} carries ${type} and its reply unchanged`, async () => {
      await using net = await setup();
      await fc.assert(
        fc.asyncProperty(exchange, async ({ request, reply }) => {
          let seen: PeerRequest | undefined;
          net.handle = (_from, got) => {
            seen = got;
            return Promise.resolve(reply);
          };
          const got = await net.peers.call(net.url, request, PATIENT);
          assert.deepEqual(asSent(seen), request);
          assert.deepEqual(withoutUndefined(got), reply);
        }),
        { numRuns: 25 },
      );
    });
  }

  test(`${name} tells of a chunk's pieces before the chunk is whole`, async () => {
    await using net = await setup();
    const bytes = new Uint8Array(1 << 20).fill(7);
    const id = createHash("sha256").update(bytes).digest("hex");
    net.handle = () => Promise.resolve({ type: "chunk-get", bytes });
    const events: string[] = [];
    const onProgress = () => events.push("piece");
    await net.peers.call(net.url, { type: "chunk-get", id }, { ...PATIENT, onProgress });
    events.push("whole");
    assert.deepEqual([events[0], events.at(-1)], ["piece", "whole"]);
  });

  test(`${name} keeps 200 calls of all kinds apart that are under way at once`, async () => {
    await using net = await setup();
    const all = fc.sample(anyExchange, 200);
    net.handle = async (from, request) => {
      await Promise.resolve();
      return all[Number(from.trace)]!.reply.type === "error"
        ? assert.fail()
        : check(Number(from.trace), request);
    };
    function check(index: number, request: PeerRequest) {
      assert.deepEqual(asSent(request), all[index]!.request);
      return all[index]!.reply;
    }
    const replies = await Promise.all(
      all.map(({ request }, index) => net.peers.call(net.url, request, { ...PATIENT, trace: String(index) })),
    );
    assert.deepEqual(replies.map(withoutUndefined), all.map(({ reply }) => reply));
  });

  test(`${name} tells the handler who asks and the trace`, async () => {
    await using net = await setup();
    const seen: unknown[] = [];
    net.handle = (from, request) => {
      seen.push([request.type, from.node, from.trace]);
      return Promise.resolve(request.type === "chunk-get" ? { type: "chunk-get" } : { type: "layout" });
    };
    const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    await net.peers.call(net.url, LAYOUT, { ...PATIENT, trace });
    await net.peers.call(net.url, LAYOUT, PATIENT);
    await net.peers.call(net.url, { type: "chunk-get", id: "a".repeat(64) }, { ...PATIENT, trace });
    assert.deepEqual(seen, [["layout", "caller", trace], ["layout", "caller", undefined], [
      "chunk-get",
      "caller",
      trace,
    ]]);
  });

  test(`${name} carries chunks of 1 MiB intact both ways, many at a time, and refuses larger ones`, async () => {
    await using net = await setup();
    const chunks = Array.from({ length: 24 }, (_, seed) => pattern(1 << 20, seed));
    const arrived: boolean[] = [];
    net.handle = (_from, request) => {
      assert(request.type === "chunk-put" || request.type === "chunk-get");
      const index = Number.parseInt(request.id, 16);
      if (request.type === "chunk-get") return Promise.resolve({ type: "chunk-get", bytes: chunks[index] });
      arrived[index] = sameBytes(request.bytes, chunks[index]!);
      return Promise.resolve({ type: "chunk-put", stored: request.id });
    };
    await Promise.all(chunks.map(async (bytes, index) => {
      const id = index.toString(16).padStart(64, "0");
      const put = await net.peers.call(net.url, { type: "chunk-put", id, bytes }, PATIENT);
      assert.deepEqual(put, { type: "chunk-put", stored: id });
      const got = await net.peers.call(net.url, { type: "chunk-get", id }, PATIENT);
      assert(got.bytes && sameBytes(got.bytes, bytes));
    }));
    assert.deepEqual(arrived, chunks.map(() => true));
    const large = { type: "chunk-put", id: "b".repeat(64), bytes: new Uint8Array((1 << 20) + 1) } as const;
    await failsWith(net.peers.call(net.url, large, PATIENT), "too-large");
  });

  test(`${name} keeps the code of an AtollError, for the one message that failed`, async () => {
    await using net = await setup();
    net.handle = (from) =>
      from.trace === "bad"
        ? Promise.reject(new AtollError("storage-full", "wanted room, got none"))
        : Promise.resolve({ type: "layout" });
    const calls = ["good", "bad", "good"].map((trace) =>
      net.peers.call(net.url, LAYOUT, { ...PATIENT, trace })
    );
    await failsWith(calls[1]!, "storage-full", /^wanted room, got none$/);
    assert.deepEqual(await Promise.all([calls[0], calls[2]]).then(withoutUndefined), [{ type: "layout" }, {
      type: "layout",
    }]);
    net.handle = () => Promise.reject(new AtollError("storage-full", "wanted room, got none"));
    await failsWith(
      net.peers.call(net.url, { type: "chunk-get", id: "a".repeat(64) }, PATIENT),
      "storage-full",
    );
    await failsWith(
      net.peers.call(net.url, { type: "chunk-put", id: "a".repeat(64), bytes: pattern(9, 1) }, PATIENT),
      "storage-full",
    );
  });

  test(`${name} tells nothing of unexpected errors`, async () => {
    await using net = await setup();
    net.handle = () => Promise.reject(new Error("secret"));
    await failsWith(net.peers.call(net.url, LAYOUT, PATIENT), "internal", /^(?!.*secret)/);
    net.handle = () => Promise.resolve({ type: "notice" });
    await failsWith(net.peers.call(net.url, LAYOUT, PATIENT), "internal");
  });

  test(`${name} never passes on that the peer could not reach another peer as its own not being reached`, async () => {
    await using net = await setup();
    for (const code of ["peer-unreachable", "peer-timeout"] as const) {
      net.handle = () => Promise.reject(new AtollError(code, "of a third node"));
      await failsWith(net.peers.call(net.url, LAYOUT, PATIENT), "internal", /third node/);
    }
  });

  test(`${name} is peer-unreachable where nobody listens`, async () => {
    await using net = await setup();
    await failsWith(net.peers.call(net.deadUrl, LAYOUT, { timeoutMs: DEADLINE_MS }), "peer-unreachable");
  });

  test(`${name} holds its deadline whatever the peer does, and the next call is none the worse`, async () => {
    await using net = await setup();
    const late = gate();
    for (const request of [LAYOUT, READ, { type: "chunk-get", id: "a".repeat(64) } as const]) {
      net.handle = async () => {
        await late.opened;
        return { type: "layout" };
      };
      const startedMs = performance.now();
      await failsWith(net.peers.call(net.url, request, { timeoutMs: 150, expect: "server" }), "peer-timeout");
      const tookMs = performance.now() - startedMs;
      assert(tookMs >= 145 && tookMs < 5_000, `${tookMs} ms`);
      net.handle = () => Promise.resolve({ type: "layout" });
      assert.deepEqual(withoutUndefined(await net.peers.call(net.url, LAYOUT, PATIENT)), { type: "layout" });
    }
    late.open();
  });

  test(`${name} rejects with the signal's reason, at once when it is aborted already`, async () => {
    await using net = await setup();
    const late = gate();
    let calls = 0;
    net.handle = async () => {
      calls++;
      await late.opened;
      return { type: "layout" };
    };
    const reason = new Error("never mind");
    const controller = new AbortController();
    const call = net.peers.call(net.url, LAYOUT, { ...PATIENT, signal: controller.signal });
    const rejected = assert.rejects(call, (error) => error === reason);
    await until("the call arrives", DEADLINE_MS, () => calls === 1);
    controller.abort(reason);
    await within(rejected, DEADLINE_MS, "the call is rejected", []);
    const again = net.peers.call(net.url, LAYOUT, { ...PATIENT, signal: controller.signal });
    await assert.rejects(again, (error) => error === reason);
    late.open();
    assert.deepEqual(withoutUndefined(await net.peers.call(net.url, LAYOUT, PATIENT)), { type: "layout" });
    assert.equal(calls, 2);
  });

  test(`${name} is wrong-node when another one answers than was expected, who does nothing`, async () => {
    await using net = await setup();
    let calls = 0;
    net.handle = () => {
      calls++;
      return Promise.resolve({ type: "layout" });
    };
    await failsWith(net.peers.call(net.url, LAYOUT, { ...PATIENT, expect: "other" }), "wrong-node");
    assert.equal(calls, 0);
    await net.peers.call(net.url, LAYOUT, { timeoutMs: DEADLINE_MS });
    assert.equal(calls, 1);
  });

  test(`${name} is wrong-ring between members of two rings, whatever they ask`, async () => {
    await using net = await setup();
    let calls = 0;
    net.handle = () => {
      calls++;
      return Promise.resolve({ type: "layout" });
    };
    net.callerRing = "another";
    for (const request of [LAYOUT, READ, { type: "chunk-get", id: "a".repeat(64) } as const]) {
      await failsWith(net.peers.call(net.url, request, PATIENT), "wrong-ring");
    }
    assert.equal(calls, 0);
  });

  for (const side of ["callerRing", "serverRing"] as const) {
    test(`${name} lets a node without a ring (${side}) find one and no more`, async () => {
      await using net = await setup();
      net[side] = undefined;
      let allowed = 0;
      for (const [type, exchange] of Object.entries(exchanges)) {
        const { request, reply } = fc.sample(exchange, 1)[0]!;
        net.handle = () => Promise.resolve(reply);
        const call = net.peers.call(net.url, request, PATIENT);
        if (["ping", "probe", "members", "layout", "decree-prepare", "decree-accept"].includes(type)) {
          assert.deepEqual(withoutUndefined(await call), reply);
          allowed++;
        } else await failsWith(call, "wrong-ring");
      }
      assert.equal(allowed, 6);
    });
  }
}

function pattern(sizeBytes: number, seed: number): Uint8Array {
  return Uint8Array.from(
    { length: sizeBytes },
    (_, index) => (index * 31 + (index >>> 8) * 7 + seed * 13) & 0xff,
  );
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

/** Without what the receiving end may add: the digest of a chunk, computed while it arrived. */
function asSent(request: PeerRequest | undefined): unknown {
  if (request?.type !== "chunk-put" || request.computed === undefined) return withoutUndefined(request);
  const { computed, ...sent } = request;
  assert.equal(computed, createHash("sha256").update(sent.bytes).digest("hex"));
  return withoutUndefined(sent);
}
