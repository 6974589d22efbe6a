/** Keys for tests, and credentials made of them by hand, as somebody would who has only read the documentation. */
import { createHmac } from "node:crypto";

export interface TestKey {
  readonly id: string;
  readonly secret: string;
}

/** One for each kind of grant; as ATOLL_KEYS has them. */
export const KEYS = {
  admin: {
    id: "root",
    secret: "admin-secret-0123456789abcdef",
    grants: [{ actions: ["read", "write", "delete", "list", "admin"] }],
  },
  reader: {
    id: "reader",
    secret: "reader-secret-0123456789abcdef",
    grants: [{ actions: ["read", "list"], bucket: "docs" }],
  },
  /** Writes and deletes below a prefix what it may not read. */
  dropper: {
    id: "dropper",
    secret: "dropper-secret-0123456789abcdef",
    grants: [{ actions: ["write", "delete"], bucket: "docs", prefix: "in/" }],
  },
} as const;

/** Of nodes, not of clients. */
export const CLUSTER_SECRET = "the-secret-of-the-ring-itself";

export function bearer({ id, secret }: TestKey): string {
  return `Bearer ${id}.${secret}`;
}

export function basic({ id, secret }: TestKey): string {
  return `Basic ${Buffer.from(`${id}:${secret}`).toString("base64")}`;
}

export interface Signing {
  readonly method?: string;
  /** Of what is signed; default: the path that it is put behind. */
  readonly signedPath?: string;
  /** Seconds since the epoch; default: in a minute. */
  readonly expires?: number;
  readonly maxBytes?: number;
  readonly contentType?: string;
}

/** A target with its signature. */
export function presigned({ id, secret }: TestKey, path: string, signing: Signing = {}): string {
  const { method = "GET", signedPath = path, maxBytes, contentType } = signing;
  const expires = signing.expires ?? Math.floor(Date.now() / 1000) + 60;
  const key = createHmac("sha256", secret).update("atoll-signing-v1").digest("hex");
  const text = ["atoll-presign-v1", method, signedPath, id, expires, maxBytes ?? "-", contentType ?? "-"]
    .join("\n");
  const signature = createHmac("sha256", key).update(text).digest("hex");
  return `${path}?atoll-key=${id}&atoll-expires=${expires}` +
    (maxBytes === undefined ? "" : `&atoll-max-bytes=${maxBytes}`) +
    (contentType === undefined ? "" : `&atoll-content-type=${encodeURIComponent(contentType)}`) +
    `&atoll-signature=${signature}`;
}
