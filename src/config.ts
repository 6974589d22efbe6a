/** Configuration: environment variables, read once, checked together, every wrong one named. */
import { z } from "zod";
import { BUFFER_VARIABLES, type BufferSettings, bufferSettings } from "./config-buffers.ts";
import { ACCESS_VARIABLES, type AccessSettings, accessSettings } from "./config-keys.ts";
import { type DiscoverySettings, flyMachine, parseDiscovery, parseDnsServer } from "./config-discovery.ts";
import { LIMIT_VARIABLES, type LimitSettings, limitSettings } from "./config-limits.ts";
import { PEER_LIMIT_VARIABLES, type PeerLimitSettings, peerLimitSettings } from "./config-peer-limits.ts";
import { ROUTING_VARIABLES, type RoutingSettings, routingSettings } from "./config-routing.ts";
import { TLS_VARIABLES, tlsProblems, type TlsSettings, tlsSettings } from "./config-tls.ts";
import { bytes, duration, httpUrl, wholeNumber } from "./config-values.ts";
import { ORIGIN_VARIABLES, type OriginConfig, originConfig } from "./config-origin.ts";
import { REPLICAS_MAX } from "./core/layout-change.ts";
import { AtollError } from "./errors.ts";

export interface Config extends OriginConfig, BufferSettings {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly peerHost: string;
  readonly peerPort: number;
  /** Undefined: from where the listeners really listen. */
  readonly peerUrl: string | undefined;
  readonly publicUrl: string | undefined;
  readonly dataDir: string;
  /** Undefined: the one in the data directory, or a new one. */
  readonly nodeId: string | undefined;
  /** What a new data directory calls its node, when the platform has a name for the machine. */
  readonly machineId: string | undefined;
  readonly region: string;
  readonly zone: string;
  readonly seeds: readonly string[];
  readonly discovery: DiscoverySettings;
  /** `address:port` of a DNS server to ask instead of the system's. */
  readonly dnsServer: string | undefined;
  readonly etcdPrefix: string;
  readonly bootstrapExpect: number;
  readonly replicas: number;
  readonly clusterSecret: string | undefined;
  readonly access: AccessSettings;
  /** Undefined: the public listener speaks without TLS. */
  readonly tls: TlsSettings | undefined;
  /** Undefined: nodes speak without TLS to each other. */
  readonly peerTls: TlsSettings | undefined;
  /** The public listener is open to whoever reaches it, knowingly. */
  readonly insecure: boolean;
  readonly memoryCacheBytes: number;
  readonly diskCacheBytes: number;
  readonly maxObjectBytes: number;
  readonly limits: LimitSettings;
  readonly peerLimits: PeerLimitSettings;
  /** Ms for transfers under way to finish after a signal to stop. */
  readonly drainTimeoutMs: number;
  /** Ms between comparisons with other replicas. */
  readonly compareIntervalMs: number;
  /** Ms in which every chunk is read again. */
  readonly scrubCycleMs: number;
  /** Of the time, 0 to 1. */
  readonly scrubShare: number;
  /** Ms a chunk nobody names is kept; an upload may take as long. */
  readonly garbageGraceMs: number;
  /** Ms a tombstone is kept at least. */
  readonly tombstoneAgeMs: number;
  /** Ms a node must have been there before the ring takes it in; undefined: never by itself. */
  readonly joinAfterMs: number | undefined;
  /** Of chunks that this node fetches because it lacks them. */
  readonly fetchBytesPerSecond: number;
  /** Where readers of large objects are sent. */
  readonly routing: RoutingSettings;
}

type Environment = Readonly<Record<string, string | undefined>>;

const MIB = 1 << 20;
const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** Of the command line's: may be set where a node is started too. */
const NOT_OF_A_NODE = new Set(["ATOLL_URL", "ATOLL_KEY"]);

