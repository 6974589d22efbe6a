/** Wires and runs; the only file that knows the process, beside adapters/process-end.ts. */
import "./adapters/thread-pool.ts"; // first: see there
import { totalmem } from "node:os";
import process from "node:process";
import { openCertificateFiles } from "./adapters/certificate-files.ts";
import { openChunkFiles } from "./adapters/chunk-files.ts";
import { createClock } from "./adapters/clock.ts";
import { openDataDirectory } from "./adapters/data-directory.ts";
import { createDnsDiscovery } from "./adapters/discovery-dns.ts";
import { createEtcdDiscovery } from "./adapters/discovery-etcd.ts";
import { watchLateness } from "./adapters/event-loop-lateness.ts";
import { createFlyDiscovery } from "./adapters/discovery-fly.ts";
import { createStaticDiscovery } from "./adapters/discovery-static.ts";
import { openDiskCache } from "./adapters/disk-cache.ts";
import { DnsClient } from "./adapters/dns-client.ts";
import { createEtcdLayoutBoard } from "./adapters/etcd-layout-board.ts";
import { createHashingBeside } from "./adapters/hash-worker.ts";
import { openHttpListener } from "./adapters/http-listener.ts";
import { createJsonLog } from "./adapters/json-log.ts";
import { createOrigin } from "./adapters/undici-origin.ts";
import { onSignals, outliveSockets } from "./adapters/process-end.ts";
import { openPeerListener } from "./adapters/peer-listener.ts";
import { createPeerLookup } from "./adapters/peer-lookup.ts";
import { createRandom } from "./adapters/random.ts";
import { createSecrets } from "./adapters/secrets.ts";
import { openSqliteCatalog } from "./adapters/sqlite-catalog.ts";
import { createPeers } from "./adapters/undici-peers.ts";
import { LoadShedder } from "./core/load-shedder.ts";
import { type Config, helpText, isLoopback, parseConfig } from "./config.ts";
import type { TlsSettings } from "./config-tls.ts";
import { AtollError, isAtollError } from "./errors.ts";
import { limitCounter } from "./http/admission.ts";
import type { Manner } from "./http/credentials.ts";
import { createPeerApp } from "./http/peer-app.ts";
import { PROTOCOLS, type Protocols } from "./http/peer-protocol.ts";
import { RefusalLog } from "./http/peer-refusals.ts";
import { createPublicApp } from "./http/public-app.ts";
import { Keys } from "./node/keys.ts";
import { Metrics } from "./node/metrics.ts";
import { type AtollNode, createNode } from "./node/node.ts";
import { RingKeys } from "./node/ring-keys.ts";
import type { Clock, Discovery, Log, PeerHandler, Random } from "./ports.ts";

const GARBAGE_FIRST_MS = 60_000;
const GARBAGE_INTERVAL_MAX_MS = 3_600_000;
/** For what cannot be waited for any longer once everything else has ended. */
const LAST_GRACE_MS = 2_000;

/**
 * Put in by a build that tests make and nobody deploys (test/tools/build.ts): a node as one of that version was, which
 * knows of no other. A ring that is replaced node by node needs an old build; there must be no setting that makes one.
 */
declare const ATOLL_ONLY_PEER_PROTOCOL: number | undefined;
const protocols: Protocols = typeof ATOLL_ONLY_PEER_PROTOCOL === "number"
  ? { min: ATOLL_ONLY_PEER_PROTOCOL, max: ATOLL_ONLY_PEER_PROTOCOL }
  : PROTOCOLS;

await main();

async function main(): Promise<void> {
  const [command, ...more] = process.argv.slice(2);
  if (command === "--help" || command === "-h") return void process.stdout.write(helpText());
  if (command === "serve" && (more[0] === "--help" || more[0] === "-h")) {
    return void process.stdout.write(helpText());
  }
  // Words after "serve" are a mistake, which the command line knows how to explain.
  if (command !== undefined && (command !== "serve" || more.length > 0)) {
    return await runClient([command, ...more]);
  }
  try {
    await serve(parseConfig(process.env, totalmem()));
  } catch (error) {
    fail(error);
  }
}

/** Loaded only here, so that a node that serves carries nothing of it. */
async function runClient(words: readonly string[]): Promise<void> {
  const { stdin, stdout, stderr, env } = process;
  try {
    const { runCommand } = await import("./cli/cli.ts");
    process.exitCode = await runCommand(words, { env, stdin, stdout, stderr });
    // Standard input may still be open, and somebody else's.
    process.exit();
  } catch (error) {
    fail(error);
  }
}

/** What the operator can mend is one line; anything else is a defect and shows where it is. */
function fail(error: unknown): never {
  const known = isAtollError(error);
  process.stderr.write(
    `atoll: ${known ? error.message : error instanceof Error ? error.stack : String(error)}\n`,
  );
  process.exitCode = 1;
  process.exit();
}

