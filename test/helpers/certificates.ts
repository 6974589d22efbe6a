/** Certificates for tests, by openssl: neither runtime can make any itself. */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
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

/** By an authority, and no longer good: `req` cannot make one, `ca` can. */
export async function makeExpiredCertificate(
  directory: string,
  name: string,
  authority: CertificateFilesMade,
): Promise<CertificateFilesMade> {
  const file = (ending: string) => join(directory, `${name}.${ending}`);
  const [certFile, keyFile, request, config, index, serial] = ["pem", "key", "csr", "cnf", "index", "serial"]
    .map(
      file,
    ) as [string, string, string, string, string, string];
  await writeFile(index, "");
  await writeFile(serial, "01\n");
  await writeFile(
    config,
    [
      "[ca]",
      "default_ca = own",
      "[own]",
      `database = ${index}`,
      `serial = ${serial}`,
      `new_certs_dir = ${directory}`,
      "default_md = sha256",
      "policy = any",
      "x509_extensions = leaf",
      "[any]",
      "commonName = supplied",
      "[leaf]",
      "basicConstraints = critical,CA:FALSE",
      "",
    ].join("\n"),
  );
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", keyFile];
  await run("openssl", ["req", "-new", ...key, "-subj", `/CN=${name}`, "-out", request]);
  const signed = [
    "-cert",
    authority.certFile,
    "-keyfile",
    authority.keyFile,
    "-in",
    request,
    "-out",
    certFile,
  ];
  const times = ["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"];
  await run("openssl", ["ca", "-batch", "-notext", "-config", config, ...times, ...signed]);
  return { certFile, keyFile };
}
