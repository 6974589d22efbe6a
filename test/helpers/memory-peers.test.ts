import assert from "node:assert/strict";
import { test } from "node:test";
import { isAtollError } from "../../src/errors.ts";
import type { Clock } from "../../src/ports.ts";
import { type OpenPeers, peersConformance } from "../conformance/peers.ts";
import { MemoryNetwork } from "./memory-peers.ts";

/** Keeps the process alive while it waits, since here nothing else does. */
const clock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};

function openPeers(): OpenPeers & { network: MemoryNetwork } {
  const network = new MemoryNetwork(clock);
  const net: OpenPeers & { network: MemoryNetwork } = {
    network,
    callerRing: "ring",
    serverRing: "ring",
    handle: () => Promise.resolve({ type: "layout" }),
    peers: network.peersOf(() => ({ nodeId: "caller", ringId: net.callerRing, layoutNumber: 1 })),
    url: "http://server",
    deadUrl: "http://nobody",
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  network.join(net.url, {
    self: () => ({ nodeId: "server", ringId: net.serverRing, layoutNumber: 1 }),
    handler: (from, request) => net.handle(from, request),
  });
  return net;
}

peersConformance("MemoryNetwork", () => Promise.resolve(openPeers()));

const switches = [
  ["isCut", "peer-unreachable", 0],
  ["hangs", "peer-timeout", 0],
  ["dropsReplies", "peer-timeout", 1],
] as const;

for (const [name, code, handled] of switches) {
  test(`MemoryWay.${name} makes a call ${code}, handled ${handled} times`, async () => {
    const net = openPeers();
    let calls = 0;
    net.handle = () => {
      calls++;
      return Promise.resolve({ type: "layout" });
    };
    net.network.way("caller", net.url)[name] = true;
    const call = net.peers.call(net.url, { type: "layout" }, { timeoutMs: 50 });
    await assert.rejects(call, (error) => isAtollError(error, code));
    assert.equal(calls, handled);
  });
}

test("MemoryWay.duplicates delivers twice, MemoryWay.delayMs later", async () => {
  const net = openPeers();
  let calls = 0;
  net.handle = () => {
    calls++;
    return Promise.resolve({ type: "layout" });
  };
  Object.assign(net.network.way("caller", net.url), { duplicates: true, delayMs: 30 });
  const startedMs = performance.now();
  await net.peers.call(net.url, { type: "layout" }, { timeoutMs: 5_000 });
  assert.equal(calls, 2);
  assert(performance.now() - startedMs >= 55);
});
