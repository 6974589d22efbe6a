/** A ring of real processes, in regions a, b, c …, each with its own data directory below one. */
import { join } from "node:path";
import { type AtollProcess, type Runtime, startNode } from "./atoll-process.ts";
import { freePorts } from "./ports.ts";

export interface RingOptions {
  /** One node for each. */
  readonly runtimes: readonly Runtime[];
  /** Holds the nodes' data directories. */
  readonly directory: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Default a, b, c … */
  readonly regions?: readonly string[];
  readonly entry?: string;
}

export interface AtollRing extends AsyncDisposable {
  readonly nodes: readonly AtollProcess[];
  /** Starts a node that was killed anew: same data, same peer address; its public address is new. */
  restart(index: number): Promise<AtollProcess>;
}

export async function startRing(options: RingOptions): Promise<AtollRing> {
  const ports = await freePorts(options.runtimes.length);
  const seeds = ports.map((port) => `http://127.0.0.1:${port}`).join(",");
  const start = (index: number): Promise<AtollProcess> => {
    const region = options.regions?.[index] ?? String.fromCharCode(97 + index);
    return startNode({
      runtime: options.runtimes[index]!,
      dataDir: join(options.directory, region),
      ...(options.entry === undefined ? {} : { entry: options.entry }),
      env: {
        ATOLL_REGION: region,
        // Its own, so that it comes back as itself when its directory was lost.
        ATOLL_NODE_ID: `node-${region}-${ports[index]}`,
        ATOLL_PEER_PORT: String(ports[index]),
        ATOLL_SEEDS: seeds,
        ATOLL_BOOTSTRAP_EXPECT: String(ports.length),
        ...options.env,
      },
    });
  };
  const starts = await Promise.allSettled(ports.map((_, index) => start(index)));
  const nodes = starts.flatMap((started) => started.status === "fulfilled" ? [started.value] : []);
  const dispose = async () => {
    await Promise.all(nodes.map((node) => node.kill("SIGKILL")));
  };
  const failed = starts.find((started) => started.status === "rejected");
  if (failed) {
    await dispose();
    throw failed.reason;
  }
  return {
    nodes,
    restart: async (index) => (nodes[index] = await start(index)),
    [Symbol.asyncDispose]: dispose,
  };
}
