import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { parseDigestFields, reprDigest } from "../../src/http/digest-fields.ts";

const BYTES = Buffer.from('{"hello": "world"}\n');
const hash = (algorithm: string) => createHash(algorithm).update(BYTES).digest();
const SHA256 = hash("sha256");
const SHA512 = hash("sha512");
const MD5 = hash("md5");
const parse = (headers: Record<string, string>) => parseDigestFields((name) => headers[name]);
const sf = (key: string, digest: Buffer) => `${key}=:${digest.toString("base64")}:`;

test("parseDigestFields is none without fields, and with unknown algorithms only", () => {
  const table: Record<string, string>[] = [{}, { "content-digest": "" }, {
    "repr-digest": "md5=:AA==:, crc32c=:AAAA:",
  }];
  table.push({ "content-digest": "unknown=5" }, { "content-digest": "sha=?1, x;y=1" });
  for (const headers of table) assert.deepEqual(parse(headers), { kind: "none" }, JSON.stringify(headers));
});

test("parseDigestFields takes sha-256 and sha-512 from both fields, and Content-MD5", () => {
  assert.deepEqual(
    parse({
      "content-digest": `${sf("sha-256", SHA256)}, unixsum=:AAA=:`,
      "repr-digest": `${sf("sha-512", SHA512)};p=1 , ${sf("sha-256", SHA256)}`,
      "content-md5": MD5.toString("base64"),
    }),
    {
      kind: "wanted",
      digests: [
        { field: "Content-Digest", algorithm: "sha256", hex: SHA256.toString("hex") },
        { field: "Repr-Digest", algorithm: "sha512", hex: SHA512.toString("hex") },
        { field: "Repr-Digest", algorithm: "sha256", hex: SHA256.toString("hex") },
        { field: "Content-MD5", algorithm: "md5", hex: MD5.toString("hex") },
      ],
    },
  );
});

test("parseDigestFields reads RFC 9530's own example", () => {
  const field = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
  const result = parse({ "repr-digest": field });
  assert.ok(result.kind === "wanted");
  assert.equal(reprDigest(result.digests[0]!.hex), field);
});

test("parseDigestFields calls the rest malformed, and names the field", () => {
  const base64 = SHA256.toString("base64");
  const table = [
    `sha-256=${base64}`,
    `sha-256="${base64}"`,
    `sha-256=:${base64}`,
    `sha-256=:${base64.slice(0, -1)}:`, // no padding
    `sha-256=:${base64.slice(0, -2)}=:`, // a character short
    `sha-256=:${base64.slice(4)}:`,
    `sha-256=:${base64}AAAA:`,
    `sha-256=:${SHA512.toString("base64")}:`,
    `sha-512=:${base64}:`,
    `sha-256=:${base64.replace(/.=$/, "/=")}:`, // bits beyond the last byte
    `sha-256=:${base64.replace(/^./, "_")}:`, // base64url
    `sha-256=:${base64.slice(0, 20)} ${base64.slice(20)}:`,
    `sha-256=:${"=".repeat(44)}:`,
    "sha-256=::",
    "sha-256",
    "sha-256=?1",
    "sha-256=5",
    `SHA-256=:${base64}:`,
    `sha-256=:${base64}:,`,
    `sha-256=:${base64}: x`,
    `md5=:!:, sha-256=:${base64}:`,
    SHA256.toString("hex"),
    `"${"x".repeat(1000)}`,
  ];
  for (const text of table) {
    for (
      const [name, field] of [["content-digest", "Content-Digest"], ["repr-digest", "Repr-Digest"]] as const
    ) {
      const result = parse({ [name]: text });
      assert.ok(result.kind === "malformed", text);
      assert.ok(result.detail.startsWith(`${field}: wanted `) && result.detail.length < 300, result.detail);
    }
  }
  for (
    const text of ["", MD5.toString("hex"), `:${MD5.toString("base64")}:`, base64, MD5.toString("base64url")]
  ) {
    assert.equal(parse({ "content-md5": text }).kind, "malformed", text);
  }
});

test("parseDigestFields is malformed when one field is, however good the others are", () => {
  const good = sf("sha-256", SHA256);
  assert.equal(parse({ "content-digest": good, "repr-digest": "sha-256=:AAAA:" }).kind, "malformed");
  assert.equal(parse({ "content-digest": good, "content-md5": "AAAA" }).kind, "malformed");
});

test("base64 is read and written as Node's is, for digests of every kind", () => {
  const lengths = { "sha-256": 32, "sha-512": 64 } as const;
  for (let round = 0; round < 300; round++) {
    for (const [key, length] of Object.entries(lengths)) {
      const bytes = randomBytes(length);
      const result = parse({ "content-digest": sf(key, bytes) });
      assert.ok(result.kind === "wanted");
      assert.equal(result.digests[0]!.hex, bytes.toString("hex"));
    }
    const md5 = randomBytes(16);
    const result = parse({ "content-md5": md5.toString("base64") });
    assert.ok(result.kind === "wanted" && result.digests[0]!.hex === md5.toString("hex"));
  }
  const digest = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes));
  fc.assert(fc.property(digest, (bytes) => {
    assert.equal(reprDigest(bytes.toString("hex")), sf("sha-256", bytes));
  }));
});

test("reprDigest refuses what is not a SHA-256", () => {
  assert.throws(() => reprDigest("abcd"), /broken invariant/);
});
