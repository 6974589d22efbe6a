/** Peers by a fixed list of their URLs. */
import type { Discovery, Log } from "../ports.ts";
import { FoundPeers } from "./found-peers.ts";

export function createStaticDiscovery(urls: readonly string[], log: Log): Discovery {
  const peers = new FoundPeers(log);
  return {
    start(onFound) {
      peers.start(onFound);
      peers.tell(urls.map((url) => ({ url })));
    },
    async stop() {
      await Promise.resolve(peers.stop());
    },
  };
}
