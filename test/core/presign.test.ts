import assert from "node:assert/strict";
import { test } from "node:test";
import {
  isPresigned,
  parsePresigned,
  PRESIGN_SECONDS_MAX,
  presignedMethod,
  presignedQuery,
  presignedText,
  presignProblem,
  timeProblem,
} from "../../src/core/presign.ts";

const SIGNATURE = "0123456789abcdef".repeat(4);
const GOOD = `atoll-key=ci&atoll-expires=2000&atoll-signature=${SIGNATURE}`;

test("what is written is read again, whatever the content type has in it", () => {
  for (const contentType of [undefined, "image/jpeg", 'text/plain; charset="a&b=c%20+d"']) {
    const presigned = { keyId: "ci", expires: 2000, maxBytes: 10, contentType };
    const query = presignedQuery(presigned, SIGNATURE);
    assert(isPresigned(query));
    assert.deepEqual(parsePresigned("PUT", query), { presigned, signature: SIGNATURE });
  }
});

const REFUSED: readonly string[] = [
  "atoll-key=ci&atoll-expires=2000",
  `atoll-key=ci&atoll-signature=${SIGNATURE}`,
  `atoll-expires=2000&atoll-signature=${SIGNATURE}`,
  `${GOOD}&versionId=1`,
  `${GOOD}&`,
  `${GOOD}&atoll-key=ci`,
  `${GOOD}&atoll-expires=9999`,
  `${GOOD}&atoll-other=1`,
  `atoll-KEY=ci&atoll-expires=2000&atoll-signature=${SIGNATURE}`,
  `%61toll-key=ci&atoll-expires=2000&atoll-signature=${SIGNATURE}`,
  `atoll-key=ci&atoll-expires=2000.5&atoll-signature=${SIGNATURE}`,
  `atoll-key=ci&atoll-expires=02000&atoll-signature=${SIGNATURE}`,
  `atoll-key=ci&atoll-expires=-1&atoll-signature=${SIGNATURE}`,
  `atoll-key=ci&atoll-expires=0x7d0&atoll-signature=${SIGNATURE}`,
  `atoll-key=ci&atoll-expires=99999999999999999&atoll-signature=${SIGNATURE}`,
  `atoll-key=%ff&atoll-expires=2000&atoll-signature=${SIGNATURE}`,
  `atoll-key=ci&atoll-expires=2000&atoll-signature=${SIGNATURE.toUpperCase()}`,
  `atoll-key=ci&atoll-expires=2000&atoll-signature=${SIGNATURE.slice(1)}`,
  "atoll-signature",
];

test("what is malformed, there twice, or not signed makes it none at all", () => {
  assert.deepEqual(parsePresigned("GET", GOOD)?.presigned.keyId, "ci");
  for (const query of REFUSED) assert.equal(parsePresigned("GET", query), undefined, query);
});

test("limits of what is sent are for PUT alone, and cannot hold a line break", () => {
  const limited = { keyId: "ci", expires: 2000, maxBytes: 1 };
  assert.equal(presignProblem("PUT", limited), undefined);
  assert.match(presignProblem("GET", limited) ?? "", /for PUT only/);
  assert.match(presignProblem("PUT", { ...limited, contentType: "a/b\n5" }) ?? "", /content type/);
  assert.match(presignProblem("PUT", { ...limited, contentType: "" }) ?? "", /content type/);
  const query = presignedQuery({ ...limited, contentType: "a/b\nc" }, SIGNATURE);
  assert.equal(parsePresigned("PUT", query), undefined);
});

test("no two requests are signed by the same text", () => {
  const base = { keyId: "ci", expires: 2000 };
  const texts = [
    presignedText("GET", "/abc/k", base),
    presignedText("PUT", "/abc/k", base),
    presignedText("DELETE", "/abc/k", base),
    presignedText("GET", "/abc/k2", base),
    presignedText("GET", "/abc/%6b", base),
    presignedText("GET", "/abc/k", { ...base, keyId: "ci2" }),
    presignedText("GET", "/abc/k", { ...base, expires: 2001 }),
    presignedText("PUT", "/abc/k", { ...base, maxBytes: 0 }),
    presignedText("PUT", "/abc/k", { ...base, contentType: "0" }),
  ];
  assert.equal(new Set(texts).size, texts.length);
});

test("the expiry is the last moment, and lies within seven days", () => {
  const at = (expires: number) => timeProblem({ keyId: "ci", expires }, 1_000_000);
  assert.equal(at(1_001), undefined);
  assert.match(at(1_000) ?? "", /not expired/);
  assert.match(at(0) ?? "", /not expired/);
  assert.equal(at(1_000 + PRESIGN_SECONDS_MAX), undefined);
  assert.match(at(1_001 + PRESIGN_SECONDS_MAX) ?? "", /within 604800 seconds/);
});

test("GET covers HEAD, and what changes no object has no signature", () => {
  assert.deepEqual(["GET", "HEAD", "PUT", "DELETE", "POST", "get"].map(presignedMethod), [
    "GET",
    "GET",
    "PUT",
    "DELETE",
    undefined,
    undefined,
  ]);
});
