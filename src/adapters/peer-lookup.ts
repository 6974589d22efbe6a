/** How the names in peers' URLs become addresses where not the system's resolver is to be asked. */
import { isIPv6, type LookupFunction } from "node:net";
import { AtollError } from "../errors.ts";
import type { DnsClient } from "./dns-client.ts";

/**
 * For `net.connect`. A name that was resolved once stays good while DNS fails: a connection that is lost just then can be
 * made anew.
 */
export function createPeerLookup(dns: DnsClient): LookupFunction {
  const resolve = async (...[hostname, options, answer]: Parameters<LookupFunction>): Promise<void> => {
    const addresses = await dns.addresses(hostname);
    const all = addresses.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }))
      .filter(({ family }) => !options.family || family === familyOf(options.family));
    const [first] = all;
    if (!first) {
      answer(new AtollError("peer-unreachable", `wanted an address of ${hostname}, DNS has none`), "", 0);
    } else if (options.all) answer(null, all);
    else answer(null, first.address, first.family);
  };
  return (hostname, options, callback) => void resolve(hostname, options, callback);
}

function familyOf(family: number | "IPv4" | "IPv6"): number {
  return family === "IPv4" ? 4 : family === "IPv6" ? 6 : family;
}
