/** Certificates, as the settings name them. */
import { z } from "zod";

export interface TlsSettings {
  readonly certFile: string;
  readonly keyFile: string;
}

const file = { schema: z.string(), default: undefined };

export const TLS_VARIABLES = {
  ATOLL_TLS_CERT: {
    ...file,
    meaning: "file with the public listener's certificate chain (PEM): TLS, and HTTP/2 beside HTTP/1.1",
  },
  ATOLL_TLS_KEY: {
    ...file,
    meaning: "file with the key of that certificate; both are read again when they change",
  },
} as const;

/** Undefined: no TLS. */
export function tlsSettings(
  v: { ATOLL_TLS_CERT?: string | undefined; ATOLL_TLS_KEY?: string | undefined },
): TlsSettings | undefined {
  const { ATOLL_TLS_CERT: certFile, ATOLL_TLS_KEY: keyFile } = v;
  return certFile === undefined || keyFile === undefined ? undefined : { certFile, keyFile };
}

export function tlsProblems(
  v: { ATOLL_TLS_CERT?: string | undefined; ATOLL_TLS_KEY?: string | undefined },
): string[] {
  if ((v.ATOLL_TLS_CERT === undefined) === (v.ATOLL_TLS_KEY === undefined)) return [];
  const [missing, given] = v.ATOLL_TLS_CERT === undefined
    ? ["ATOLL_TLS_CERT", "ATOLL_TLS_KEY"]
    : ["ATOLL_TLS_KEY", "ATOLL_TLS_CERT"];
  return [`${missing}: wanted a file, as ${given} is set, got none`];
}
