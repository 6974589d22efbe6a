import assert from "node:assert/strict";
import { test } from "node:test";
import {
  commonProtocol,
  dialectOf,
  PEER_PROTOCOL,
  PEER_PROTOCOL_MIN,
  PROTOCOLS,
  type Protocols,
  protocolsText,
  readProtocols,
  readVersion,
} from "../../src/http/peer-protocol.ts";
import { requestHeaders } from "../../src/http/peer-headers.ts";

const VERSIONS = [1, 2, 3, 4, 5];

/** A build of that version understands the one before, too. */
function buildOf(version: number): Protocols {
  return { min: Math.max(1, version - 1), max: version };
}

test("this build is of one version and understands the one before", () => {
  assert.deepEqual(PROTOCOLS, buildOf(PEER_PROTOCOL));
  assert.equal(PEER_PROTOCOL_MIN, PEER_PROTOCOL - 1);
});

for (const a of VERSIONS) {
  for (const b of VERSIONS) {
    const wanted = Math.abs(a - b) <= 1 ? Math.min(a, b) : undefined;
    test(`builds of versions ${a} and ${b} speak ${wanted ?? "not with each other"}`, () => {
      assert.equal(commonProtocol(buildOf(a), buildOf(b)), wanted);
    });
  }
}

test("what a message says of versions is read back, and version 1 says nothing", () => {
  for (const version of VERSIONS) {
    const text = protocolsText(buildOf(version));
    assert.equal(text === undefined, version === 1);
    assert.deepEqual(readProtocols(text, version), buildOf(version));
  }
  const { headers } = requestHeaders({ nodeId: "a", ringId: "r", layoutNumber: 1 }, {
    method: "POST",
    path: "/",
    version: 1,
    protocols: buildOf(1),
  });
  assert.deepEqual(Object.keys(headers), ["atoll-protocol", "atoll-from", "atoll-ring", "atoll-layout"]);
});

for (const text of ["", "1", "2", "1-", "2-1", "0-2", "1-2 ", "01-2", "1-2-3", "1-9999999", "3-4"]) {
  test(`"${text}" is not what the sender of a message in version 2 understands`, () => {
    assert.equal(readProtocols(text, 2), undefined);
  });
}

test("only version 1 may say nothing of versions", () => {
  assert.deepEqual(readProtocols(undefined, 1), { min: 1, max: 1 });
  assert.equal(readProtocols(undefined, 2), undefined);
});

for (const text of ["", "-", "0", "-1", "01", "1.0", "2e0", " 2", "10000000"]) {
  test(`"${text}" is no version`, () => assert.equal(readVersion(text), undefined));
}

test("more than is known here may come from who understands more, and not in version 1", () => {
  const isAhead = (mine: number, theirs: number) => {
    const version = commonProtocol(buildOf(mine), buildOf(theirs))!;
    return dialectOf(version, buildOf(mine), buildOf(theirs)).isAhead;
  };
  assert.deepEqual(
    [[1, 2], [2, 1], [2, 2], [2, 3], [3, 2]].map(([mine, theirs]) => isAhead(mine!, theirs!)),
    [
      false,
      false,
      false,
      true,
      false,
    ],
  );
});
