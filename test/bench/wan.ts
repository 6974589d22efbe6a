/**
 * `npm run bench:wan -- --wan DIR`: a ring of three regions, one node each, with a long way between them: what reads and writes
 * cost in round trips, and how much of the link a large object from elsewhere gets. DIR has `netns.mjs`, which makes a network
 * for each node (Linux, root). `--rtt MS --mib N --rate MIB --runtime node|deno`; the rate is that of each direction of a link.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import type { Runtime } from "../helpers/atoll-process.ts";
import { until } from "../helpers/deadline.ts";
import { ask, metricOf } from "../helpers/raw-http.ts";
import { bundle } from "../tools/bundle.ts";
import { binary } from "../tools/project.ts";
import { median } from "./medians.ts";

interface Network {
  readonly addresses: readonly string[];
  open(directory: string, onLost: (reason: string) => void): Promise<void>;
  inside(node: number, command: readonly string[]): [string, ...string[]];
  set(from: number, to: number, quality: { readonly bytesPerSecond: number }): Promise<void>;
  close(): Promise<void>;
}

const DEADLINE_MS = 120_000;
/** Three replicas, and one that is none of a large object's. */
const REGIONS = ["a", "b", "c", "d"];
const [PORT, PEER_PORT] = [8080, 8081];
const SMALL_BYTES = 4 << 10;
const RUNS = 21;
/** Writes through each node, some at once, before anything is measured: of nodes at work, not of ones just started. */
const [WARM_ROUNDS, WARM_AT_ONCE] = [40, 6];

const { values } = parseArgs({
  options: {
    wan: { type: "string" },
    rtt: { type: "string", default: "100" },
    mib: { type: "string", default: "64" },
    rate: { type: "string", default: "30" },
    runtime: { type: "string", default: "node" },
  },
});
if (values.wan === undefined) {
  console.error("wanted --wan DIR, the directory with netns.mjs");
  process.exit(2);
}
const [rttMs, mib, rateMib] = [values.rtt, values.mib, values.rate].map(Number) as [number, number, number];
const runtime = values.runtime as Runtime;
const { Network } = await import(pathToFileURL(resolve(values.wan, "netns.mjs")).href) as {
  Network: new (options: { count: number; rttMs: number }) => Network;
};

