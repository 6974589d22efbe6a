/** Peers by a registry in etcd: each node's entry under a lease, and a watch of all of them. */
import { z } from "zod";
import type { Clock, Discovered, Discovery, Log } from "../ports.ts";
import { EtcdGateway } from "./etcd-gateway.ts";
import { keysBelow } from "./etcd-messages.ts";
import { EtcdRegistration } from "./etcd-registration.ts";
import { EtcdWatch } from "./etcd-watch.ts";
import { FOUND_MAX, FoundPeers } from "./found-peers.ts";

/** How long a node that was killed is still found. */
const LEASE_SECONDS = 15;
/** Entries that are looked at: this node's own, and one by which too many are seen to be too many. */
const ENTRIES_MAX = FOUND_MAX + 2;

export interface EtcdDiscoveryOptions {
  readonly endpoints: readonly string[];
  /** Ends with a slash; each ring has its own. */
  readonly prefix: string;
  /** What the others find. */
  readonly self: { readonly id: string; readonly url: string; readonly region: string };
  readonly clock: Clock;
  readonly log: Log;
  readonly leaseSeconds?: number | undefined;
  /** Ms after which a watch is begun anew. */
  readonly watchMs?: number | undefined;
}

const entrySchema = z.object({
  url: z.string().max(512).refine((text) => URL.parse(text)?.origin === text && text.startsWith("http://")),
  region: z.string().max(32),
});

export function createEtcdDiscovery(options: EtcdDiscoveryOptions): Discovery {
  const { clock, log, self } = options;
  const prefix = `${options.prefix}nodes/`;
  const peers = new FoundPeers(log);
  const gateway = new EtcdGateway(options.endpoints, clock);
  const registration = new EtcdRegistration({
    clock,
    log,
    gateway,
    key: prefix + self.id,
    value: JSON.stringify({ url: self.url, region: self.region }),
    leaseSeconds: options.leaseSeconds ?? LEASE_SECONDS,
  });
  const watch = new EtcdWatch({
    clock,
    log,
    gateway,
    what: "watch",
    range: keysBelow(prefix),
    keysMax: ENTRIES_MAX,
    watchMs: options.watchMs,
    onState(values) {
      peers.tell(peersIn(values, prefix, self.id));
      // Of more than are looked at it may be one of the others, and would be entered anew at each news.
      if (values.size < ENTRIES_MAX && !values.has(prefix + self.id)) registration.missing();
    },
  });
  let stopping: Promise<void> | undefined;
  return {
    start(onFound) {
      peers.start(onFound);
      registration.start();
      watch.start();
    },
    stop() {
      peers.stop();
      stopping ??= Promise.all([watch.stop(), registration.stop()]).then(() => gateway.close());
      return stopping;
    },
  };
}

function* peersIn(
  values: ReadonlyMap<string, string>,
  prefix: string,
  selfId: string,
): Generator<Discovered, void, undefined> {
  for (const [key, text] of values) {
    const id = key.slice(prefix.length);
    const entry = id === selfId ? undefined : entryOf(text);
    if (entry) yield { ...entry, id };
  }
}

/** Undefined for what somebody else may have put there. */
function entryOf(text: string): z.infer<typeof entrySchema> | undefined {
  try {
    return entrySchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined; // not even JSON
  }
}