const port = wholeNumber(0, 65_535);
const label = z.string().regex(
  /^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$/,
  "wanted 1 to 32 of letters, digits, _ . -",
);
/** In the order in which `--help` lists them. */
const VARIABLES = {
  PORT: { schema: port, default: "8080", meaning: "public listener; 0 takes any free port" },
  ATOLL_HOST: {
    schema: z.string(),
    default: undefined,
    meaning: "address the public listener binds to (127.0.0.1; with discovery by fly ::)",
  },
  ATOLL_PEER_PORT: {
    schema: port,
    default: "8081",
    meaning: "peer listener (HTTP/2); 0 takes any free port",
  },
  ATOLL_PEER_HOST: {
    schema: z.string(),
    default: undefined,
    meaning: "address the peer listener binds to (ATOLL_HOST; with discovery by fly FLY_PRIVATE_IP)",
  },
  ATOLL_PEER_URL: {
    schema: httpUrl,
    default: undefined,
    meaning: "how peers reach this node (from the above)",
  },
  ATOLL_PUBLIC_URL: {
    schema: httpUrl,
    default: undefined,
    meaning: "how clients reach this node (from the above)",
  },
  ATOLL_DATA_DIR: { schema: z.string(), default: "./data", meaning: "everything durable" },
  ATOLL_NODE_ID: {
    schema: z.string().regex(ID, "wanted 1 to 64 of letters, digits, . _ -"),
    default: undefined,
    meaning: "stable identity (kept in the data directory; first FLY_MACHINE_ID, else random)",
  },
  ATOLL_REGION: {
    schema: label,
    default: undefined,
    meaning: "where the node runs (FLY_REGION, else local)",
  },
  ATOLL_ZONE: {
    schema: label,
    default: undefined,
    meaning: "replicas go to different zones first (the region)",
  },
  ATOLL_SEEDS: {
    schema: z.string().transform((text) =>
      text.split(",").map((url) => url.trim()).filter((url) => url !== "")
    )
      .pipe(z.array(httpUrl)),
    default: "",
    meaning: "peer URLs to find the ring by, separated by commas",
  },
  ATOLL_DISCOVERY: {
    schema: z.string().transform(parseDiscovery),
    default: "static",
    meaning: "how peers are found: static (ATOLL_SEEDS), dns:NAME[:PORT], fly, etcd:URL[,URL]",
  },
  ATOLL_DNS_SERVER: {
    schema: z.string().transform(parseDnsServer),
    default: undefined,
    meaning: "address:port of the DNS server to find peers by (the system's)",
  },
  ATOLL_ETCD_PREFIX: {
    schema: z.string().regex(/^\/[\x21-\x7e]{0,200}$/, "wanted a key prefix like /atoll/")
      .transform((text) => text.replace(/\/*$/, "/")),
    default: "/atoll/",
    meaning: "what the keys in etcd begin with; each ring its own",
  },
  ATOLL_BOOTSTRAP_EXPECT: {
    schema: wholeNumber(1, 1_000),
    default: "1",
    meaning: "how many nodes form the first layout",
  },
  ATOLL_REPLICAS: {
    schema: wholeNumber(1, REPLICAS_MAX).refine(
      (n) => n % 2 === 1,
      "wanted an odd number: an even one survives no more",
    ),
    default: "3",
    meaning: "copies of everything (1, 3, 5 or 7)",
  },
  ATOLL_CLUSTER_SECRET: {
    schema: z.string().min(16, "wanted 16 characters or more"),
    default: undefined,
    meaning: "authenticates peers; needed as soon as the peer listener leaves loopback",
  },
  ...ACCESS_VARIABLES,
  ...TLS_VARIABLES,
  ATOLL_INSECURE: {
    schema: z.enum(["0", "1"], { error: "wanted 0 or 1" }).transform((text) => text === "1"),
    default: "0",
    meaning: "1: let the public listener leave loopback although anybody who reaches it can read and write",
  },
  ATOLL_MEMORY_CACHE_BYTES: {
    schema: bytes(0),
    default: undefined,
    meaning: "memory cache (a quarter of memory up to 256MiB)",
  },
  ATOLL_DISK_CACHE_BYTES: {
    schema: bytes(0),
    default: "1GiB",
    meaning: "disk cache for what other nodes own",
  },
  ATOLL_MAX_OBJECT_BYTES: { schema: bytes(0), default: "5TiB", meaning: "largest object" },
  ...LIMIT_VARIABLES,
  ...PEER_LIMIT_VARIABLES,
  ...BUFFER_VARIABLES,
  ATOLL_DRAIN_SECONDS: {
    schema: wholeNumber(0, 3_600),
    default: "30",
    meaning: "how long transfers may go on after SIGTERM or SIGINT",
  },
  ATOLL_COMPARE_INTERVAL: {
    schema: duration(1_000),
    default: "60s",
    meaning: "how often replicas are compared with each other",
  },
  ATOLL_SCRUB_CYCLE: {
    schema: duration(1_000),
    default: "30d",
    meaning: "in which every chunk on disk is read again and checked",
  },
  ATOLL_SCRUB_SHARE: {
    schema: z.coerce.number({ error: "wanted a number from 0.001 to 1" }).min(0.001, "wanted 0.001 or more")
      .max(
        1,
        "wanted at most 1",
      ),
    default: "0.05",
    meaning: "of the time that reading again may take at most, 0.001 to 1",
  },
  ATOLL_GARBAGE_GRACE: {
    schema: duration(1_000),
    default: "12h",
    meaning: "how long a chunk stays that no object names; an upload may take as long",
  },
  ATOLL_TOMBSTONE_AGE: {
    schema: duration(1_000),
    default: "1d",
    meaning: "how long the trace of a deleted object stays at least",
  },
  ATOLL_JOIN_AFTER: {
    schema: z.union([z.literal("never").transform(() => undefined), duration(0)], {
      error: "wanted a time like 10s, or never",
    }),
    default: "10s",
    meaning: "how long a node must have been there before the ring takes it in by itself, or never",
  },
  ATOLL_FETCH_RATE: {
    schema: bytes(64 * 1024),
    default: "64MiB",
    meaning: "bytes a second this node fetches at most of what it should have and lacks",
  },
  ...ROUTING_VARIABLES,
  ...ORIGIN_VARIABLES,
} as const;

type Values = { [K in keyof typeof VARIABLES]: z.infer<(typeof VARIABLES)[K]["schema"]> | undefined };

/** `memoryBytes`: of the machine. Rejects with `config`, naming all that is wrong. */
export function parseConfig(env: Environment, memoryBytes: number): Config {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, variable] of Object.entries(VARIABLES)) {
    const text = env[name] === undefined || env[name] === "" ? variable.default : env[name];
    if (text === undefined) continue;
    const parsed = variable.schema.safeParse(text);
    if (parsed.success) values[name] = parsed.data;
    else problems.push(`${name}: ${parsed.error.issues[0]!.message}, got ${shown(name, text)}`);
  }
  for (const name of Object.keys(env)) {
    // A misspelt name would otherwise be a setting that silently does nothing.
    if (name.startsWith("ATOLL_") && !(name in VARIABLES) && !NOT_OF_A_NODE.has(name)) {
      problems.push(`${name}: there is no such variable; see --help`);
    }
  }
  const v = values as Values;
  const fly = v.ATOLL_DISCOVERY?.kind === "fly" ? flyMachine(env, problems) : undefined;
  const host = v.ATOLL_HOST ?? (fly ? "::" : "127.0.0.1");
  const peerHost = v.ATOLL_PEER_HOST ?? fly?.privateIp ?? host;
  if (problems.length === 0) problems.push(...relationProblems(v, host, peerHost));
  if (problems.length > 0) {
    throw new AtollError(
      "config",
      `${problems.length === 1 ? "one setting is" : "some settings are"} wrong: ${problems.join("; ")}`,
    );
  }
  const found = v.ATOLL_DISCOVERY!;
  const region = v.ATOLL_REGION ?? env["FLY_REGION"] ?? "local";
  return Object.freeze({
    host,
    port: v.PORT!,
    peerHost,
    peerPort: v.ATOLL_PEER_PORT!,
    peerUrl: v.ATOLL_PEER_URL ?? (fly && `http://${fly.name}:${v.ATOLL_PEER_PORT!}`),
    publicUrl: v.ATOLL_PUBLIC_URL ?? (fly && `http://${fly.name}:${v.PORT!}`),
    dataDir: v.ATOLL_DATA_DIR!,
    nodeId: v.ATOLL_NODE_ID,
    machineId: ID.test(env["FLY_MACHINE_ID"] ?? "") ? env["FLY_MACHINE_ID"] : undefined,
    region,
    zone: v.ATOLL_ZONE ?? region,
    seeds: v.ATOLL_SEEDS!,
    discovery: found.kind === "fly" ? { ...found, app: fly!.app, machineId: fly!.machineId } : found,
    dnsServer: v.ATOLL_DNS_SERVER,
    etcdPrefix: v.ATOLL_ETCD_PREFIX!,
    bootstrapExpect: v.ATOLL_BOOTSTRAP_EXPECT!,
    replicas: v.ATOLL_REPLICAS!,
    clusterSecret: v.ATOLL_CLUSTER_SECRET,
    access: accessSettings(v, fly !== undefined),
    ...tlsSettings(v),
    insecure: v.ATOLL_INSECURE! && !isLoopback(host) && v.ATOLL_KEYS === undefined,
    memoryCacheBytes: v.ATOLL_MEMORY_CACHE_BYTES ?? Math.min(256 * MIB, Math.floor(memoryBytes / 4)),
    diskCacheBytes: v.ATOLL_DISK_CACHE_BYTES!,
    maxObjectBytes: v.ATOLL_MAX_OBJECT_BYTES!,
    limits: limitSettings(v),
    peerLimits: peerLimitSettings(v),
    ...bufferSettings(v, memoryBytes),
    drainTimeoutMs: 1000 * v.ATOLL_DRAIN_SECONDS!,
    compareIntervalMs: v.ATOLL_COMPARE_INTERVAL!,
    scrubCycleMs: v.ATOLL_SCRUB_CYCLE!,
    scrubShare: v.ATOLL_SCRUB_SHARE!,
    garbageGraceMs: v.ATOLL_GARBAGE_GRACE!,
    tombstoneAgeMs: v.ATOLL_TOMBSTONE_AGE!,
    joinAfterMs: v.ATOLL_JOIN_AFTER,
    fetchBytesPerSecond: v.ATOLL_FETCH_RATE!,
    routing: routingSettings(v),
    ...originConfig(v),
  });
}

function relationProblems(v: Values, host: string, peerHost: string): string[] {
  const problems = tlsProblems(v);
  if (!isLoopback(peerHost) && v.ATOLL_CLUSTER_SECRET === undefined) {
    problems.push(
      `ATOLL_CLUSTER_SECRET: wanted one, as the peer listener on ${peerHost} can be reached from other machines; ` +
        "give every node of the ring the same",
    );
  }
  if (!isLoopback(host) && v.ATOLL_KEYS === undefined && !v.ATOLL_INSECURE) {
    problems.push(
      `ATOLL_HOST: wanted a loopback address, got ${host}: whoever reaches it can read and write everything; ` +
        "set ATOLL_KEYS so that only who has a key can, or ATOLL_INSECURE=1 if the network is yours alone",
    );
  }
  if (v.PORT !== 0 && v.PORT === v.ATOLL_PEER_PORT && host === peerHost) {
    problems.push(`ATOLL_PEER_PORT: wanted another port than PORT, got ${v.PORT} for both`);
  }
  const { kind } = v.ATOLL_DISCOVERY!;
  if (kind !== "static" && v.ATOLL_SEEDS!.length > 0) {
    problems.push(`ATOLL_SEEDS: wanted none, as peers are found by ${kind} (ATOLL_DISCOVERY)`);
  }
  for (const name of ["PORT", "ATOLL_PEER_PORT"] as const) {
    if (kind === "fly" && v[name] === 0) {
      problems.push(`${name}: wanted a port that is the same on every machine, got 0`);
    }
  }
  return problems;
}

export function helpText(): string {
  const rows = Object.entries(VARIABLES).map(([name, { default: standard, meaning }]) =>
    `  ${name.padEnd(30)} ${(standard ?? "").padEnd(10)} ${meaning}`
  );
  return [
    "atoll: a storage node for the edge",
    "",
    "  node src/main.ts | deno run -A src/main.ts | node dist/atoll.mjs | deno run -A dist/atoll.mjs",
    "",
    "Without any setting: a ring of one at http://127.0.0.1:8080 that keeps its data in ./data. Try it:",
    "",
    "  curl -T photo.jpg http://127.0.0.1:8080/pictures/",
    "  curl -O http://127.0.0.1:8080/pictures/photo.jpg",
    "",
    "Environment variables, with their defaults:",
    "",
    ...rows,
    "",
    "Bytes may be written with a unit: 64MiB, 1GB. Times need one: 500ms, 60s, 10m, 12h, 30d.",
    "",
    "Commands that speak to a node (status, ring, put, get, ls, rm, presign): see atoll help",
    "",
  ].join("\n");
}

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

function shown(name: string, text: string): string {
  return /SECRET|KEYS?$/.test(name) ? "something else" : JSON.stringify(text.slice(0, 80));
}
