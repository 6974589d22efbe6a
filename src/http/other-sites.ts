/**
 * Requests that some web site made a browser send: they come with all that the browser is let in by, which is where it is
 * (on the machine, in a network) and what password it was told. Browsers say where requests come from; other clients have no
 * such headers, and nothing to do with it.
 */
import type { ConnectionEnv } from "./answer.ts";
import type { PublicRequest } from "./request.ts";

interface Sent {
  readonly env: ConnectionEnv;
  /** Of a request that came over no socket. */
  readonly raw: Request | undefined;
  readonly request: PublicRequest;
}

/** RFC 9110 section 9.2.1. What they answer another site cannot read, unless CORS lets it. */
const CHANGES_NOTHING = new Set(["GET", "HEAD", "OPTIONS"]);
const LOOPBACK = /^(?:(?:.+\.)?localhost\.?|127(?:\.\d{1,3}){1,3}|\[::1\])$/i;

/**
 * Whether it may change something and comes from a page of another origin than this node. Fetch Metadata (`Sec-Fetch-Site`)
 * says so; browsers have it for what is encrypted or on loopback only, and `Origin` for all that is no GET. `publicUrl`:
 * how browsers reach the node where a proxy tells it of another host.
 */
export function isFromOtherSite({ env, raw, request }: Sent, publicUrl: () => string): boolean {
  if (CHANGES_NOTHING.has(request.method)) return false;
  const site = request.header("sec-fetch-site");
  if (site !== undefined) return site !== "same-origin" && site !== "none";
  const origin = request.header("origin");
  if (origin === undefined) return false;
  if (origin === URL.parse(publicUrl())?.origin) return false;
  const host = hostOf({ env, raw, request })?.toLowerCase();
  if (host === undefined) return true;
  // In front of a node that speaks no TLS there may be a proxy that does.
  return origin !== `https://${host}` && (isEncrypted(env) || origin !== `http://${host}`);
}

/**
 * Whether a request's host is a name that nobody else's DNS can have: of this machine, or the node's own. A site whose name
 * suddenly means 127.0.0.1 is the same origin as the node to a browser (DNS rebinding). No browser leaves it out.
 */
export function isToOwnName(host: string | undefined, publicUrl: () => string): boolean {
  if (host === undefined) return true;
  const name = host.replace(/:\d*$/, "");
  return LOOPBACK.test(name) || name.toLowerCase() === URL.parse(publicUrl())?.hostname;
}

/** As it was sent; undefined for a client of HTTP/1.0 that did not say. */
export function hostOf({ env, raw, request }: Sent): string | undefined {
  if (!env.incoming) return raw && new URL(raw.url).host;
  return request.header("host") ?? request.header(":authority");
}

function isEncrypted({ incoming }: ConnectionEnv): boolean {
  return (incoming?.socket as { encrypted?: boolean } | undefined)?.encrypted === true;
}
