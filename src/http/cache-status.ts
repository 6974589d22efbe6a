/** `Cache-Status` (RFC 9211): how an answer came to be. */

export type CacheOutcome =
  /** Used without asking. `ttlSeconds`: of freshness left; negative when stale. `tier`: where the bytes lay, if any went. */
  | { readonly kind: "hit"; readonly ttlSeconds: number; readonly tier?: string | undefined }
  /** The bytes were here; which version is current was asked. `forced`: because the request would have it so. */
  | { readonly kind: "asked"; readonly forced?: boolean | undefined; readonly tier?: string | undefined }
  /** Bytes were fetched. `collapsed`: by a request that was under way; `detail`: what from where. */
  | {
    readonly kind: "fetched";
    readonly detail: string;
    readonly stored?: boolean | undefined;
    readonly collapsed?: boolean | undefined;
  };

/** What came of asking a bucket's origin. */
export interface OriginForward {
  /** Why it was asked. */
  readonly fwd: "uri-miss" | "stale" | "request";
  readonly status: number;
  readonly stored?: boolean | undefined;
  readonly collapsed?: boolean | undefined;
}

/** One member of the list; `cache` names this deployment's cache, and is a token. */
export function cacheStatus(cache: string, outcome: CacheOutcome): string {
  switch (outcome.kind) {
    case "hit":
      return `${cache}; hit; ttl=${Math.trunc(outcome.ttlSeconds)}${tierText(outcome.tier)}`;
    case "asked":
      // Section 2.2: "request" where a fresh answer was here and the request's semantics did not allow its use.
      return `${cache}; fwd=${outcome.forced ? "request" : "stale"}; fwd-status=304${tierText(outcome.tier)}`;
    case "fetched": {
      const { detail, stored, collapsed } = outcome;
      return `${cache}; fwd=uri-miss${stored ? "; stored" : ""}${collapsed ? "; collapsed" : ""}; ` +
        `detail=${structuredString(detail)}`;
    }
  }
}

export function originStatus(cache: string, { fwd, status, stored, collapsed }: OriginForward): string {
  return `${cache}; fwd=${fwd}; fwd-status=${status}${stored ? "; stored" : ""}${
    collapsed ? "; collapsed" : ""
  }; ` +
    "detail=origin";
}

function tierText(tier: string | undefined): string {
  return tier === undefined ? "" : `; detail=${tier}`;
}

/** RFC 9651 section 3.3.3: printable ASCII only; anything else would make the whole field unreadable. */
export function structuredString(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, "?").replace(/["\\]/g, "\\$&")}"`;
}
