/**
 * A peer with a little memory: `peer-server.ts <port> <secret or "">` prints the port it listens on. Ends when its
 * standard input does.
 */
import { createHash } from "node:crypto";
import process from "node:process";
import { createClock } from "../../../src/adapters/clock.ts";
import { openPeerListener } from "../../../src/adapters/peer-listener.ts";
import { NO_BALLOT } from "../../../src/core/ballot.ts";
import { createPeerApp } from "../../../src/http/peer-app.ts";
import type { PeerHandler } from "../../../src/ports.ts";

const [port = "0", secret = ""] = process.argv.slice(2);
const chunks = new Map<string, Uint8Array>();
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

const handler: PeerHandler = (_from, request) => {
  switch (request.type) {
    case "chunk-put": {
      const stored = sha256(request.bytes);
      chunks.set(stored, request.bytes.slice());
      return Promise.resolve({ type: "chunk-put", stored });
    }
    case "chunk-get":
      return Promise.resolve({ type: "chunk-get", bytes: chunks.get(request.id) });
    case "prepare": {
      const stored = request.chunk && sha256(request.chunk.bytes);
      return Promise.resolve({
        type: "prepare",
        reply: { kind: "promised", accepted: NO_BALLOT, value: null },
        stored,
      });
    }
    case "read":
      return Promise.resolve({
        type: "read",
        accepted: { counter: request.name.length, node: request.name },
      });
    default:
      return Promise.reject(new Error(`there is no ${request.type} here`));
  }
};

const app = createPeerApp({
  self: () => ({ nodeId: "server", ringId: "ring", layoutNumber: 1 }),
  secret: secret === "" ? undefined : secret,
  handler,
  clock: createClock(),
  log: { info() {}, warn() {}, error() {} },
});
const listener = await openPeerListener({ fetch: app.fetch, host: "127.0.0.1", port: Number(port) });
process.stdout.write(`${listener.port}\n`);
process.stdin.on("end", () => void listener.close({ graceMs: 0 }).then(() => process.exit(0)));
process.stdin.resume();
