import assert from "node:assert/strict";
import { test } from "node:test";
import { isPublic, isWithin, parseRange } from "../../src/core/address-ranges.ts";

const PUBLIC = [
  "1.1.1.1",
  "8.8.8.8",
  "172.15.255.255",
  "172.32.0.0",
  "100.63.255.255",
  "100.128.0.0",
  "223.255.255.255",
  "2606:4700::1111",
  "2a00:1450:4001::1",
  "::ffff:1.1.1.1",
  "::ffff:101:101",
];
const PRIVATE = [
  "0.0.0.0",
  "10.0.0.1",
  "100.64.0.1",
  "100.127.255.255",
  "127.0.0.1",
  "127.255.255.255",
  "169.254.169.254",
  "172.16.0.1",
  "172.31.255.255",
  "192.168.1.1",
  "192.0.0.170",
  "192.0.2.1",
  "198.18.0.1",
  "198.19.255.255",
  "203.0.113.7",
  "224.0.0.1",
  "240.0.0.1",
  "255.255.255.255",
  "::",
  "::1",
  "::7f00:1",
  "::ffff:127.0.0.1",
  "::ffff:7f00:1",
  "::ffff:a9fe:a9fe",
  "64:ff9b::7f00:1",
  "64:ff9b:1::1",
  "100::1",
  "2001::1",
  "2001:db8::1",
  "2002:7f00:1::",
  "fc00::1",
  "fdaa::3",
  "fe80::1",
  "fe80::1%eth0",
  "fec0::1",
  "ff02::1",
];

for (const address of PUBLIC) test(`isPublic: ${address}`, () => assert.equal(isPublic(address), true));
for (const address of PRIVATE) test(`isPublic: not ${address}`, () => assert.equal(isPublic(address), false));
for (
  const text of [
    "",
    "x",
    "1.2.3",
    "1.2.3.4.5",
    "256.1.1.1",
    "01.2.3.4567",
    "1::2::3",
    "12345::",
    "1:2:3:4:5:6:7:8:9",
    ":1",
  ]
) {
  test(`isPublic: not ${JSON.stringify(text)}, which is no address`, () =>
    assert.equal(isPublic(text), false));
}

test("isWithin takes a range by its bits, and an address for itself", () => {
  const cases: readonly (readonly [range: string, address: string, within: boolean])[] = [
    ["10.1.0.0/16", "10.1.255.255", true],
    ["10.1.0.0/16", "10.2.0.0", false],
    ["10.1.2.3/16", "10.1.0.0", true],
    ["10.1.2.3", "10.1.2.3", true],
    ["10.1.2.3", "10.1.2.4", false],
    ["127.0.0.0/8", "::ffff:127.0.0.1", true],
    ["fd00::/8", "fdaa:1::2", true],
    ["fd00::/8", "fe00::1", false],
    ["::1", "::1", true],
    ["0.0.0.0/0", "1.2.3.4", true],
    ["0.0.0.0/0", "::2", false],
  ];
  for (const [range, address, within] of cases) {
    assert.equal(isWithin(address, [parseRange(range)!]), within, `${address} in ${range}`);
  }
});

test("parseRange takes nothing else", () => {
  for (
    const text of [
      "",
      "/8",
      "10.0.0.0/33",
      "::/129",
      "10.0.0.0/",
      "10.0.0.0/x",
      "host",
      "10.0.0.0/8/8",
      "10.0.0/8",
    ]
  ) {
    assert.equal(parseRange(text), undefined, text);
  }
});
