import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { helpText, parseConfig } from "../src/config.ts";
import { isAtollError } from "../src/errors.ts";

const GIB = 2 ** 30;

function refusal(env: Record<string, string>): string {
  try {
    parseConfig(env, 8 * GIB);
  } catch (error) {
    assert(isAtollError(error, "config"));
    return error.message;
  }
  return assert.fail("it was taken");
}

describe("parseConfig", () => {
  it("gives a ring of one on loopback when nothing is set", () => {
    const config = parseConfig({}, 8 * GIB);
    assert.equal(config.host, "127.0.0.1");
    assert.equal(config.port, 8080);
    assert.equal(config.peerPort, 8081);
    assert.deepEqual(config.seeds, []);
    assert.equal(config.replicas, 3);
    assert.equal(config.region, "local");
    assert.equal(config.zone, "local");
    assert.equal(config.memoryCacheBytes, 256 * 2 ** 20);
    assert.equal(config.maxObjectBytes, 5 * 2 ** 40);
  });

  it("takes a quarter of a small machine's memory for the cache", () => {
    assert.equal(parseConfig({}, 400 * 2 ** 20).memoryCacheBytes, 100 * 2 ** 20);
  });

  it("takes region and machine from Fly, and the zone from the region", () => {
    const config = parseConfig({ FLY_REGION: "fra", FLY_MACHINE_ID: "148e21f7" }, GIB);
    assert.equal(config.region, "fra");
    assert.equal(config.zone, "fra");
    assert.equal(config.machineId, "148e21f7");
    assert.equal(config.nodeId, undefined);
  });

  it("reads sizes with units and lists of seeds", () => {
    const config = parseConfig({
      ATOLL_MEMORY_CACHE_BYTES: "32MiB",
      ATOLL_DISK_CACHE_BYTES: "1.5GB",
      ATOLL_SEEDS: "http://127.0.0.1:1/, http://127.0.0.1:2",
    }, GIB);
    assert.equal(config.memoryCacheBytes, 32 * 2 ** 20);
    assert.equal(config.diskCacheBytes, 1.5e9);
    assert.deepEqual(config.seeds, ["http://127.0.0.1:1", "http://127.0.0.1:2"]);
  });

  it("takes an empty variable for one that is not set", () => {
    assert.equal(parseConfig({ PORT: "", ATOLL_NODE_ID: "" }, GIB).port, 8080);
  });

  it("names every wrong value in one error, with what was wanted and what came", () => {
    const message = refusal({
      PORT: "http",
      ATOLL_REPLICAS: "2",
      ATOLL_SEEDS: "nonsense",
      ATOLL_DISK_CACHE_BYTES: "-1",
    });
    for (const part of ["PORT", '"http"', "ATOLL_REPLICAS", "odd", "ATOLL_SEEDS", "ATOLL_DISK_CACHE_BYTES"]) {
      assert(message.includes(part), `${part} in: ${message}`);
    }
  });

  it("founds no ring of more copies than a ring can be changed to", () => {
    assert.equal(parseConfig({ ATOLL_REPLICAS: "7" }, GIB).replicas, 7);
    assert.match(refusal({ ATOLL_REPLICAS: "9" }), /ATOLL_REPLICAS: .*7.*9/);
  });

  it("refuses an address of the node that no other node would read", () => {
    for (const name of ["ATOLL_PEER_URL", "ATOLL_PUBLIC_URL"]) {
      const message = refusal({ [name]: `http://${"x".repeat(1_018)}` });
      assert.ok(message.includes(`${name}: wanted a URL of at most 1024 characters`), message);
    }
  });

  it("takes times with a unit, and no others", () => {
    const config = parseConfig({ ATOLL_COMPARE_INTERVAL: "10m", ATOLL_SCRUB_CYCLE: " 1500ms " }, GIB);
    assert.deepEqual([config.compareIntervalMs, config.scrubCycleMs], [600_000, 1_500]);
    assert.equal(config.tombstoneAgeMs, 86_400_000);
    for (const wrong of ["60", "1.5h", "-1s", "5w", "999ms"]) {
      assert.match(refusal({ ATOLL_GARBAGE_GRACE: wrong }), /ATOLL_GARBAGE_GRACE.*60s/s, wrong);
    }
    assert.match(refusal({ ATOLL_SCRUB_SHARE: "2" }), /ATOLL_SCRUB_SHARE.*at most 1/s);
  });

  it("lets the command line's own variable stand where a node is started", () => {
    assert.equal(parseConfig({ ATOLL_URL: "http://127.0.0.1:9000" }, GIB).port, 8080);
  });

  it("refuses a variable of ours that it does not know", () => {
    assert.match(refusal({ ATOLL_REPLICA: "3" }), /ATOLL_REPLICA: there is no such variable/);
  });

  it("refuses a peer listener beyond loopback without a secret", () => {
    assert.match(refusal({ ATOLL_PEER_HOST: "0.0.0.0" }), /ATOLL_CLUSTER_SECRET/);
    const config = parseConfig({ ATOLL_PEER_HOST: "0.0.0.0", ATOLL_CLUSTER_SECRET: "sixteen letters!" }, GIB);
    assert.equal(config.peerHost, "0.0.0.0");
  });

  it("refuses a public listener beyond loopback unless told that it is meant", () => {
    const env = { ATOLL_HOST: "::", ATOLL_PEER_HOST: "127.0.0.1" };
    assert.match(refusal(env), /ATOLL_INSECURE=1/);
    assert.equal(parseConfig({ ...env, ATOLL_INSECURE: "1" }, GIB).insecure, true);
  });

  it("never repeats a secret", () => {
    assert(!refusal({ ATOLL_CLUSTER_SECRET: "short-secret" }).includes("short-secret"));
  });

  it("refuses one port for both listeners", () => {
    assert.match(refusal({ PORT: "9000", ATOLL_PEER_PORT: "9000" }), /ATOLL_PEER_PORT/);
  });
});

