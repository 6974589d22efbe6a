/**
 * The machines of an app on Fly.io, by its internal DNS: the text record `vms.<app>.internal` says "id region,id region, …"
 * of all that are started. A machine is dialled by name, `<id>.vm.<app>.internal`: its 6PN address changes when it moves to
 * another host, its ID does not. (https://fly.io/docs/networking/private-networking)
 */
import type { Discovered, Discovery } from "../ports.ts";
import { createPollingDiscovery, type PollingDeps } from "./discovery-polling.ts";
import type { DnsClient } from "./dns-client.ts";

export interface FlyDiscoveryOptions extends PollingDeps {
  readonly dns: DnsClient;
  readonly app: string;
  /** This one, which is not a peer. */
  readonly machineId: string;
  readonly peerPort: number;
}

const RECORD = /^([a-z0-9]{1,63})\s+([a-z0-9]{1,16})$/i;

export function createFlyDiscovery(options: FlyDiscoveryOptions): Discovery {
  const { dns, app, machineId, peerPort, ...deps } = options;
  return createPollingDiscovery(deps, async (): Promise<Discovered[]> => {
    const texts = await dns.texts(`vms.${app}.internal`);
    return texts.flatMap((text) => text.split(",")).flatMap((entry) => {
      // An entry that cannot be read is somebody else's mistake and no reason to lose the others.
      const [, id, region] = RECORD.exec(entry.trim()) ?? [];
      if (id === undefined || id === machineId) return [];
      return [{ url: `http://${id}.vm.${app}.internal:${peerPort}`, id, region }];
    });
  });
}
