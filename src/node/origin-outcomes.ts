/** What is asked of buckets with an origin, and what comes of it. */
import type { BucketSettings, OriginSettings } from "../core/bucket-settings.ts";
import type { RequestDirectives, StoredPolicy } from "../core/freshness.ts";
import type { CopyNotes, Fields } from "../core/origin-answer.ts";
import type { Copy } from "./origin-copies.ts";
import type { Pull, Reader } from "./origin-pull.ts";
import type { Told } from "./origin-questions.ts";

/** The settings of a bucket that has an origin. */
export type OriginBucket = BucketSettings & { readonly origin: OriginSettings };

export interface OriginRead {
  readonly bucket: string;
  readonly key: string;
  readonly method: "GET" | "HEAD";
  readonly header: (name: string) => string | undefined;
  readonly directives: RequestDirectives;
  readonly trace?: string | undefined;
}

/** A request with what it means for the origin. */
export interface OriginWant extends OriginRead {
  readonly settings: OriginBucket;
  readonly url: string;
  /** What the origin is shown of the request. */
  readonly fields: Fields;
  /** Another's answer is being stored: this one's is not. */
  readonly isBeside?: boolean;
}

/** How an answer came about: without asking; asked, and still the same; asked, and new; or no other was to be had. */
export type How = "hit" | "revalidated" | "fetched" | "stale-if-error";

export interface FromCopy {
  readonly kind: "copy";
  readonly copy: Copy;
  readonly how: How;
  readonly ageMs: number;
  /** Of freshness left, negative when stale. */
  readonly ttlSeconds: number;
  readonly collapsed?: boolean;
}

export interface FromOrigin {
  readonly kind: "stream";
  readonly status: number;
  readonly headers: Fields;
  readonly dateMs: number;
  readonly ageMs: number;
  /** Undefined where the origin did not say. */
  readonly sizeBytes: number | undefined;
  /** To be read, or left. */
  readonly reader: Reader;
  readonly stored: boolean;
  readonly collapsed?: boolean;
  /** An older one was here. */
  readonly wasHeld: boolean;
}

export type OriginOutcome = FromCopy | FromOrigin | { readonly kind: "not-cached" } | {
  readonly kind: "absent";
};

/** An answer that is being stored. */
export interface Pulling {
  readonly kind: "pull";
  readonly pull: Pull;
  readonly told: Told;
  readonly notes: CopyNotes;
  readonly policy: StoredPolicy;
  readonly wasHeld: boolean;
  readonly isPrimary: boolean;
}

/** What whoever came first found, for all who wait. */
export type Flight =
  | FromCopy
  | Pulling
  /** For whoever asked, and nobody else. */
  | { readonly kind: "alone"; readonly stream: FromOrigin };

export function streamOf(told: Told, reader: Reader, stored: boolean, wasHeld: boolean): FromOrigin {
  const { headers, sizeBytes, notes: { status, dateMs, ageMs } } = told;
  return { kind: "stream", status, headers, dateMs, ageMs, sizeBytes, reader, stored, wasHeld };
}

/** Whether it may have what comes for another request: not where it wants to know for itself, or wants nothing to come. */
export function mayShare(read: OriginRead): boolean {
  const { noCache, maxAgeSeconds, onlyIfCached } = read.directives;
  return read.method === "GET" && !noCache && maxAgeSeconds !== 0 && !onlyIfCached && !isNoStore(read);
}

/** Nothing of the request or its answer may be kept. */
export function isNoStore({ header }: OriginRead): boolean {
  return /(^|[,\s])no-store([,\s]|$)/i.test(header("cache-control") ?? "");
}
