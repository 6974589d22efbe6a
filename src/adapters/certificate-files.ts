/** A certificate and its key in files, which whoever renews them replaces while the node runs. */
import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { AtollError, messageOf } from "../errors.ts";
import type { Clock, Log } from "../ports.ts";

/** PEM, each; `cert` with those that lead to a known authority. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  /** Whose certificates the other end must have. */
  readonly ca?: string | undefined;
}

export interface CertificateFiles {
  readonly current: Certificate;
  /** When it expires; ms since the epoch. */
  readonly expiresMs: number;
  /** Called whenever the files hold another one. */
  onChange(run: (certificate: Certificate) => void): void;
}

interface Options {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile?: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * By reading them, not by watching: what renews certificates replaces files by renaming or by turning a link, of which a
 * watcher hears in as many ways as there are systems.
 */
const LOOK_MS = 5_000;

/** Rejects with `config` when they cannot be used. What comes later and cannot is logged, and the last good one goes on. */
export async function openCertificateFiles(options: Options): Promise<CertificateFiles> {
  const { clock, log } = options;
  const listeners: ((certificate: Certificate) => void)[] = [];
  let current: Read;
  try {
    current = await read(options);
  } catch (error) {
    throw new AtollError("config", `the certificate cannot be used: ${messageOf(error)}`, { cause: error });
  }
  const warnIfExpired = ({ expiresMs }: Read): void => {
    // It is used all the same: who set it may know, and others are told when they refuse it.
    if (expiresMs > clock.wallMs()) return;
    log.warn("the certificate has expired", {
      file: options.certFile,
      expired: new Date(expiresMs).toISOString(),
    });
  };
  warnIfExpired(current);
  let toldOf = "";
  const look = async (): Promise<void> => {
    try {
      const found = await read(options);
      toldOf = "";
      if (isSame(found.certificate, current.certificate)) return;
      current = found;
      for (const listener of listeners) listener(found.certificate);
      log.info("another certificate is in use", {
        file: options.certFile,
        expires: new Date(found.expiresMs).toISOString(),
      });
      warnIfExpired(found);
    } catch (error) {
      const reason = messageOf(error);
      // Between the two files being replaced they do not fit together: that is over at the next look.
      if (reason !== toldOf) log.warn("a new certificate cannot be used; the last one goes on", { reason });
      toldOf = reason;
    }
  };
  const lookAgain = (): void => {
    clock.after(LOOK_MS, () => void look().then(lookAgain));
  };
  lookAgain();
  return {
    get current() {
      return current.certificate;
    },
    get expiresMs() {
      return current.expiresMs;
    },
    onChange: (run) => void listeners.push(run),
  };
}

interface Read {
  readonly certificate: Certificate;
  readonly expiresMs: number;
}

async function read({ certFile, keyFile, caFile }: Options): Promise<Read> {
  const [cert, key, ca] = await Promise.all([
    readFile(certFile, "utf8"),
    readFile(keyFile, "utf8"),
    caFile === undefined ? undefined : readFile(caFile, "utf8"),
  ]);
  const parsed = parse(certFile, () => new X509Certificate(cert));
  const privateKey = parse(keyFile, () => createPrivateKey(key));
  if (ca !== undefined) parse(caFile!, () => new X509Certificate(ca));
  if (!spki(parsed.publicKey).equals(spki(createPublicKey(privateKey)))) {
    throw new Error(`wanted in ${keyFile} the key of the certificate in ${certFile}, got another`);
  }
  return { certificate: { cert, key, ca }, expiresMs: Date.parse(parsed.validTo) };
}

function parse<T>(file: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw new Error(`wanted PEM in ${file}, got something else: ${messageOf(error)}`, { cause: error });
  }
}

function spki(key: KeyObject) {
  return key.export({ type: "spki", format: "der" });
}

function isSame(a: Certificate, b: Certificate): boolean {
  return a.cert === b.cert && a.key === b.key && a.ca === b.ca;
}
