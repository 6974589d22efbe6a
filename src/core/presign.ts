/**
 * Presigned URLs: leave to do one thing to one object until a time, for whoever has the URL.
 *
 * `?atoll-key=ID&atoll-expires=SECONDS[&atoll-max-bytes=N][&atoll-content-type=T]&atoll-signature=HEX`, where the signature
 * is HMAC-SHA-256 under the key's signing key (see node/keys.ts) over the lines of `presignedText`. Not signed are the host,
 * as every node of the ring stands for the others, and what the object is: within its time it may be used again.
 */
import { decodeOnce } from "./names.ts";

export const PRESIGN_SECONDS_MAX = 7 * 86_400;
const VERSION = "atoll-presign-v1";
/** Of what a signing key is derived from its secret by. */
export const SIGNING_LABEL = "atoll-signing-v1";
export const PRESIGNED_METHODS = ["GET", "PUT", "DELETE"] as const;
export type PresignedMethod = (typeof PRESIGNED_METHODS)[number];
/** Of an object, what each is for. */
export const PRESIGNED_ACTION = { GET: "read", PUT: "write", DELETE: "delete" } as const;

export interface Presigned {
  readonly keyId: string;
  /** Seconds since the epoch; from then on it is refused. */
  readonly expires: number;
  /** Of a PUT: a larger body is refused. */
  readonly maxBytes?: number | undefined;
  /** Of a PUT: it must say exactly this type. */
  readonly contentType?: string | undefined;
}

/** In the order in which they stand in the text. */
const NAMES = ["atoll-key", "atoll-expires", "atoll-max-bytes", "atoll-content-type", "atoll-signature"];
const SIGNATURE = /^[0-9a-f]{64}$/;
const NUMBER = /^(0|[1-9]\d{0,15})$/;
/** Visible ASCII and spaces within: no line break can be slipped into the text. */
const CONTENT_TYPE = /^[\x21-\x7e]([\x20-\x7e]{0,198}[\x21-\x7e])?$/;

/** GET covers HEAD; undefined for a method that nothing can be signed for. */
export function presignedMethod(method: string): PresignedMethod | undefined {
  return method === "HEAD" ? "GET" : PRESIGNED_METHODS.find((known) => known === method);
}

/** `path`: as it is sent, escapes and all. */
export function presignedText(method: PresignedMethod, path: string, presigned: Presigned): string {
  const { keyId, expires, maxBytes, contentType } = presigned;
  return [VERSION, method, path, keyId, expires, maxBytes ?? "-", contentType ?? "-"].join("\n");
}

export function presignedQuery(presigned: Presigned, signature: string): string {
  const { keyId, expires, maxBytes, contentType } = presigned;
  const values = [keyId, String(expires), maxBytes?.toString(), contentType, signature];
  return NAMES.flatMap((name, i) =>
    values[i] === undefined ? [] : [`${name}=${encodeURIComponent(values[i])}`]
  )
    .join("&");
}

/**
 * Whether somebody means it to be one, well-formed or not. `atoll-sent` is none of its parameters: a redirect to a replica
 * adds it (see http/sending-on.ts), and readers of a public bucket come with nothing else.
 */
export function isPresigned(query: string): boolean {
  return query !== "" && /(^|&)atoll-(?!sent=)/i.test(query);
}

/** Undefined unless each parameter is a known one, stands there once and says what it should. */
export function parsePresigned(
  method: PresignedMethod,
  query: string,
): { readonly presigned: Presigned; readonly signature: string } | undefined {
  const given = new Map<string, string>();
  for (const pair of query.split("&")) {
    const equals = pair.indexOf("=");
    const name = pair.slice(0, Math.max(0, equals));
    const value = decodeOnce(pair.slice(equals + 1));
    // What else stands there would be acted upon and was not signed.
    if (!NAMES.includes(name) || given.has(name) || value === undefined) return undefined;
    given.set(name, value);
  }
  const [keyId, expires, maxBytes, contentType, signature] = NAMES.map((name) => given.get(name));
  if (keyId === undefined || expires === undefined || signature === undefined) return undefined;
  if (!NUMBER.test(expires) || !SIGNATURE.test(signature)) return undefined;
  const presigned = {
    keyId,
    expires: Number(expires),
    maxBytes: maxBytes === undefined ? undefined : Number(maxBytes),
    contentType,
  };
  if (maxBytes !== undefined && !NUMBER.test(maxBytes)) return undefined;
  return presignProblem(method, presigned) === undefined ? { presigned, signature } : undefined;
}

/** What of it cannot be signed, whatever the time is. */
export function presignProblem(method: PresignedMethod, presigned: Presigned): string | undefined {
  const { expires, maxBytes, contentType } = presigned;
  // Or it would look like a limit where there is none.
  if (method !== "PUT" && (maxBytes !== undefined || contentType !== undefined)) {
    return `wanted a limit of bytes and a content type for PUT only, got ${method}`;
  }
  if (!Number.isSafeInteger(expires) || expires < 0) return "wanted an expiry in seconds since the epoch";
  if (maxBytes !== undefined && (!Number.isSafeInteger(maxBytes) || maxBytes < 0)) {
    return "wanted a number of bytes";
  }
  if (contentType !== undefined && !CONTENT_TYPE.test(contentType)) {
    return "wanted a content type of at most 200 visible ASCII characters";
  }
  return undefined;
}

/** Why it does not hold now, or undefined when it does. No clock's error is allowed for: the expiry is the last moment. */
export function timeProblem({ expires }: Presigned, nowMs: number): string | undefined {
  if (1000 * expires <= nowMs) return "wanted a presigned URL that has not expired";
  if (1000 * expires > nowMs + 1000 * PRESIGN_SECONDS_MAX) {
    return `wanted an expiry within ${PRESIGN_SECONDS_MAX} seconds from now`;
  }
  return undefined;
}
