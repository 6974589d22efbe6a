/** Discovery by DNS against a real server on loopback. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createClock } from "../../src/adapters/clock.ts";
import { createDnsDiscovery } from "../../src/adapters/discovery-dns.ts";
import { DnsClient } from "../../src/adapters/dns-client.ts";
import { createPeerLookup } from "../../src/adapters/peer-lookup.ts";
import { discoveryConformance } from "../conformance/discovery.ts";
import { startDnsServer } from "../helpers/dns-server.ts";
import { openDnsWorld, record } from "../helpers/dns-world.ts";
import { QUIET } from "../helpers/memory-node.ts";

const PORT = 8081;

function addressOf(number: number): string {
  return `10.0.${number >> 8}.${number & 255}`;
}

discoveryConformance("the A records of a name", (count) => {
  const name = "atoll.example";
  return openDnsWorld({
    count,
    publish: (records, numbers) => {
      records.set(
        `A ${name}`,
        numbers.map((number) => record({ type: "A", name, data: addressOf(number) })),
      );
    },
    open: (deps) => createDnsDiscovery({ ...deps, name, port: PORT }),
    expected: (number) => ({ url: `http://${addressOf(number)}:${PORT}` }),
  });
});

discoveryConformance("the AAAA records of a name", (count) => {
  const name = "atoll.example";
  return openDnsWorld({
    count,
    publish: (records, numbers) => {
      records.set(
        `AAAA ${name}`,
        numbers.map((number) => record({ type: "AAAA", name, data: `fdaa::${number.toString(16)}` })),
      );
    },
    open: (deps) => createDnsDiscovery({ ...deps, name, port: PORT }),
    expected: (number) => ({ url: `http://[fdaa::${number.toString(16)}]:${PORT}` }),
  });
});

discoveryConformance("the SRV records of a name", (count) => {
  const name = "_atoll._tcp.example";
  return openDnsWorld({
    count,
    publish: (records, numbers) => {
      records.set(
        `SRV ${name}`,
        numbers.map((number) =>
          record({ type: "SRV", name, data: { target: `n${number}.example`, port: 9_000 + number } })
        ),
      );
    },
    open: (deps) => createDnsDiscovery({ ...deps, name, port: PORT }),
    expected: (number) => ({ url: `http://n${number}.example:${9_000 + number}` }),
  });
});

test("a name with addresses of both kinds is found by both, and by those that are left of one", async () => {
  await using server = await startDnsServer();
  const dns = new DnsClient({ clock: createClock(), log: QUIET, server: server.address });
  const name = "both.example";
  const four = record({ type: "A", name, data: "10.0.0.1" });
  const six = record({ type: "AAAA", name, data: "fdaa::1" });
  server.records.set(`A ${name}`, [four]).set(`AAAA ${name}`, [six]);
  assert.deepEqual(await dns.addresses(name), ["fdaa::1", "10.0.0.1"]);
  server.records.delete(`AAAA ${name}`);
  assert.deepEqual(await dns.addresses(name), ["10.0.0.1"]);
  server.records.clear();
  assert.deepEqual(await dns.addresses(name), ["10.0.0.1"], "nothing at all is no answer");
});

test("DNS that fails is told of once, and once more when it is back", async () => {
  await using server = await startDnsServer();
  const lines: string[] = [];
  const log = {
    info: (line: string) => void lines.push(line),
    warn: (line: string) => void lines.push(line),
    error: () => {},
  };
  const dns = new DnsClient({ clock: createClock(), log, server: server.address });
  server.mood = "failing";
  for (let i = 0; i < 3; i++) assert.deepEqual(await dns.texts("a.example"), []);
  server.mood = "well";
  server.records.set("TXT a.example", [record({ type: "TXT", name: "a.example", data: "x" })]);
  for (let i = 0; i < 3; i++) assert.deepEqual(await dns.texts("a.example"), ["x"]);
  assert.deepEqual(lines, ["DNS has no answer, the last one stays", "DNS answers again"]);
});

test("a peer's name that was resolved once is resolved while DNS is silent, within the time to connect", async () => {
  await using server = await startDnsServer();
  const dns = new DnsClient({ clock: createClock(), log: QUIET, server: server.address });
  const lookup = createPeerLookup(dns);
  const name = "a.vm.app.internal";
  const ask = (all: boolean) =>
    new Promise<unknown>((resolve) =>
      lookup(name, { all }, (error, address, family) => resolve(error?.message ?? [address, family]))
    );
  assert.equal(await ask(true), `wanted an address of ${name}, DNS has none`);
  server.records.set(`AAAA ${name}`, [record({ type: "AAAA", name, data: "fdaa::7" })]);
  assert.deepEqual(await ask(true), [[{ address: "fdaa::7", family: 6 }], undefined]);
  server.mood = "silent";
  const startedMs = performance.now();
  assert.deepEqual(await ask(false), ["fdaa::7", 6]);
  assert.ok(performance.now() - startedMs < 2_000, `${performance.now() - startedMs} ms`);
});
