import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../src/adapters/random.ts";
import { isAtollError } from "../../src/errors.ts";
import {
  bodyDigest,
  CLOCK_WINDOW_MS,
  PeerSigner,
  PeerVerifier,
  type SignedRequest,
} from "../../src/http/peer-auth.ts";
import type { Clock } from "../../src/ports.ts";

const SECRET = "correct horse battery staple";
const REQUEST: SignedRequest = {
  method: "POST",
  path: "/v1/call",
  protocol: "1",
  from: "a",
  to: "b",
  ring: "ring",
  layout: "3",
  trace: "-",
  owed: "-",
};
const DIGEST = bodyDigest(new Uint8Array([1, 2, 3]));

function setup(options: { secret?: string; aheadMs?: number } = {}) {
  let nowMs = 1_700_000_000_000;
  const clock = (aheadMs: number): Clock => ({
    wallMs: () => nowMs + aheadMs,
    monotonicMs: () => nowMs,
    after: () => () => {},
  });
  return {
    signer: new PeerSigner({
      secret: options.secret ?? SECRET,
      clock: clock(options.aheadMs ?? 0),
      random: createRandom(),
    }),
    verifier: new PeerVerifier({ secret: SECRET, clock: clock(0) }),
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

function isRefused(message: RegExp) {
  return (error: unknown) => {
    assert(isAtollError(error, "peer-refused"), String(error));
    assert.match(error.message, message);
    return true;
  };
}

test("PeerVerifier takes what was signed, and gives back the digest that the body must have", () => {
  const { signer, verifier } = setup();
  for (let count = 0; count < 3; count++) {
    const { header, mac } = signer.sign(REQUEST, DIGEST);
    assert.deepEqual(verifier.check(REQUEST, header), { digest: DIGEST, mac });
  }
});

test("PeerVerifier refuses a request of which anything was changed, and does not count it as seen", () => {
  const { signer, verifier } = setup();
  const { header } = signer.sign(REQUEST, DIGEST);
  for (const field of Object.keys(REQUEST) as (keyof SignedRequest)[]) {
    assert.throws(
      () => verifier.check({ ...REQUEST, [field]: "x" }, header),
      isRefused(/signed with another/),
      field,
    );
  }
  const parts = header.split(" ");
  for (
    const [index, other] of [[1, "1700000000001"], [2, "0".repeat(32)], [3, "0".repeat(64)], [3, "-"], [
      4,
      "0".repeat(64),
    ]] as const
  ) {
    const changed = parts.with(index, other).join(" ");
    assert.throws(() => verifier.check(REQUEST, changed), isRefused(/signed with another/), changed);
  }
  assert.equal(verifier.check(REQUEST, header).digest, DIGEST);
});

test("PeerVerifier refuses no signature, a malformed one, and one with another secret", () => {
  const { verifier } = setup();
  assert.throws(() => verifier.check(REQUEST, undefined), isRefused(/got none/));
  for (const header of ["", "v1", `v2 ${"0".repeat(200)}`, `v1 1 ${"0".repeat(32)} - ${"G".repeat(64)}`]) {
    assert.throws(() => verifier.check(REQUEST, header), isRefused(/version 1/), header);
  }
  const { signer } = setup({ secret: "another" });
  assert.throws(
    () => verifier.check(REQUEST, signer.sign(REQUEST, DIGEST).header),
    isRefused(/signed with another/),
  );
});

test("PeerVerifier refuses a request that comes a second time, at once and later", () => {
  const { signer, verifier, pass } = setup();
  const { header } = signer.sign(REQUEST, DIGEST);
  verifier.check(REQUEST, header);
  assert.throws(() => verifier.check(REQUEST, header), isRefused(/was used/));
  pass(CLOCK_WINDOW_MS - 1);
  assert.throws(() => verifier.check(REQUEST, header), isRefused(/was used/));
  pass(2);
  assert.throws(() => verifier.check(REQUEST, header), isRefused(/behind/));
});

for (
  const [aheadMs, taken] of [
    [CLOCK_WINDOW_MS, true],
    [-CLOCK_WINDOW_MS, true],
    [CLOCK_WINDOW_MS + 1, false],
    [-CLOCK_WINDOW_MS - 1, false],
  ] as const
) {
  test(`PeerVerifier ${taken ? "takes" : "refuses"} a clock that is ${aheadMs} ms ahead`, () => {
    const { signer, verifier } = setup({ aheadMs });
    const { header } = signer.sign(REQUEST, DIGEST);
    if (taken) verifier.check(REQUEST, header);
    else {
      const wanted = aheadMs > 0 ? /wanted a clock within 300 s, got one 300 s ahead/ : /300 s behind/;
      assert.throws(() => verifier.check(REQUEST, header), isRefused(wanted));
    }
  });
}

test("PeerSigner.checkAnswer takes the answer to its own request only, unchanged", () => {
  const { signer, verifier } = setup();
  const { header, mac } = signer.sign(REQUEST, DIGEST);
  const other = signer.sign(REQUEST, DIGEST);
  const answer = { status: 200, from: "b", ring: "ring" };
  const seal = verifier.signAnswer(verifier.check(REQUEST, header).mac, answer, DIGEST);
  signer.checkAnswer(mac, answer, DIGEST, seal);
  const forged = isRefused(/signed with another/);
  assert.throws(() => signer.checkAnswer(other.mac, answer, DIGEST, seal), forged);
  assert.throws(() => signer.checkAnswer(mac, { ...answer, status: 404 }, DIGEST, seal), forged);
  assert.throws(() => signer.checkAnswer(mac, { ...answer, from: "c" }, DIGEST, seal), forged);
  assert.throws(() => signer.checkAnswer(mac, { ...answer, ring: "r" }, DIGEST, seal), forged);
  assert.throws(() => signer.checkAnswer(mac, answer, bodyDigest(new Uint8Array(0)), seal), forged);
  assert.throws(() => signer.checkAnswer(mac, answer, DIGEST, "short"), forged);
  assert.throws(() => signer.checkAnswer(mac, answer, DIGEST, undefined), isRefused(/got none/));
});
