/** Certificates, as the settings name them. */
import { z } from "zod";

export interface TlsSettings {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile?: string | undefined;
}

const file = { schema: z.string(), default: undefined };

export const TLS_VARIABLES = {
  ATOLL_TLS_CERT: {
    ...file,
    meaning: "file with the public listener's certificate chain (PEM): TLS, and HTTP/2 beside HTTP/1.1",
  },
  ATOLL_TLS_KEY: {
    ...file,
    meaning: "file with its key; all of these files are read again when they change",
  },
  ATOLL_PEER_TLS_CERT: {
    ...file,
    meaning: "file with this node's certificate: mutual TLS between nodes, at all of them or at none",
  },
  ATOLL_PEER_TLS_KEY: { ...file, meaning: "file with its key" },
  ATOLL_PEER_TLS_CA: {
    ...file,
    meaning: "file with the ring's own authority, of which every node has a certificate",
  },
} as const;

type Values = { [K in keyof typeof TLS_VARIABLES]?: string | undefined };

/** Undefined: no TLS. */
export function tlsSettings(v: Values): { tls: TlsSettings | undefined; peerTls: TlsSettings | undefined } {
  return {
    tls: together({ certFile: v.ATOLL_TLS_CERT, keyFile: v.ATOLL_TLS_KEY }),
    peerTls: together({
      certFile: v.ATOLL_PEER_TLS_CERT,
      keyFile: v.ATOLL_PEER_TLS_KEY,
      caFile: v.ATOLL_PEER_TLS_CA,
    }),
  };
}

/** What is missing beside what is there. */
export function tlsProblems(v: Values): string[] {
  const groups: readonly (readonly (keyof Values)[])[] = [
    ["ATOLL_TLS_CERT", "ATOLL_TLS_KEY"],
    ["ATOLL_PEER_TLS_CERT", "ATOLL_PEER_TLS_KEY", "ATOLL_PEER_TLS_CA"],
  ];
  return groups.flatMap((group) => {
    const given = group.find((name) => v[name] !== undefined);
    if (given === undefined) return [];
    return group.filter((name) => v[name] === undefined)
      .map((name) => `${name}: wanted a file, as ${given} is set, got none`);
  });
}

function together(files: Record<string, string | undefined>): TlsSettings | undefined {
  return Object.values(files).includes(undefined) ? undefined : files as unknown as TlsSettings;
}
