/** Discovery on Fly.io against a server that answers as Fly's internal DNS does. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createFlyDiscovery } from "../../src/adapters/discovery-fly.ts";
import type { Discovered } from "../../src/ports.ts";
import { discoveryConformance } from "../conformance/discovery.ts";
import { until } from "../helpers/deadline.ts";
import type { DnsServer } from "../helpers/dns-server.ts";
import { openDnsWorld, record } from "../helpers/dns-world.ts";

const APP = "atoll-test";
const NAME = `vms.${APP}.internal`;
const REGIONS = ["fra", "iad", "syd"];
const SELF = "148e21f7d0e089";

function machineOf(number: number): string {
  return `90801${number.toString(16).padStart(4, "0")}`;
}

/** One record, in strings of 255 bytes, as long texts travel (RFC 1035 section 3.3.14); this machine is among them. */
function publish(records: DnsServer["records"], text: string): void {
  const strings = text.match(/.{1,255}/gs) ?? [""];
  records.set(`TXT ${NAME}`, [record({ type: "TXT", name: NAME, data: strings })]);
}

function world(count: number) {
  return openDnsWorld({
    count,
    publish: (records, numbers) => {
      const others = numbers.map((number) => `${machineOf(number)} ${REGIONS[number % 3]}`);
      publish(records, [`${SELF} ams`, ...others].join(","));
    },
    open: (deps) => createFlyDiscovery({ ...deps, app: APP, machineId: SELF, peerPort: 8081 }),
    expected: (number) => ({
      url: `http://${machineOf(number)}.vm.${APP}.internal:8081`,
      id: machineOf(number),
      region: REGIONS[number % 3],
    }),
  });
}

discoveryConformance("the machines of an app on Fly.io", world);

test("entries of a text record that cannot be read are passed over", async () => {
  let records: DnsServer["records"] | undefined;
  await using open = await openDnsWorld({
    count: 0,
    publish: (all) => {
      records = all;
      publish(all, `good fra, ,x,../../etc fra,two words more,${SELF} ams,also1  iad,http://evil fra`);
    },
    open: (deps) => createFlyDiscovery({ ...deps, app: APP, machineId: SELF, peerPort: 8081 }),
    expected: () => assert.fail(),
  });
  let told: readonly Discovered[] = [];
  open.discovery.start((found) => (told = found));
  await until("the good ones are found", 5_000, () => told.length > 0);
  assert.deepEqual(told.map(({ id, region }) => [id, region]), [["good", "fra"], ["also1", "iad"]]);
  assert.ok(records);
  await open.discovery.stop();
});