const directory = await mkdtemp(join(tmpdir(), "atoll-wan-"));
const network = new Network({ count: REGIONS.length, rttMs });
const children: ReturnType<typeof spawn>[] = [];
const agent = new Agent({ keepAlive: true, maxSockets: WARM_AT_ONCE });
try {
  const entry = join(directory, "atoll.mjs");
  await bundle(entry);
  await network.open(directory, console.error);
  const seeds = network.addresses.map((address) => `http://${address}:${PEER_PORT}`).join(",");
  for (const [index, region] of REGIONS.entries()) {
    const flags = runtime === "deno" ? ["run", "-A"] : [];
    const [file, ...args] = network.inside(index, [binary(runtime), ...flags, entry]);
    children.push(spawn(file, args, {
      stdio: ["ignore", "ignore", "inherit"],
      env: {
        ...process.env,
        PORT: String(PORT),
        ATOLL_PEER_PORT: String(PEER_PORT),
        ATOLL_HOST: network.addresses[index]!,
        ATOLL_INSECURE: "1",
        ATOLL_CLUSTER_SECRET: "a secret of this bench",
        ATOLL_DATA_DIR: join(directory, region),
        ATOLL_NODE_ID: `node-${region}`,
        ATOLL_REGION: region,
        ATOLL_SEEDS: seeds,
        ATOLL_BOOTSTRAP_EXPECT: String(REGIONS.length),
      },
    }));
  }
  for (const [index] of REGIONS.entries()) {
    const sees = async () =>
      await metricOf(urlOf(index), "atoll_peers_alive").catch(() => 0) === REGIONS.length - 1;
    await until(`node ${index} sees all others`, DEADLINE_MS, sees);
    const isReady = async () => (await ask(`${urlOf(index)}/readyz`)).status === 200;
    await until(`node ${index} is ready`, DEADLINE_MS, isReady);
  }
  const large = await keyWithout(0);
  const measured = async () =>
    (await routeOf(0, large)).every(({ rttMs: ms }) => ms !== null && ms > 0.9 * rttMs);
  await until("the way was measured", DEADLINE_MS, measured);

  const rows: [string, string][] = [[
    "regions, way between any two, on",
    `${REGIONS.length}, ${rttMs} ms, ${runtime}`,
  ]];
  const trips = (ms: number) => `${ms.toFixed(1)} ms, ${(ms / rttMs).toFixed(2)} round trips`;
  const small = randomBytes(SMALL_BYTES);
  for (let n = 0; n < WARM_ROUNDS * WARM_AT_ONCE; n += WARM_AT_ONCE) {
    const round = Array.from({ length: WARM_AT_ONCE }, (_, k) => `/wan/warm-${n + k}`);
    await Promise.all(REGIONS.flatMap((region, at) => {
      return round.map((target) => timed("PUT", at, `${target}-${region}`, small));
    }));
  }
  const fresh: number[] = [];
  for (let n = 0; n < RUNS; n++) fresh.push(await timed("PUT", 0, `/wan/first-${n}`, small));
  const later: number[] = [];
  for (let n = 0; n < RUNS; n++) later.push(await timed("PUT", 0, "/wan/later", randomBytes(SMALL_BYTES)));
  const strong: number[] = [];
  await timed("GET", 0, "/wan/later");
  for (let n = 0; n < RUNS; n++) strong.push(await timed("GET", 0, "/wan/later"));
  await timed("PUT", 0, "/wan/cached", small, { "Cache-Control": "max-age=600" });
  await timed("GET", 0, "/wan/cached");
  const cached: number[] = [];
  for (let n = 0; n < RUNS; n++) cached.push(await timed("GET", 0, "/wan/cached"));
  rows.push(["strong GET of 4 KiB", trips(median(strong))]);
  rows.push(["cached GET of 4 KiB", `${median(cached).toFixed(2)} ms`]);
  rows.push(["PUT of 4 KiB, the first of its key", trips(median(fresh))]);
  rows.push(["PUT of 4 KiB, a later one", trips(median(later))]);

  await timed("PUT", 1, large, randomBytes(mib << 20));
  for (const [from] of REGIONS.entries()) {
    for (const [to] of REGIONS.entries()) {
      if (from !== to) await network.set(from, to, { bytesPerSecond: rateMib * 2 ** 20 });
    }
  }
  const tookMs = await timed("GET", 0, large);
  const rate = mib / (tookMs / 1000);
  rows.push([
    `GET of ${mib} MiB from a cold region, links of ${rateMib} MiB/s`,
    `${(tookMs / 1000).toFixed(2)} s, ${rate.toFixed(1)} MiB/s, ${(rate / rateMib).toFixed(2)} of one link`,
  ]);
  for (const [name, value] of rows) console.log(`${name.padEnd(58)} ${value}`);
} finally {
  agent.destroy();
  for (const child of children) child.kill("SIGKILL");
  await network.close();
  await rm(directory, { recursive: true });
}

function urlOf(node: number): string {
  return `http://${network.addresses[node]}:${PORT}`;
}

async function routeOf(node: number, target: string): Promise<{ node: string; rttMs: number | null }[]> {
  const { body } = await ask(`${urlOf(node)}/_/route${target}`);
  return (JSON.parse(String(body)) as { replicas: { node: string; rttMs: number | null }[] }).replicas;
}

/** Of which that node is no replica. */
async function keyWithout(node: number): Promise<string> {
  for (let n = 0;; n++) {
    const target = `/wan/large-${n}`;
    if ((await routeOf(node, target)).every(({ node: id }) => id !== `node-${REGIONS[node]}`)) return target;
  }
}

/** Ms until the whole answer was here. */
function timed(
  method: "GET" | "PUT",
  node: number,
  target: string,
  body?: Uint8Array,
  headers: Record<string, string> = {},
): Promise<number> {
  return new Promise((resolve, reject) => {
    const begunMs = performance.now();
    const asked = request(urlOf(node) + target, {
      method,
      agent,
      headers: { ...headers, ...(body && { "Content-Length": body.length }) },
    }, (response) => {
      response.resume();
      response.once("error", reject);
      response.once("end", () => {
        const { statusCode = 0 } = response;
        if (statusCode < 300) resolve(performance.now() - begunMs);
        else reject(new Error(`${method} ${target}: ${statusCode}`));
      });
    });
    asked.once("error", reject);
    asked.end(body);
  });
}
