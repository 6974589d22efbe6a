/** Peers by a name in DNS: its addresses, or its services when the name begins with `_` (`_atoll._tcp.example.org`). */
import { isIPv6 } from "node:net";
import type { Discovered, Discovery } from "../ports.ts";
import { createPollingDiscovery, type PollingDeps } from "./discovery-polling.ts";
import type { DnsClient } from "./dns-client.ts";

export interface DnsDiscoveryOptions extends PollingDeps {
  readonly dns: DnsClient;
  readonly name: string;
  /** Of addresses; services say theirs. */
  readonly port: number;
}

export function createDnsDiscovery({ dns, name, port, ...deps }: DnsDiscoveryOptions): Discovery {
  return createPollingDiscovery(deps, async (): Promise<Discovered[]> => {
    if (!name.startsWith("_")) {
      return (await dns.addresses(name)).map((address) => ({ url: urlOf(address, port) }));
    }
    const services = await dns.services(name);
    // A target of "." means that there is no such service (RFC 2782).
    return services.filter(({ host }) => host !== "").map((service) => ({
      url: urlOf(service.host, service.port),
    }));
  });
}

function urlOf(host: string, port: number): string {
  return `http://${isIPv6(host) ? `[${host}]` : host}:${port}`;
}
