import { createClock } from "../../src/adapters/clock.ts";
import { openPeerListener } from "../../src/adapters/peer-listener.ts";
import { createRandom } from "../../src/adapters/random.ts";
import { createPeers } from "../../src/adapters/undici-peers.ts";
import { createPeerApp } from "../../src/http/peer-app.ts";
import { PROTOCOLS, type Protocols } from "../../src/http/peer-protocol.ts";
import type { PeerHandler } from "../../src/ports.ts";
import { type OpenPeers, peersConformance } from "../conformance/peers.ts";
import { freePorts } from "../helpers/ports.ts";

const clock = createClock();
const random = createRandom();
const log = { info() {}, warn() {}, error() {} };

interface Ends {
  readonly secret?: string;
  readonly caller?: Protocols;
  readonly server?: Protocols;
}

/** They have met: what the other end understands is known. */
async function openPeers({ secret, caller = PROTOCOLS, server = PROTOCOLS }: Ends): Promise<OpenPeers> {
  const net = {
    callerRing: "ring" as string | undefined,
    serverRing: "ring" as string | undefined,
    handle: (() => Promise.resolve({ type: "layout" })) as PeerHandler,
  };
  const app = createPeerApp({
    self: () => ({ nodeId: "server", ringId: net.serverRing, layoutNumber: 1 }),
    secret,
    protocols: server,
    handler: (from, request) => net.handle(from, request),
    clock,
    log,
  });
  const listener = await openPeerListener({ fetch: app.fetch, host: "127.0.0.1", port: 0 });
  const peers = createPeers({
    self: () => ({ nodeId: "caller", ringId: net.callerRing, layoutNumber: 1 }),
    secret,
    protocols: caller,
    clock,
    random,
  });
  const url = `http://127.0.0.1:${listener.port}`;
  await peers.call(url, { type: "layout" }, { timeoutMs: 10_000 });
  const [deadPort] = await freePorts(1);
  return Object.assign(net, {
    peers,
    url,
    deadUrl: `http://127.0.0.1:${deadPort}`,
    [Symbol.asyncDispose]: async () => {
      await peers.close();
      await listener.close({ graceMs: 1_000 });
    },
  });
}

const secret = "correct horse battery staple";
peersConformance("createPeers", () => openPeers({}));
peersConformance("createPeers with a secret", () => openPeers({ secret }));

const before = { min: 1, max: 1 };
const translated = ["slot-states", "accept", "purge", "chunk-get", "moved"];
peersConformance("createPeers of version 1", () => openPeers({ secret, caller: before }), translated);
peersConformance("createPeers to version 1", () => openPeers({ secret, server: before }), translated);
