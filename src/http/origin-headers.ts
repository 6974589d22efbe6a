/** An origin's headers as they are sent: what it has no say in is left out, and what a proxy has to say is added. */
import type { Fields } from "../core/origin-answer.ts";
import { formatHttpDate } from "./http-date.ts";
import { capitalised } from "./object-headers.ts";
import { storedHeaders } from "./protection.ts";

/** This cache's name in `Cache-Status` and `Via`. */
export const CACHE = "atoll";

const SPELT: ReadonlyMap<string, string> = new Map([["etag", "ETag"], [
  "www-authenticate",
  "WWW-Authenticate",
]]);
/** Who may read is for the bucket's rules to say; and what the proxies in front do or fetch, for nobody behind them. */
const NEVER_SENT =
  /^(?:access-control-|fly-replay|x-accel-|x-sendfile|x-lighttpd-send|x-litespeed-location|x-reproxy-)/;
/** These speak for all that is served under the name of the address, other buckets included. */
const OF_A_SITE = new Set([
  "alt-svc",
  "clear-site-data",
  "nel",
  "report-to",
  "service-worker-allowed",
  "strict-transport-security",
]);
const POLICY = "Content-Security-Policy";

/** The origin's own, and what a proxy adds (RFC 9110 sections 6.6.1 and 7.6.3). */
export function sentHeaders(
  headers: Fields,
  answer: { readonly status: number; readonly dateMs: number; readonly isWebsite: boolean },
): Record<string, string> {
  const { status, dateMs, isWebsite } = answer;
  const sent: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (NEVER_SENT.test(name) || (OF_A_SITE.has(name) && !isWebsite)) continue;
    sent[SPELT.get(name) ?? capitalised(name)] = value;
  }
  sent["Date"] ??= formatHttpDate(dateMs);
  sent["Via"] = joined(headers["via"], `1.1 ${CACHE}`);
  if (status === 200) sent["Accept-Ranges"] ??= "bytes";
  const { [POLICY]: sandbox } = storedHeaders(headers["content-type"]);
  // Of several policies each is enforced (CSP level 3, section 2.2), so that none of the origin's undoes ours.
  if (sandbox !== undefined && !isWebsite) sent[POLICY] = joined(sent[POLICY], sandbox);
  return sent;
}

/** Of the origin's 200, and so not of the part of its content that a 206 bears (RFC 9530 section 2, RFC 1864). */
export function withoutContentDigests(headers: Fields): Record<string, string> {
  const { "Content-Digest": _digest, "Content-Md5": _md5, ...others } = headers;
  return others;
}

export function joined(before: string | undefined, member: string): string {
  return before === undefined ? member : `${before}, ${member}`;
}
