import assert from "node:assert/strict";
import { test } from "node:test";
import { clientOf, type TrustedProxy } from "../../src/core/client-address.ts";

const FORGED = "6.6.6.6";

/** Proxy, address of the connection, headers; who it is. */
const CASES: readonly (readonly [TrustedProxy, string, Record<string, string>, string])[] = [
  [{ kind: "none" }, "10.0.0.1", { "fly-client-ip": FORGED, "x-forwarded-for": FORGED }, "10.0.0.1"],
  [{ kind: "none" }, "::ffff:10.0.0.1", {}, "10.0.0.1"],
  [{ kind: "none" }, "2001:db8:1:2:3:4:5:6", {}, "2001:db8:1:2::/64"],
  [{ kind: "none" }, "2001:db8:1:2::7", {}, "2001:db8:1:2::/64"],
  [{ kind: "none" }, "2001:0DB8:0001:0002::7", {}, "2001:db8:1:2::/64"],
  [{ kind: "none" }, "fe80::1%eth0", {}, "fe80:0:0:0::/64"],
  [{ kind: "none" }, "::1", {}, "0:0:0:0::/64"],
  [{ kind: "fly" }, "172.16.0.1", { "fly-client-ip": "1.2.3.4", "x-forwarded-for": FORGED }, "1.2.3.4"],
  [{ kind: "fly" }, "172.16.0.1", { "x-forwarded-for": FORGED }, "172.16.0.1"],
  [{ kind: "fly" }, "172.16.0.1", { "fly-client-ip": "x".repeat(5_000) }, "172.16.0.1"],
  [
    { kind: "x-forwarded-for", proxies: 1 },
    "10.0.0.9",
    { "x-forwarded-for": `${FORGED}, 1.2.3.4` },
    "1.2.3.4",
  ],
  [
    { kind: "x-forwarded-for", proxies: 2 },
    "10.0.0.9",
    { "x-forwarded-for": `${FORGED}, 1.2.3.4, 10.0.0.8` },
    "1.2.3.4",
  ],
  [{ kind: "x-forwarded-for", proxies: 2 }, "10.0.0.9", { "x-forwarded-for": "1.2.3.4" }, "10.0.0.9"],
  [{ kind: "x-forwarded-for", proxies: 1 }, "10.0.0.9", { "x-forwarded-for": "unknown" }, "10.0.0.9"],
  [{ kind: "x-forwarded-for", proxies: 1 }, "10.0.0.9", {}, "10.0.0.9"],
];

test("a client is its address, its IPv6 network, or what the trusted proxy and nobody else says", () => {
  for (const [proxy, remote, headers, wanted] of CASES) {
    const got = clientOf(proxy, remote, (name) => headers[name]);
    assert.equal(got, wanted, JSON.stringify([proxy, remote, headers]));
  }
});
