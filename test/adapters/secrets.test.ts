import assert from "node:assert/strict";
import { test } from "node:test";
import { createSecrets } from "../../src/adapters/secrets.ts";

const secrets = createSecrets();

test("digests and codes are those of the standards", () => {
  assert.equal(secrets.digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  // RFC 4231 section 4.3.
  assert.equal(
    secrets.mac("Jefe", "what do ya want for nothing?"),
    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
  );
});

test("what is the same is the same, and nothing else", () => {
  const digest = secrets.digest("a");
  assert(secrets.isSame(digest, secrets.digest("a")));
  for (const other of [secrets.digest("b"), "", digest.slice(1), `${digest}0`, digest.toUpperCase()]) {
    assert(!secrets.isSame(digest, other));
  }
});
