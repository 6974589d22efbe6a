/** What may be set of a bucket. All of it is optional: a bucket that nobody set anything of has none. */

export interface BucketSettings {
  /** Anybody may read. */
  readonly public?: "read" | undefined;
  /** `Cache-Control` of objects that come without one, and without `Expires`. */
  readonly cacheControl?: string | undefined;
  /** Seconds that objects live which come without a time to live. */
  readonly ttl?: number | undefined;
  readonly origin?: OriginSettings | undefined;
  /** Its objects are pages for browsers. */
  readonly website?: boolean | undefined;
  readonly cors?: readonly CorsRule[] | undefined;
  readonly quota?: { readonly bytes?: number | undefined; readonly objects?: number | undefined } | undefined;
}

/** Where objects come from that are not here. */
export interface OriginSettings {
  /** A key is put behind it, after a slash. */
  readonly url: string;
  /** Request headers, in lower case, that are passed on besides the usual ones. */
  readonly forward?: readonly string[] | undefined;
  /** Of an origin that answers with one: `follow` (the default) it, or `pass` it on. */
  readonly redirects?: "follow" | "pass" | undefined;
  /** Seconds until the first byte of an answer, and between any two. */
  readonly timeoutSeconds?: number | undefined;
  /** Larger ones are passed on and not stored. */
  readonly maxBytes?: number | undefined;
}

/** As the Fetch standard has them; `*` in `origins`, `methods` and `headers` stands for any. */
export interface CorsRule {
  readonly origins: readonly string[];
  readonly methods: readonly string[];
  /** That a request may carry. */
  readonly headers?: readonly string[] | undefined;
  /** That a script may read of the answer. */
  readonly expose?: readonly string[] | undefined;
  readonly maxAgeSeconds?: number | undefined;
}

export const NO_SETTINGS: BucketSettings = {};

/** RFC 9110 section 7.6.1 and what older clients send. */
export const HOP_BY_HOP = [
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];
/** Written by whoever speaks to an origin, or what the client asks of this node: never a client's to pass through. */
const NEVER_FORWARDED = new Set([
  ...HOP_BY_HOP,
  "cache-control",
  "cdn-loop",
  "content-length",
  "expect",
  "host",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "proxy-authorization",
  "range",
  "via",
]);

export function mayBeForwarded(header: string): boolean {
  return !NEVER_FORWARDED.has(header);
}
