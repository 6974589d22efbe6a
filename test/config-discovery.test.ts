import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Config, parseConfig } from "../src/config.ts";
import { isAtollError } from "../src/errors.ts";

const GIB = 2 ** 30;

function discoveryOf(text: string): Config["discovery"] {
  return parseConfig({ ATOLL_DISCOVERY: text }, GIB).discovery;
}

function refusal(env: Record<string, string>): string {
  try {
    parseConfig(env, GIB);
  } catch (error) {
    assert(isAtollError(error, "config"));
    return error.message;
  }
  return assert.fail(`it was taken: ${JSON.stringify(env)}`);
}

const FLY = {
  ATOLL_DISCOVERY: "fly",
  FLY_APP_NAME: "my-app",
  FLY_MACHINE_ID: "148e21f7d0e089",
  FLY_PRIVATE_IP: "fdaa::7",
  FLY_REGION: "fra",
  ATOLL_CLUSTER_SECRET: "0123456789abcdef",
  ATOLL_INSECURE: "1",
};

describe("ATOLL_DISCOVERY", () => {
  it("is a list of seeds unless said otherwise", () => {
    assert.deepEqual(parseConfig({}, GIB).discovery, { kind: "static" });
    assert.deepEqual(discoveryOf("static"), { kind: "static" });
  });

  it("takes names for DNS, with and without a port", () => {
    assert.deepEqual(discoveryOf("dns:atoll.internal"), {
      kind: "dns",
      name: "atoll.internal",
      port: undefined,
    });
    assert.deepEqual(discoveryOf("dns:atoll:9000"), { kind: "dns", name: "atoll", port: 9_000 });
    const service = { kind: "dns", name: "_atoll._tcp.example.org", port: undefined };
    assert.deepEqual(discoveryOf("dns:_atoll._tcp.example.org"), service);
  });

  it("takes one etcd or several", () => {
    assert.deepEqual(discoveryOf("etcd:http://a:2379, https://b:2379/"), {
      kind: "etcd",
      endpoints: ["http://a:2379", "https://b:2379"],
    });
  });

  it("names what it cannot use, and what was wanted", () => {
    const long = `dns:${"a".repeat(64)}.b`;
    for (
      const wrong of [
        "consul",
        "dns",
        "dns:",
        "dns:a b",
        "dns:a..b",
        "dns:-a",
        long,
        "dns:a:0",
        "dns:a:65536",
        "dns:_atoll._tcp.a:80",
        "dns:http://a",
        "etcd:",
        "etcd:a:2379",
        "etcd:http://a,",
        "etcd:http://a/v3",
        "etcd:http://user:secret@a",
        "FLY",
      ]
    ) assert.match(refusal({ ATOLL_DISCOVERY: wrong }), /ATOLL_DISCOVERY: wanted .*got "/, wrong);
  });

  it("refuses seeds that nothing would ask", () => {
    const env = { ATOLL_DISCOVERY: "dns:a", ATOLL_SEEDS: "http://127.0.0.1:1" };
    assert.match(refusal(env), /ATOLL_SEEDS: wanted none, as peers are found by dns/);
  });
});

describe("ATOLL_DISCOVERY=fly", () => {
  it("takes addresses and names from the machine", () => {
    const config = parseConfig(FLY, GIB);
    assert.deepEqual(config.discovery, { kind: "fly", app: "my-app", machineId: "148e21f7d0e089" });
    assert.equal(config.host, "::");
    assert.equal(config.peerHost, "fdaa::7");
    assert.equal(config.peerUrl, "http://148e21f7d0e089.vm.my-app.internal:8081");
    assert.equal(config.publicUrl, "http://148e21f7d0e089.vm.my-app.internal:8080");
  });

  it("lets every one of them be set", () => {
    const config = parseConfig({
      ...FLY,
      ATOLL_HOST: "0.0.0.0",
      ATOLL_PEER_HOST: "fly-local-6pn",
      ATOLL_PEER_URL: "http://a:1",
      ATOLL_PUBLIC_URL: "https://b",
    }, GIB);
    assert.deepEqual([config.host, config.peerHost, config.peerUrl, config.publicUrl], [
      "0.0.0.0",
      "fly-local-6pn",
      "http://a:1",
      "https://b",
    ]);
  });

  it("wants a machine, its secret, and ports that the others can know", () => {
    assert.match(refusal({ ATOLL_DISCOVERY: "fly" }), /FLY_APP_NAME.*FLY_MACHINE_ID/s);
    assert.match(refusal({ ...FLY, FLY_APP_NAME: "a.b/c" }), /FLY_APP_NAME/);
    assert.match(refusal({ ...FLY, ATOLL_CLUSTER_SECRET: "" }), /ATOLL_CLUSTER_SECRET/);
    assert.match(refusal({ ...FLY, ATOLL_PEER_PORT: "0", PORT: "0" }), /PORT: .*ATOLL_PEER_PORT: /s);
  });

  it("changes nothing on Fly.io where it was not asked for", () => {
    const { ATOLL_DISCOVERY: _asked, ATOLL_INSECURE: _open, ...machine } = FLY;
    const config = parseConfig(machine, GIB);
    assert.deepEqual([config.host, config.peerHost, config.peerUrl], ["127.0.0.1", "127.0.0.1", undefined]);
  });
});

describe("ATOLL_DNS_SERVER", () => {
  it("takes an address, with a port or without", () => {
    for (
      const [text, server] of [
        ["127.0.0.1", "127.0.0.1:53"],
        ["127.0.0.1:5353", "127.0.0.1:5353"],
        ["[fdaa::3]", "[fdaa::3]:53"],
        ["[::1]:5353", "[::1]:5353"],
      ] as const
    ) assert.equal(parseConfig({ ATOLL_DNS_SERVER: text }, GIB).dnsServer, server);
    for (const wrong of ["localhost", "300.1.1.1", "127.0.0.1:0", "[::g]", "fdaa::3", "127.0.0.1:99999"]) {
      assert.match(refusal({ ATOLL_DNS_SERVER: wrong }), /ATOLL_DNS_SERVER: wanted an address/, wrong);
    }
  });
});

describe("ATOLL_ETCD_PREFIX", () => {
  it("begins and ends with a slash", () => {
    assert.equal(parseConfig({}, GIB).etcdPrefix, "/atoll/");
    assert.equal(parseConfig({ ATOLL_ETCD_PREFIX: "/staging" }, GIB).etcdPrefix, "/staging/");
    assert.match(refusal({ ATOLL_ETCD_PREFIX: "staging" }), /ATOLL_ETCD_PREFIX: wanted a key prefix/);
  });
});