async function serve(config: Config): Promise<void> {
  const clock = createClock();
  const random = createRandom();
  const log = createJsonLog(process.stdout, clock);
  const directory = await openDataDirectory({ path: config.dataDir });
  const nodeId = await identity(config, directory, random.hex(8));
  const catalog = await openSqliteCatalog({
    path: directory.catalogPath,
    onMended: ({ rows, damaged }) =>
      log.warn("the catalog's registers and their index contradicted each other, and were made anew", {
        rows,
        damaged,
      }),
  });
  const chunkFiles = await openChunkFiles({ directory: directory.chunkDirectory });
  const chunkCache = await openDiskCache({
    directory: directory.cacheDirectory,
    maxBytes: config.diskCacheBytes,
  });
  outliveSockets(log);
  const metrics = new Metrics();
  metrics.gauge("atoll_log_lines_dropped", "Log lines that nobody read in time", () => log.droppedLines);
  metrics.gauge("process_resident_memory_bytes", "Resident memory", () => process.memoryUsage.rss());

  // Listening comes first, since a port of 0 is known only then; until the node is there, everybody is told to wait.
  let node: AtollNode | undefined;
  let draining = false;
  const starting: PeerHandler = () => Promise.reject(new AtollError("overloaded", "the node is starting"));
  const self = () => ({
    nodeId,
    ringId: node?.layout()?.ringId,
    layoutNumber: node?.layout()?.number ?? 0,
  });
  const refusals = new RefusalLog({ log, metrics, clock });
  const peerApp = createPeerApp({
    self,
    refusals,
    protocols,
    secret: config.clusterSecret,
    handler: (from, request) => (node?.handlePeer ?? starting)(from, request),
    maxConcurrentRequests: config.peerLimits.maxConcurrentRequests,
    bufferBytes: config.peerBufferBytes,
    onLimit: (limit) => limitCounter(metrics, limit).add(),
    clock,
    log,
  });
  const openCertificates = async (files: TlsSettings | undefined, listener: "public" | "peer") => {
    if (!files) return undefined;
    const opened = await openCertificateFiles({ ...files, clock, log });
    const help = "When the listener's certificate expires, seconds since the epoch";
    metrics.gauge("atoll_tls_certificate_expiry_seconds", help, () => opened.expiresMs / 1000, { listener });
    return opened;
  };
  const peerCertificates = await openCertificates(config.peerTls, "peer");
  const peerListener = await openPeerListener({
    certificates: peerCertificates,
    onRefused: (from, message) => refusals.refused(from, { code: "wrong-certificate", message }, from),
    fetch: peerApp.fetch,
    limits: config.peerLimits,
    onLimit: (limit) => limitCounter(metrics, limit).add(),
    host: config.peerHost,
    port: config.peerPort,
  });
  let publicFetch: Parameters<typeof openHttpListener>[0]["fetch"] = () =>
    new Response("starting\n", {
      status: 503,
      headers: { "Retry-After": "1", "X-Content-Type-Options": "nosniff" },
    });
  let publicApp: ReturnType<typeof createPublicApp> | undefined;
  const publicListener = await openHttpListener({
    certificates: await openCertificates(config.tls, "public"),
    fetch: (request, env) => publicFetch(request, env),
    overload: () => publicApp?.overload,
    read: (env) => publicApp?.read(env),
    onBadRequest: (refusal) => publicApp?.refused(refusal),
    onLimit: (limit) => limitCounter(metrics, limit).add(),
    limits: config.limits,
    host: config.host,
    port: config.port,
  });
  const heldHelp = "Requests that wait as they came back sooner than they were told to";
  metrics.gauge("atoll_requests_held", heldHelp, () => publicListener.held());

  const dns = new DnsClient({ clock, log, server: config.dnsServer });
  // Elsewhere names are the system's to resolve, /etc/hosts included.
  const asksDns = config.discovery.kind === "fly" || config.dnsServer !== undefined;
  const lookup = asksDns ? createPeerLookup(dns) : undefined;
  const peers = createPeers({
    self,
    protocols,
    secret: config.clusterSecret,
    certificates: peerCertificates,
    clock,
    log,
    random,
    lookup,
  });
  const peerUrl = config.peerUrl ?? listenerUrl(config.peerHost, peerListener.port);
  const publicUrl = config.publicUrl ??
    listenerUrl(config.host, publicListener.port, config.tls !== undefined);
  const discovery = discoveryOf(config, { clock, log, dns, nodeId, peerUrl, peerPort: peerListener.port });
  const layoutBoard = config.discovery.kind === "etcd"
    ? createEtcdLayoutBoard({
      clock,
      log,
      endpoints: config.discovery.endpoints,
      prefix: config.etcdPrefix,
    })
    : undefined;
  const origin = createOrigin({ allowed: config.originAllowPrivate, ca: config.originCa });
  node = await createNode({
    id: nodeId,
    region: config.region,
    zone: config.zone,
    peerUrl,
    publicUrl,
    bootstrapExpect: config.bootstrapExpect,
    replicas: config.replicas,
    memoryCacheBytes: config.memoryCacheBytes,
    bufferBytes: config.bufferBytes,
    maxObjectBytes: config.maxObjectBytes,
    joinAfterMs: config.joinAfterMs,
    repair: {
      compareIntervalMs: config.compareIntervalMs,
      scrubCycleMs: config.scrubCycleMs,
      scrubShare: config.scrubShare,
      garbageGraceMs: config.garbageGraceMs,
      garbageFirstMs: GARBAGE_FIRST_MS,
      garbageIntervalMs: Math.min(GARBAGE_INTERVAL_MAX_MS, config.garbageGraceMs),
      tombstoneAgeMs: config.tombstoneAgeMs,
      fetchBytesPerSecond: config.fetchBytesPerSecond,
    },
  }, {
    catalog,
    chunkFiles,
    chunkCache,
    peers,
    discovery,
    layoutBoard,
    origin,
    hashing: createHashingBeside(),
    clock,
    random,
    log,
    metrics,
  });
  const { maxLatenessMs, maxConcurrentRequests } = config.limits;
  const shedder = maxLatenessMs === 0 ? undefined : new LoadShedder(maxLatenessMs, maxConcurrentRequests);
  publicApp = createPublicApp({
    node,
    clock,
    random,
    log,
    writeLine: (line) => log.line(line),
    maxObjectBytes: config.maxObjectBytes,
    limits: config.limits,
    shedder,
    routing: config.routing,
    isDraining: () => draining,
    access: accessOf(config, node, clock, random),
    isOnLoopback: isLoopback(config.host),
  });
  publicFetch = publicApp.fetch;
  if (shedder) {
    watchLateness((latenessMs) => shedder.observe(latenessMs, publicApp.running(), clock.monotonicMs()));
    metrics.gauge(
      "atoll_requests_limit",
      "Requests that may be under way at the moment",
      () => shedder.limit,
    );
  }
  await node.start();
  log.info("listening", {
    publicUrl,
    peerUrl,
    nodeId,
    region: config.region,
    zone: config.zone,
    dataDir: config.dataDir,
  });
  if (config.insecure) {
    log.warn("whoever reaches the public listener can read and write everything (ATOLL_INSECURE=1)");
  }
  log.flush();

  onSignals(log, async (signal) => {
    log.info("draining", { signal, drainTimeoutMs: config.drainTimeoutMs });
    log.flush();
    draining = true;
    await node.leave();
    await publicListener.close({ graceMs: config.drainTimeoutMs });
    node.stop();
    await Promise.all([discovery?.stop(), layoutBoard?.stop()]);
    await peerListener.close({ graceMs: LAST_GRACE_MS });
    await Promise.all([peers.close(), origin.close()]);
    await catalog.close();
    directory.close();
    log.info("stopped");
    log.flush();
  });
}

