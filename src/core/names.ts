/**
 * Names of buckets, keys and registers.
 *
 * A register's name is `bucket NUL key`: since NUL sorts before every other byte, the names of all registers, compared
 * as UTF-8 bytes, are in order of bucket and then of key, and one scan serves both listings. Names that are not
 * objects' begin with `_`, which no bucket can.
 */

export type Name = string;

export const KEY_BYTES_MAX = 1024;
/** Of documents that the ring keeps for itself: no client can name it, and no listing shows it. */
export const RING_BUCKET = "_";
/** Paths that belong to the node itself. */
const RESERVED = new Set(["livez", "readyz", "metrics"]);
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const USUAL_BUCKET = /^[a-z][a-z0-9-]{1,61}[a-z0-9]$/;
const IP_ADDRESS = /^\d{1,3}(\.\d{1,3}){3}$/;

/** Why a bucket's name will not do, or undefined when it will. Rules as in S3. */
export function bucketProblem(bucket: string): string | undefined {
  // As nearly all of them: nothing else can be wrong with it.
  if (USUAL_BUCKET.test(bucket) && !RESERVED.has(bucket)) return undefined;
  if (RESERVED.has(bucket)) return `${JSON.stringify(bucket)} belongs to the node itself`;
  if (!BUCKET.test(bucket)) {
    return `wanted 3 to 63 of a-z 0-9 . - with a letter or digit first and last, got ${quote(bucket)}`;
  }
  if (bucket.includes("..")) return `wanted no two dots in a row, got ${quote(bucket)}`;
  if (IP_ADDRESS.test(bucket)) return `wanted a name that is not like an IP address, got ${quote(bucket)}`;
  return undefined;
}

/** Why a key, already percent-decoded, will not do. */
export function keyProblem(key: string): string | undefined {
  if (key === "") return "wanted a key of 1 byte or more, got an empty one";
  // A JavaScript string is at most three UTF-8 bytes per unit: short ones need no count.
  if (key.length * 3 > KEY_BYTES_MAX) {
    const bytes = utf8Length(key);
    if (bytes > KEY_BYTES_MAX) return `wanted a key of at most ${KEY_BYTES_MAX} bytes of UTF-8, got ${bytes}`;
  }
  return undefined;
}

export function objectName(bucket: string, key: string): Name {
  return `${bucket}\0${key}`;
}

export function splitName(name: Name): { bucket: string; key: string } {
  const at = name.indexOf("\0");
  return { bucket: name.slice(0, at), key: name.slice(at + 1) };
}

/** As a request's target: slashes stay, all else that needs it is escaped. Throws for broken Unicode. */
export function objectPath(bucket: string, key: string): string {
  return `/${bucket}/${key.split("/").map(encodeURIComponent).join("/")}`;
}

/** Percent-decodes once and strictly; undefined for a broken escape or broken UTF-8. */
export function decodeOnce(text: string): string | undefined {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined; // URIError: the one thing decodeURIComponent throws
  }
}

/** Order of the UTF-8 bytes, which is the order of code points: UTF-16 units differ from it only above U+D7FF. */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** Surrogates stand for code points above all of the basic plane. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

export function utf8Length(text: string): number {
  let bytes = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) bytes += 1;
    else if (unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff)) bytes += 2; // half of a pair's four
    else bytes += 3;
  }
  return bytes;
}

function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

/** A stretch of names in order of their UTF-8 bytes. */
export interface ScanRange {
  /** Only names that begin with it. */
  readonly prefix: Name;
  /** Only names greater than this; "" for all. */
  readonly after: Name;
  /** Names that begin with this are passed over too: for leaping past a common prefix. */
  readonly afterPrefix?: Name;
  readonly limit: number;
}