describe("helpText", () => {
  it("lists every variable that is taken", () => {
    const help = helpText();
    for (const name of ["PORT", "ATOLL_SEEDS", "ATOLL_DRAIN_SECONDS", "ATOLL_CLUSTER_SECRET"]) {
      assert(help.includes(name));
    }
  });
});

describe("the README's table of settings", () => {
  const inHelp = new Map(
    helpText().split("\n").flatMap((line) => {
      const [, name] = /^  ([A-Z][A-Z_]+) /.exec(line) ?? [];
      return name === undefined
        ? []
        : [[name, line.slice(3 + Math.max(30, name.length)).slice(0, 10).trim()]];
    }),
  );
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const table = readme.slice(readme.indexOf("\n## Configuration\n")).split("\n\n")[2]!;
  const rows = table.split("\n").slice(2).map((row) => row.split("|").map((cell) => cell.trim()));

  it("has every variable once, with its default", () => {
    const found: string[] = [];
    for (const [, names = "", defaults = ""] of rows) {
      const each = Array.from(names.matchAll(/`([A-Z_]+)`/g), ([, name]) => name!);
      for (const [i, short] of each.entries()) {
        // `_KEY` behind `ATOLL_PEER_TLS_CERT`
        const name = short.startsWith("_") ? each[0]!.replace(/_[A-Z]+$/, short) : short;
        found.push(name);
        const standard = inHelp.get(name);
        assert.notEqual(standard, undefined, `${name} is none`);
        if (standard !== "") {
          assert.equal(defaults.split(", ")[i]!.split(" ")[0]!.replaceAll("`", ""), standard, name);
        }
      }
    }
    assert.deepEqual(found.toSorted(), [...inHelp.keys()].toSorted());
  });
});

describe("limits", () => {
  const limits = (env: Record<string, string>) => parseConfig(env, GIB).limits;

  it("are generous or off when nothing is set", () => {
    const given = limits({});
    assert.deepEqual(given.trustedProxy, { kind: "none" });
    assert.equal(given.maxConcurrentRequests, 1_024);
    assert.deepEqual([given.maxConcurrentPerClient, given.maxConcurrentPerKey], [Infinity, Infinity]);
    assert.deepEqual([given.ratePerClient, given.ratePerKey], [undefined, undefined]);
    assert.deepEqual([given.maxConnections, given.maxConnectionsPerClient], [16_384, Infinity]);
    assert.deepEqual([given.minBytesPerSecond, given.minRateGraceMs], [4_096, 30_000]);
  });

  it("are read as they are written", () => {
    const given = limits({ ATOLL_RATE_PER_CLIENT: "6000/1m", ATOLL_TRUSTED_PROXY: "x-forwarded-for:2" });
    assert.deepEqual(given.ratePerClient, { quota: 6_000, windowMs: 60_000 });
    assert.deepEqual(given.trustedProxy, { kind: "x-forwarded-for", proxies: 2 });
    assert.deepEqual(limits({ ATOLL_TRUSTED_PROXY: "x-forwarded-for" }).trustedProxy, {
      kind: "x-forwarded-for",
      proxies: 1,
    });
    assert.equal(limits({ ATOLL_MAX_CONNECTIONS: "0" }).maxConnections, Infinity);
    assert.equal(limits({ ATOLL_MAX_CONCURRENT_PER_KEY: "7" }).maxConcurrentPerKey, 7);
  });

  it("say what was wanted where they are wrong", () => {
    assert.match(
      refusal({ ATOLL_RATE_PER_CLIENT: "0/1s" }),
      /ATOLL_RATE_PER_CLIENT: wanted .*6000\/1m.* got "0\/1s"/,
    );
    assert.match(refusal({ ATOLL_RATE_PER_KEY: "5/10ms" }), /ATOLL_RATE_PER_KEY: wanted/);
    assert.match(
      refusal({ ATOLL_TRUSTED_PROXY: "x-forwarded-for:0" }),
      /ATOLL_TRUSTED_PROXY: wanted none, fly/,
    );
  });
});
