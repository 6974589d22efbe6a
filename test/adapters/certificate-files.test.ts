import assert from "node:assert/strict";
import { test } from "node:test";
import { openCertificateFiles } from "../../src/adapters/certificate-files.ts";
import { createClock } from "../../src/adapters/clock.ts";
import { makeCertificate, makeExpiredCertificate } from "../helpers/certificates.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

test("a certificate that has expired is used and told of, one that is good is not", async () => {
  using directory = temporaryDirectory();
  const authority = await makeCertificate(directory.path, "authority");
  const expired = await makeExpiredCertificate(directory.path, "expired", authority);
  const told: string[] = [];
  const tell = (message: string, fields: object = {}) =>
    void told.push(`${message} ${JSON.stringify(fields)}`);
  // Nobody looks again: this is about the first look.
  const deps = {
    clock: { ...createClock(), after: () => () => {} },
    log: { info: tell, warn: tell, error: tell },
  };
  await openCertificateFiles({ ...authority, ...deps });
  assert.deepEqual(told, []);
  const { expiresMs } = await openCertificateFiles({ ...expired, ...deps });
  assert.equal(expiresMs, Date.UTC(2020, 1, 1));
  assert.equal(told.length, 1);
  assert.match(told[0]!, /^the certificate has expired .*expired\.pem.*2020-02-01T00:00:00/);
});
