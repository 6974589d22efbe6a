/** A node of its own ring of one, all in memory, with its public app: for tests of what HTTP answers. */
import { createClock } from "../../src/adapters/clock.ts";
import { createHashing } from "../../src/adapters/hashing.ts";
import { createRandom } from "../../src/adapters/random.ts";
import { AtollError } from "../../src/errors.ts";
import type { AdmissionLimits } from "../../src/http/admission.ts";
import type { AccessDeps } from "../../src/http/door.ts";
import { createPublicApp, type PublicApp } from "../../src/http/public-app.ts";
import { Metrics } from "../../src/node/metrics.ts";
import { type AtollNode, createNode } from "../../src/node/node.ts";
import type { Clock, Log } from "../../src/ports.ts";
import { createMemoryCatalog } from "./memory-catalog.ts";
import { createMemoryChunkCache, createMemoryChunkFiles } from "./memory-chunk-files.ts";

export const QUIET: Log = { info() {}, warn() {}, error() {} };

export interface MemoryNode {
  readonly node: AtollNode;
  readonly app: PublicApp;
  /** Lines of the access log so far. */
  readonly lines: string[];
  drain(): void;
  /** Wall time and monotonic time pass. */
  pass(ms: number): void;
  request(target: string, init?: RequestInit): Promise<Response>;
  [Symbol.dispose](): void;
}

export async function openMemoryNode(
  { maxObjectBytes = 64 << 20, access, log = QUIET, ...limits }: {
    maxObjectBytes?: number;
    access?: (node: AtollNode, clock: Clock) => AccessDeps;
    log?: Log;
  } & Partial<AdmissionLimits> = {},
): Promise<MemoryNode> {
  const real = createClock();
  let passedMs = 0;
  const clock: Clock = {
    wallMs: () => real.wallMs() + passedMs,
    monotonicMs: () => real.monotonicMs() + passedMs,
    after: (delayMs, run) => real.after(delayMs, run),
  };
  const random = createRandom();
  const metrics = new Metrics();
  const lines: string[] = [];
  let draining = false;
  const node = await createNode({
    id: "solo",
    region: "here",
    zone: "here",
    peerUrl: "http://127.0.0.1:1",
    publicUrl: "http://127.0.0.1:2",
    bootstrapExpect: 1,
    replicas: 3,
    memoryCacheBytes: 8 << 20,
  }, {
    catalog: createMemoryCatalog(),
    chunkFiles: createMemoryChunkFiles(),
    chunkCache: createMemoryChunkCache(1 << 20),
    peers: { call: () => Promise.reject(new AtollError("peer-unreachable", "there are no peers")) },
    discovery: undefined,
    layoutBoard: undefined,
    hashing: createHashing(),
    clock,
    random,
    log: QUIET,
    metrics,
  });
  await node.start();
  const app = createPublicApp({
    node,
    clock,
    random,
    log,
    access: access?.(node, clock),
    writeLine: (line) => void lines.push(line),
    maxObjectBytes,
    limits: {
      trustedProxy: { kind: "none" },
      maxConcurrentRequests: 100,
      maxConcurrentPerClient: Infinity,
      maxConcurrentPerKey: Infinity,
      ratePerClient: undefined,
      ratePerKey: undefined,
      ...limits,
    },
    isDraining: () => draining,
  });
  return {
    node,
    app,
    lines,
    drain: () => void (draining = true),
    pass: (ms) => void (passedMs += ms),
    request: async (target, init) => await app.request(target, init),
    [Symbol.dispose]: () => node.stop(),
  };
}
