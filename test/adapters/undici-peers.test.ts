import { createClock } from "../../src/adapters/clock.ts";
import { openPeerListener } from "../../src/adapters/peer-listener.ts";
import { createRandom } from "../../src/adapters/random.ts";
import { createPeers } from "../../src/adapters/undici-peers.ts";
import { createPeerApp } from "../../src/http/peer-app.ts";
import type { PeerHandler } from "../../src/ports.ts";
import { type OpenPeers, peersConformance } from "../conformance/peers.ts";
import { freePorts } from "../helpers/ports.ts";

const clock = createClock();
const random = createRandom();
const log = { info() {}, warn() {}, error() {} };

async function openPeers(secret: string | undefined): Promise<OpenPeers> {
  const net = {
    callerRing: "ring" as string | undefined,
    serverRing: "ring" as string | undefined,
    handle: (() => Promise.resolve({ type: "layout" })) as PeerHandler,
  };
  const app = createPeerApp({
    self: () => ({ nodeId: "server", ringId: net.serverRing, layoutNumber: 1 }),
    secret,
    handler: (from, request) => net.handle(from, request),
    clock,
    log,
  });
  const listener = await openPeerListener({ fetch: app.fetch, host: "127.0.0.1", port: 0 });
  const peers = createPeers({
    self: () => ({ nodeId: "caller", ringId: net.callerRing, layoutNumber: 1 }),
    secret,
    clock,
    random,
  });
  const [deadPort] = await freePorts(1);
  return Object.assign(net, {
    peers,
    url: `http://127.0.0.1:${listener.port}`,
    deadUrl: `http://127.0.0.1:${deadPort}`,
    [Symbol.asyncDispose]: async () => {
      await peers.close();
      await listener.close({ graceMs: 1_000 });
    },
  });
}

peersConformance("createPeers", () => openPeers(undefined));
peersConformance("createPeers with a secret", () => openPeers("correct horse battery staple"));
