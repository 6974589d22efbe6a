import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
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
  protocol: "2",
  understands: "1-2",
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
  const answer = { status: 200, protocol: "2", understands: "1-2", from: "b", ring: "ring" };
  const seal = verifier.signAnswer(verifier.check(REQUEST, header).mac, answer, DIGEST);
  signer.checkAnswer(mac, answer, DIGEST, seal);
  const forged = isRefused(/signed with another/);
  assert.throws(() => signer.checkAnswer(other.mac, answer, DIGEST, seal), forged);
  assert.throws(() => signer.checkAnswer(mac, { ...answer, status: 404 }, DIGEST, seal), forged);
  assert.throws(() => signer.checkAnswer(mac, { ...answer, from: "c" }, DIGEST, seal), forged);
  assert.throws(() => signer.checkAnswer(mac, { ...answer, ring: "r" }, DIGEST, seal), forged);
  assert.throws(() => signer.checkAnswer(mac, answer, bodyDigest(new Uint8Array(0)), seal), forged);
  for (const change of [{ protocol: "3" }, { understands: "1-3" }]) {
    assert.throws(() => signer.checkAnswer(mac, { ...answer, ...change }, DIGEST, seal), forged);
  }
  assert.throws(() => signer.checkAnswer(mac, answer, DIGEST, { ...seal, header: "short" }), forged);
  const none = { header: undefined, vouch: undefined };
  assert.throws(() => signer.checkAnswer(mac, answer, DIGEST, none), isRefused(/got none/));
});

/** As a build of version 1 signs and checks: computed here anew, so that nobody changes it by accident. */
function version1Mac(...parts: string[]): string {
  return createHmac("sha256", SECRET).update(parts.join("\n")).digest("hex");
}

test("in version 1 signatures are what version 1 makes of them, and versions are vouched for beside", () => {
  const { signer, verifier } = setup();
  const request = { ...REQUEST, protocol: "1" };
  const { header, vouch, mac } = signer.sign(request, DIGEST);
  const [, timeMs, nonce] = header.split(" ");
  const { method, path, from, to, ring, layout, trace, owed } = request;
  const parts = ["request", method, path, "1", from, to, ring, layout, trace, owed, timeMs!, nonce!, DIGEST];
  assert.equal(header, `v1 ${timeMs} ${nonce} ${DIGEST} ${version1Mac(...parts)}`);
  const forged = isRefused(/signed with another/);
  assert.throws(() => verifier.check(request, header), forged);
  assert.throws(() => verifier.check({ ...request, understands: "1-3" }, header, vouch), forged);
  assert.equal(verifier.check(request, header, vouch).mac, mac);

  const answer = { status: 200, protocol: "1", understands: "1-2", from: "b", ring: "ring" };
  const seal = verifier.signAnswer(mac, answer, DIGEST);
  assert.equal(seal.header, version1Mac("answer", mac, "200", "b", "ring", DIGEST));
  signer.checkAnswer(mac, answer, DIGEST, seal);
  assert.throws(() => signer.checkAnswer(mac, answer, DIGEST, { ...seal, vouch: undefined }), forged);
  assert.throws(() => signer.checkAnswer(mac, answer, DIGEST, { ...seal, vouch }), forged);
  assert.throws(() => signer.checkAnswer(mac, { ...answer, understands: "1-3" }, DIGEST, seal), forged);
});

test("in version 1 a node that says nothing of versions needs no voucher", () => {
  const { signer, verifier } = setup();
  const silent = { protocol: "1", understands: "-" };
  const { header, vouch, mac } = signer.sign({ ...REQUEST, ...silent }, DIGEST);
  assert.equal(vouch, undefined);
  assert.equal(verifier.check({ ...REQUEST, ...silent }, header).mac, mac);
  const answer = { status: 200, ...silent, from: "b", ring: "ring" };
  const { vouch: none, ...seal } = verifier.signAnswer(mac, answer, DIGEST);
  assert.equal(none, undefined);
  signer.checkAnswer(mac, answer, DIGEST, { ...seal, vouch: undefined });
});
