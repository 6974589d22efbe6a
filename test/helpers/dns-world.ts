/** The world of a discovery by DNS: a server whose records the test sets, asked again every few ms. */
import type { Answer } from "dns-packet";
import { createClock } from "../../src/adapters/clock.ts";
import { DnsClient } from "../../src/adapters/dns-client.ts";
import type { PollingDeps } from "../../src/adapters/discovery-polling.ts";
import type { Discovered, Discovery } from "../../src/ports.ts";
import type { DiscoveryWorld } from "../conformance/discovery.ts";
import { until } from "./deadline.ts";
import { type DnsServer, startDnsServer } from "./dns-server.ts";
import { QUIET } from "./memory-node.ts";

const REFRESH_MS = 25;

export interface DnsWorldOptions {
  readonly count: number;
  /** Puts records of these peers, by number. */
  readonly publish: (records: DnsServer["records"], numbers: readonly number[]) => void;
  readonly open: (deps: PollingDeps & { dns: DnsClient }) => Discovery;
  readonly expected: (number: number) => Discovered;
}

export async function openDnsWorld(options: DnsWorldOptions): Promise<DiscoveryWorld> {
  const server = await startDnsServer();
  const clock = createClock();
  const deps = { clock, log: QUIET };
  const dns = new DnsClient({ ...deps, server: server.address });
  const setPeers = (numbers: readonly number[]): void => {
    server.records.clear();
    options.publish(server.records, numbers);
  };
  setPeers(upTo(options.count));
  const moods = (["failing", "garbage", "silent"] as const).map((mood) => async () => {
    await Promise.resolve();
    server.mood = mood;
  });
  return {
    discovery: options.open({ ...deps, dns, refreshMs: REFRESH_MS }),
    expected: options.expected,
    setPeers: async (numbers) => await Promise.resolve(setPeers(numbers)),
    failures: [
      ...moods,
      // All records are gone: that is no reason to forget everybody either.
      async () => await Promise.resolve(server.records.clear()),
    ],
    mend: async () => {
      await Promise.resolve();
      server.mood = "well";
    },
    async asked() {
      // Two rounds, as one may have been under way.
      const before = server.questions.length;
      const rounds = () =>
        server.questions.slice(before).filter((question) => question === server.questions[0]).length;
      await until("DNS was asked again", 20_000, () => rounds() >= 3);
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1);
}

/** A record that may be cached for no time at all. */
export function record(answer: Exclude<Answer, { type: "OPT" }>): Answer {
  return { ttl: 0, ...answer };
}
