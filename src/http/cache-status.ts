/** `Cache-Status` (RFC 9211): how an answer came to be. */

export type CacheOutcome =
  /** Used without asking. `ttlSeconds`: of freshness left; negative when stale. */
  | { readonly kind: "hit"; readonly ttlSeconds: number }
  /** The bytes were here; which version is current was asked. */
  | { readonly kind: "asked" }
  /** Bytes were fetched. `detail`: what from where. */
  | { readonly kind: "fetched"; readonly detail: string };

const TOKEN = /^[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*$/;

/** One member of the list; `cache` names this deployment's cache. */
export function cacheStatus(cache: string, outcome: CacheOutcome): string {
  const name = TOKEN.test(cache) ? cache : structuredString(cache);
  switch (outcome.kind) {
    case "hit":
      return `${name}; hit; ttl=${Math.trunc(outcome.ttlSeconds)}`;
    case "asked":
      return `${name}; fwd=stale; fwd-status=304`;
    case "fetched":
      return `${name}; fwd=uri-miss; detail=${structuredString(outcome.detail)}`;
  }
}

/** RFC 9651 section 3.3.3: printable ASCII only; anything else would make the whole field unreadable. */
export function structuredString(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, "?").replace(/["\\]/g, "\\$&")}"`;
}
