/** What every Hashing must do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Hashing } from "../../src/ports.ts";

const text = (value: string) => new TextEncoder().encode(value);
/** NIST's examples for SHA-2 (FIPS 180-4), RFC 1321 appendix A.5 for MD5. */
const ABC = {
  sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  sha512: "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" +
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
  md5: "900150983cd24fb0d6963f7d28e17f72",
} as const;
const MILLION_A = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

export function hashingConformance(name: string, create: () => Hashing): void {
  test(`${name} gives the digests of the standards`, () => {
    const hashing = create();
    assert.equal(hashing.sha256(text("abc")), ABC.sha256);
    for (const algorithm of ["sha256", "sha512", "md5"] as const) {
      const running = hashing.running(algorithm);
      for (const letter of "abc") running.update(text(letter));
      assert.equal(running.digestHex(), ABC[algorithm]);
    }
  });

  test(`${name} hashes large inputs`, () => {
    assert.equal(create().sha256(text("a".repeat(1_000_000))), MILLION_A);
  });

  test(`${name} hashes a view, not the buffer around it, and keeps running digests apart`, () => {
    const hashing = create();
    const pool = text("x".repeat(40_000) + "a".repeat(1_000_000) + "y".repeat(40_000));
    assert.equal(hashing.sha256(pool.subarray(40_000, 1_040_000)), MILLION_A);
    const [a, b] = [hashing.running("sha256"), hashing.running("sha256")];
    a.update(text("ab"));
    b.update(text("other"));
    a.update(text("c"));
    assert.equal(a.digestHex(), ABC.sha256);
    assert.equal(b.digestHex(), hashing.sha256(text("other")));
  });

  for (const isShared of [false, true]) {
    const memory = isShared ? "shared memory" : "memory of one's own";
    test(`${name} digests pieces in ${memory}, and the whole of them`, async () => {
      const pieces = create().pieces(["sha256", "sha512", "md5"]);
      try {
        const buffer = isShared ? new SharedArrayBuffer(9) : new ArrayBuffer(9);
        const bytes = new Uint8Array(buffer);
        bytes.set(text("xabcabcxx"));
        // Not one after another: the order of the calls is what counts.
        const [first, second] = [pieces.add(bytes.subarray(1, 3)), pieces.add(bytes.subarray(3, 4))];
        const digests = create();
        assert.deepEqual(await Promise.all([first, second]), [
          digests.sha256(text("ab")),
          digests.sha256(text("c")),
        ]);
        assert.deepEqual(Object.fromEntries(await pieces.whole()), ABC);
      } finally {
        pieces.close();
      }
    });
  }

  test(`${name} keeps the pieces of several wholes apart, and digests none at all`, async () => {
    const hashing = create();
    const wholes = ["a", "b", ""].map((letter) => ({ letter, pieces: hashing.pieces(["sha256"]) }));
    for (let n = 0; n < 3; n++) {
      for (const { letter, pieces } of wholes) if (letter) void pieces.add(text(letter));
    }
    for (const { letter, pieces } of wholes) {
      assert.equal((await pieces.whole()).get("sha256"), hashing.sha256(text(letter.repeat(3))));
      pieces.close();
    }
  });
}
