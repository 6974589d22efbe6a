/**
 * Digests that a client sends along: `Content-Digest` and `Repr-Digest` (RFC 9530), `Content-MD5` (RFC 1864). For a
 * whole PUT all three speak of the same bytes: those of the message, content coding included.
 */
import { parseDictionary } from "../core/cache-control.ts";
import { assert } from "../errors.ts";
import type { DigestAlgorithm } from "../ports.ts";

export interface WantedDigest {
  /** The field it came in, for the error's detail. */
  readonly field: string;
  readonly algorithm: DigestAlgorithm;
  /** Lower case. */
  readonly hex: string;
}

export type DigestFields =
  | { readonly kind: "none" }
  | { readonly kind: "wanted"; readonly digests: readonly WantedDigest[] }
  | { readonly kind: "malformed"; readonly detail: string };

const NONE: DigestFields = { kind: "none" };
const DIGEST_BYTES: Readonly<Record<DigestAlgorithm, number>> = { sha256: 32, sha512: 64, md5: 16 };
/** Others are ignored, the insecure ones too (RFC 9530 section 5): a checksum that anyone can forge proves nothing. */
const ALGORITHMS = new Map<string, DigestAlgorithm>([["sha-256", "sha256"], ["sha-512", "sha512"]]);

/** `get`: a request's header by its lower-case name, lines joined by commas. */
export function parseDigestFields(get: (name: string) => string | undefined): DigestFields {
  const contentDigest = get("content-digest");
  const reprDigest = get("repr-digest");
  const contentMd5 = get("content-md5");
  if (!contentDigest && !reprDigest && contentMd5 === undefined) return NONE;
  const digests: WantedDigest[] = [];
  const problem = readDictionary("Content-Digest", contentDigest, digests) ??
    readDictionary("Repr-Digest", reprDigest, digests) ??
    readMd5(contentMd5, digests);
  if (problem !== undefined) return { kind: "malformed", detail: problem };
  return digests.length === 0 ? NONE : { kind: "wanted", digests };
}

/** `Repr-Digest` of a SHA-256 in hex. */
export function reprDigest(hex: string): string {
  assert(hex.length === 64, "a SHA-256 in hex has 64 digits");
  return `sha-256=:${hexToBase64(hex)}:`;
}

function readDictionary(field: string, text: string | undefined, into: WantedDigest[]): string | undefined {
  const members = parseDictionary(text ?? "");
  if (!members) return `${field}: wanted a dictionary such as sha-256=:…:, got ${show(text ?? "")}`;
  for (const [key, value] of members) {
    const algorithm = ALGORITHMS.get(key);
    if (!algorithm) continue;
    const hex = value.kind === "bytes" ? base64ToHex(value.base64) : undefined;
    if (hex?.length !== DIGEST_BYTES[algorithm] * 2) {
      return `${field}: wanted ${DIGEST_BYTES[algorithm]} bytes in base64 between colons for ${key}, got ${
        show(text ?? "")
      }`;
    }
    into.push({ field, algorithm, hex });
  }
  return undefined;
}

function readMd5(text: string | undefined, into: WantedDigest[]): string | undefined {
  if (text === undefined) return undefined;
  const hex = base64ToHex(text);
  if (hex?.length !== DIGEST_BYTES.md5 * 2) {
    return `Content-MD5: wanted 16 bytes in base64, got ${show(text)}`;
  }
  into.push({ field: "Content-MD5", algorithm: "md5", hex });
  return undefined;
}

function show(text: string): string {
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 120)}…` : text);
}

// --- Base64 of whole bytes, three hex digits (12 bits) to two characters ----------------------------------------------

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const PAIRS = Array.from({ length: 4096 }, (_, bits) => ALPHABET[bits >> 6]! + ALPHABET[bits & 63]!);
const PAIR_HEX = new Map(PAIRS.map((pair, bits) => [pair, bits.toString(16).padStart(3, "0")]));

function hexToBase64(hex: string): string {
  let text = "";
  const whole = hex.length - (hex.length % 3);
  for (let at = 0; at < whole; at += 3) {
    text += PAIRS[(nibble(hex, at) << 8) | (nibble(hex, at + 1) << 4) | nibble(hex, at + 2)]!;
  }
  const rest = hex.length - whole;
  if (rest === 1) return `${text}${ALPHABET[nibble(hex, whole) << 2]!}=`;
  if (rest === 2) return `${text}${PAIRS[(nibble(hex, whole) << 8) | (nibble(hex, whole + 1) << 4)]!}==`;
  return text;
}

function nibble(hex: string, at: number): number {
  const code = hex.charCodeAt(at);
  return code < 58 ? code - 48 : code - 87;
}

/** Undefined unless it is canonical: complete, padded, no stray bits. Else two spellings would be one digest. */
function base64ToHex(base64: string): string | undefined {
  if (base64.length % 4 !== 0) return undefined;
  const padding = base64.endsWith("==") ? 2 : base64.endsWith("=") ? 1 : 0;
  const padded = padding === 0 ? base64 : base64.slice(0, -padding) + (padding === 1 ? "A" : "");
  let hex = "";
  for (let at = 0; at < padded.length; at += 2) {
    const digits = PAIR_HEX.get(padded.slice(at, at + 2));
    if (digits === undefined) return undefined;
    hex += digits;
  }
  // One padding character stands for one byte less: of the last 24 bits 8 are not there, and must be zero.
  const surplus = padding === 0 ? 0 : padding === 1 ? 2 : 1;
  if (!hex.endsWith("0".repeat(surplus))) return undefined;
  return hex.slice(0, hex.length - surplus);
}