/** Undefined: nobody is asked for credentials. */
function accessOf({ access }: Config, { documents }: AtollNode, clock: Clock, random: Random) {
  if (access.keys.length === 0) return undefined;
  const secrets = createSecrets();
  const ring = new RingKeys({ documents, secrets, random, clock });
  const keys = new Keys<Manner>({ secrets, configured: access.keys, ring });
  return { keys, metricsAccess: access.metricsAccess };
}

interface DiscoveryDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly dns: DnsClient;
  readonly nodeId: string;
  readonly peerUrl: string;
  readonly peerPort: number;
}

/** Undefined: there are no others to be found. */
function discoveryOf(config: Config, deps: DiscoveryDeps): Discovery | undefined {
  const settings = config.discovery;
  switch (settings.kind) {
    case "static": {
      const seeds = config.seeds.filter((seed) => seed !== deps.peerUrl);
      return seeds.length === 0 ? undefined : createStaticDiscovery(seeds, deps.log);
    }
    case "dns":
      return createDnsDiscovery({ ...deps, name: settings.name, port: settings.port ?? deps.peerPort });
    case "fly":
      return createFlyDiscovery({ ...deps, app: settings.app, machineId: settings.machineId });
    case "etcd":
      return createEtcdDiscovery({
        ...deps,
        endpoints: settings.endpoints,
        prefix: config.etcdPrefix,
        self: { id: deps.nodeId, url: deps.peerUrl, region: config.region },
      });
  }
}

/** The configured ID must be the one the data belongs to: under another, its votes could be counted twice. */
async function identity(
  config: Config,
  directory: Awaited<ReturnType<typeof openDataDirectory>>,
  fresh: string,
): Promise<string> {
  const kept = directory.nodeId();
  if (kept !== undefined && config.nodeId !== undefined && kept !== config.nodeId) {
    throw new AtollError(
      "config",
      `${config.dataDir} belongs to node ${kept}, but ATOLL_NODE_ID says ${config.nodeId}: unset it or use another directory`,
    );
  }
  if (kept !== undefined) return kept;
  const id = config.nodeId ?? config.machineId ?? fresh;
  await directory.saveNodeId(id);
  return id;
}

/** An address that means "all of them" is no address to be reached at: the machine itself then is. */
function listenerUrl(host: string, port: number, isTls = false): string {
  const reachable = host === "0.0.0.0"
    ? "127.0.0.1"
    : host === "::"
    ? "[::1]"
    : host.includes(":")
    ? `[${host}]`
    : host;
  return `${isTls ? "https" : "http"}://${reachable}:${port}`;
}
