/** A ring of real processes, in regions a, b, c …, each with its own data directory below one. */
import { join } from "node:path";
import { type AtollProcess, type Runtime, startNode } from "./atoll-process.ts";
import { freePorts } from "./ports.ts";
import { Relay } from "./relay.ts";

export interface RingOptions {
  /** One node for each. */
  readonly runtimes: readonly Runtime[];
  /** Holds the nodes' data directories. */
  readonly directory: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Default a, b, c … */
  readonly regions?: readonly string[];
  /** On top of `env`. */
  readonly envOf?: (index: number) => Readonly<Record<string, string>>;
  readonly entry?: string;
  /** Asked at each start of a node; undefined: `entry`. */
  readonly entryOf?: (index: number) => string | undefined;
  /** A node that is started anew has its public address again: for clients that try again where they were. */
  readonly keepsPublicPorts?: boolean;
  /** As of a node. */
  readonly isLogUnread?: boolean;
  /** With it all that the nodes say to each other goes through a relay; the seed is of what gets lost there. */
  readonly relaySeed?: number;
}

export interface AtollRing extends AsyncDisposable {
  readonly nodes: readonly AtollProcess[];
  /** There is none unless it was asked for. */
  readonly relay: Relay | undefined;
  /** Where a node keeps its data. */
  dataDir(index: number): string;
  /** Starts a node that was killed anew: same data, same peer address; its public address is new unless it was to be kept. */
  restart(index: number): Promise<AtollProcess>;
}

export async function startRing(options: RingOptions): Promise<AtollRing> {
  const ports = await freePorts(options.runtimes.length);
  const publicPorts = options.keepsPublicPorts === true ? await freePorts(ports.length) : undefined;
  const relayPorts = options.relaySeed === undefined ? undefined : await freePorts(ports.length);
  const relay = relayPorts &&
    await Relay.open({ targetPorts: ports, ports: relayPorts, seed: options.relaySeed! });
  const urls = (relayPorts ?? ports).map((port) => `http://127.0.0.1:${port}`);
  const seeds = urls.join(",");
  const regionOf = (index: number) => options.regions?.[index] ?? String.fromCharCode(97 + index);
  const dataDir = (index: number) => join(options.directory, regionOf(index));
  const start = (index: number): Promise<AtollProcess> => {
    const region = regionOf(index);
    const entry = options.entryOf?.(index) ?? options.entry;
    return startNode({
      runtime: options.runtimes[index]!,
      dataDir: dataDir(index),
      isLogUnread: options.isLogUnread ?? false,
      ...(relay && { onSpawn: (pid: number) => relay.runs(pid, index) }),
      ...(entry === undefined ? {} : { entry }),
      env: {
        ATOLL_REGION: region,
        // Its own, so that it comes back as itself when its directory was lost.
        ATOLL_NODE_ID: `node-${region}-${ports[index]}`,
        ATOLL_PEER_PORT: String(ports[index]),
        ATOLL_PEER_URL: urls[index]!,
        ATOLL_SEEDS: seeds,
        ATOLL_BOOTSTRAP_EXPECT: String(ports.length),
        ...(publicPorts && { PORT: String(publicPorts[index]) }),
        ...options.env,
        ...options.envOf?.(index),
      },
    });
  };
  const starts = await Promise.allSettled(ports.map((_, index) => start(index)));
  const nodes = starts.flatMap((started) => started.status === "fulfilled" ? [started.value] : []);
  const dispose = async () => {
    await Promise.all(nodes.map((node) => node.kill("SIGKILL")));
    await relay?.[Symbol.asyncDispose]();
  };
  const failed = starts.find((started) => started.status === "rejected");
  if (failed) {
    await dispose();
    throw failed.reason;
  }
  return {
    nodes,
    relay,
    dataDir,
    restart: async (index) => (nodes[index] = await start(index)),
    [Symbol.asyncDispose]: dispose,
  };
}
