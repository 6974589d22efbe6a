/** Certificates for tests, by openssl: neither runtime can make any itself. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface CertificateFilesMade {
  readonly certFile: string;
  readonly keyFile: string;
}

/** For localhost, 127.0.0.1 and the name; by its own word, or by an authority's. */
export async function makeCertificate(
  directory: string,
  name: string,
  authority?: CertificateFilesMade,
): Promise<CertificateFilesMade> {
  const certFile = join(directory, `${name}.pem`);
  const keyFile = join(directory, `${name}.key`);
  // Who was made by an authority must not be one; Deno refuses a server that is.
  const issuer = authority
    ? [
      "-CA",
      authority.certFile,
      "-CAkey",
      authority.keyFile,
      "-addext",
      "basicConstraints=critical,CA:FALSE",
    ]
    : [];
  const args = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "2",
  ];
  const names = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:localhost,DNS:${name},IP:127.0.0.1`];
  await run("openssl", [...args, "-keyout", keyFile, "-out", certFile, ...names, ...issuer]);
  return { certFile, keyFile };
}
