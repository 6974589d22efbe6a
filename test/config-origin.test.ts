import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { parseConfig } from "../src/config.ts";
import { isWithin } from "../src/core/address-ranges.ts";

const allowed = (text: string) =>
  parseConfig({ ATOLL_ORIGIN_ALLOW_PRIVATE: text }, 1 << 30).originAllowPrivate;

test("ATOLL_ORIGIN_ALLOW_PRIVATE takes ranges, addresses and hosts; nothing without it", () => {
  assert.deepEqual(parseConfig({}, 1 << 30).originAllowPrivate, { ranges: [], hosts: [] });
  const { ranges, hosts } = allowed(" 10.1.0.0/16, fd00::/8 ,127.0.0.1, Web.internal,db_1 ,");
  assert.deepEqual(hosts, ["web.internal", "db_1"]);
  for (const address of ["10.1.2.3", "fdaa::3", "127.0.0.1"]) assert.ok(isWithin(address, ranges), address);
  for (const address of ["10.2.0.0", "127.0.0.2", "::1"]) assert.ok(!isWithin(address, ranges), address);
});

test("ATOLL_ORIGIN_CA_FILE is read, and refused where there is no certificate in it", () => {
  assert.equal(parseConfig({}, 1 << 30).originCa, undefined);
  for (const file of [fileURLToPath(import.meta.url), "/nowhere/ca.pem"]) {
    assert.throws(() => parseConfig({ ATOLL_ORIGIN_CA_FILE: file }, 1 << 30), {
      code: "config",
      message: /ATOLL_ORIGIN_CA_FILE: wanted a file with certificates in PEM/,
    });
  }
});

test("ATOLL_ORIGIN_ALLOW_PRIVATE refuses what is neither", () => {
  for (const text of ["10.0.0.0/33", "10.0.0", "1.2.3.4.5", "http://web.internal", "a b", "web:80", "*"]) {
    assert.throws(() => allowed(text), {
      code: "config",
      message: /ATOLL_ORIGIN_ALLOW_PRIVATE: wanted addresses/,
    }, text);
  }
});
