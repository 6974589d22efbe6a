/** A node of its own, attacked at one of its listeners and watched meanwhile. */
import { join } from "node:path";
import { createClock } from "../../src/adapters/clock.ts";
import { type AtollProcess, type Runtime, startNode } from "../helpers/atoll-process.ts";
import { makeCertificate } from "../helpers/certificates.ts";
import { ask } from "../helpers/raw-http.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";
import { Http1Answers, Http2Answers } from "./answers.ts";
import { attack, type AttackReport } from "./attack.ts";
import { createPeerScripts } from "./peer-requests.ts";
import { publicHttp2Script, publicScript } from "./public-requests.ts";
import { Watch, type WatchReport } from "./watch.ts";

export const DOORS = ["public", "peer", "public-http2"] as const;
export type Door = typeof DOORS[number];

export interface Campaign {
  readonly runtime: Runtime;
  readonly listener: Door;
  readonly seed: number;
  readonly from: number;
  readonly connections: number;
  readonly requests: number;
  readonly forMs: number;
  readonly onProgress?: (answers: number) => void;
}

export interface CampaignReport extends AttackReport, WatchReport {
  readonly tookMs: number;
  readonly failures: readonly string[];
}

/** Of what a node says apart from each request: why it made somebody wait, if it did. */
const REMARKS_SHOWN = 5;
const SECRET = "the secret that a fuzzer knows";
const AT_ONCE = { public: 24, peer: 12, "public-http2": 12 };
/** Of what is to be answered; see Watch.warm. */
const WARM_SHARE = 1 / 3;
const FAILURES_MAX = 5;

/** The line that plays a connection again. */
export function replayLine({ runtime, listener, seed }: Campaign, connection: number): string {
  return `npm run fuzz -- --runtime ${runtime} --listener ${listener} --seed ${seed} --from ${connection} --connections 1`;
}

export async function runCampaign(campaign: Campaign): Promise<CampaignReport> {
  const { runtime, listener, seed } = campaign;
  using directory = temporaryDirectory();
  await using node = await startNode({
    runtime,
    dataDir: join(directory.path, "data"),
    env: { ATOLL_CLUSTER_SECRET: SECRET, ...await tlsOf(listener, directory.path) },
  });
  const failures: string[] = [];
  const stop = new AbortController();
  const fail = (what: string): void => {
    failures.push(what);
    if (failures.length >= FAILURES_MAX || /^a (crash|hang)/.test(what)) stop.abort();
  };
  const watch = new Watch(node, fail);
  const ring = JSON.parse((await ask(`${node.publicUrl}/_/ring`)).body.toString()) as { ringId: string };
  const makeScript = {
    public: () => publicScript,
    "public-http2": () => publicHttp2Script,
    peer: () =>
      createPeerScripts(
        { secret: SECRET, nodeId: node.nodeId, ringId: ring.ringId, clock: createClock() },
        seed,
      ),
  }[listener]();
  const startedMs = performance.now();
  const report = await attack({
    ...campaign,
    port: Number(new URL(listener === "peer" ? node.peerUrl : node.publicUrl).port),
    isSecure: listener === "public-http2",
    makeScript,
    makeCounter: () => listener === "public" ? new Http1Answers() : new Http2Answers(),
    atOnce: AT_ONCE[listener],
    untilMs: startedMs + campaign.forMs,
    signal: stop.signal,
    onFailure: (connection, what) => fail(`${what}\n${replayLine(campaign, connection)}\n${told(node)}`),
    onProgress: (answers) => {
      if (
        answers >= campaign.requests * WARM_SHARE ||
        performance.now() > startedMs + campaign.forMs * WARM_SHARE
      ) watch.warm();
      campaign.onProgress?.(answers);
    },
  });
  const tookMs = performance.now() - startedMs;
  return { ...report, ...await watch.end(), tookMs, failures };
}

/** The public listener speaks HTTP/2 over TLS alone. */
async function tlsOf(listener: Door, directory: string): Promise<Record<string, string>> {
  if (listener !== "public-http2") return {};
  const { certFile, keyFile } = await makeCertificate(directory, "fuzz.test");
  return { ATOLL_TLS_CERT: certFile, ATOLL_TLS_KEY: keyFile };
}

function told({ lines }: AtollProcess): string {
  return lines.filter((line) => !line.includes('"message":"request"')).slice(-REMARKS_SHOWN).join("\n");
}
