import { createStaticDiscovery } from "../../src/adapters/discovery-static.ts";
import { discoveryConformance } from "../conformance/discovery.ts";
import { upTo } from "../helpers/dns-world.ts";
import { QUIET } from "../helpers/memory-node.ts";

const urlOf = (number: number) => `http://10.0.0.1:${number}`;

discoveryConformance("a list of seeds", (count) =>
  Promise.resolve({
    // One twice: people do that.
    discovery: createStaticDiscovery([...upTo(count).map(urlOf), urlOf(1)], QUIET),
    expected: (number) => ({ url: urlOf(number) }),
    setPeers: () => Promise.resolve(),
    failures: [],
    mend: () => Promise.resolve(),
    asked: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }), { isFixed: true });
