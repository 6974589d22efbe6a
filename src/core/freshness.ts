/**
 * May a stored object be used without asking which version is current? As a shared cache (RFC 9111, RFC 5861), and only
 * by what the object or the request says: where neither speaks, the question is asked. An age counts from when the node
 * last knew the version current.
 *
 * `immutable` (RFC 8246) needs no code: while fresh nothing is asked anyway, and a request that insists is to be obeyed.
 */
import {
  type Directives,
  parseDeltaSeconds,
  parseDictionary,
  parseDirectives,
  parseHttpDateMs,
} from "./cache-control.ts";

/** What an object's headers allow; computed once per version and kept beside it. */
export interface StoredPolicy {
  /** Seconds for which it may be used without asking; undefined: never, not even when nobody can be asked. */
  readonly freshSeconds: number | undefined;
  /** Ms of the wall clock at which `Expires` ends its freshness, where that is what it goes by; whoever asks when. */
  readonly expiresAtMs?: number | undefined;
  /** Once stale it must not be used unasked, whatever else is said (must-revalidate, and what implies it). */
  readonly mustRevalidate: boolean;
  readonly staleWhileRevalidateSeconds: number;
  readonly staleIfErrorSeconds: number;
  /** What `Cache-Control` has to say besides, for caches further out that have no explicit freshness to go by. */
  readonly added: "no-cache" | undefined;
}

/** What a request's `Cache-Control` asks for; absent fields ask nothing. */
export interface RequestDirectives {
  /** The answer must be known to be current, come what may. A field that cannot be read says so too. */
  readonly noCache: boolean;
  readonly onlyIfCached: boolean;
  readonly maxAgeSeconds?: number | undefined;
  readonly minFreshSeconds?: number | undefined;
  /** Infinity: any staleness will do. */
  readonly maxStaleSeconds?: number | undefined;
  readonly staleIfErrorSeconds?: number | undefined;
}

/** `ttlSeconds`: of freshness left, rounded down, as in RFC 9211's `ttl`. */
export type Use =
  | { readonly kind: "fresh"; readonly ttlSeconds: number }
  /** Answer at once and refresh behind it; also when it was the request that allowed staleness. */
  | { readonly kind: "stale-while-revalidate"; readonly ttlSeconds: number }
  | { readonly kind: "ask" }
  /** Asking is needed and forbidden: 504. */
  | { readonly kind: "only-if-cached-miss" };

export type UnreachableUse = { readonly kind: "use"; readonly ttlSeconds: number } | { readonly kind: "no" };

const ASK: Use = { kind: "ask" };
const MISS: Use = { kind: "only-if-cached-miss" };
const NO: UnreachableUse = { kind: "no" };
export const NOTHING_ASKED: RequestDirectives = { noCache: false, onlyIfCached: false };
/** For a field that cannot be read: the strictest that it may have said. */
const UNREADABLE: Directives = new Map([["no-store", [null]], ["no-cache", [null]]]);

/**
 * `headers`: the stored ones, names in lower case. `modifiedMs`: of the commit; an object's `Expires` minus that is its
 * lifetime, as it is minus `Date` for one fetched (RFC 9111 section 4.2.1).
 */
export function parsePolicy(headers: Readonly<Record<string, string>>, modifiedMs: number): StoredPolicy {
  const { cacheControl, targeted } = fieldsOf(headers);
  const directives = targeted ?? cacheControl;
  const until = headers["expires"] === undefined ? undefined : lifetimeUntil(headers["expires"], modifiedMs);
  const said = explicitSeconds(directives);
  const explicit = said ?? (targeted ? undefined : until?.seconds);
  // An unqualified reading of no-cache="field" and private="field" is the stricter one, and allowed (section 5.2.2.4).
  const never = directives.has("no-store") || directives.has("private") || directives.has("no-cache");
  const sayable = explicitSeconds(cacheControl) ?? until?.seconds;
  return {
    freshSeconds: never ? undefined : explicit,
    // Section 5.3: max-age and s-maxage go before it.
    expiresAtMs: never || targeted || said !== undefined ? undefined : until?.atMs,
    mustRevalidate: directives.has("must-revalidate") || directives.has("proxy-revalidate") ||
      directives.has("s-maxage"), // section 5.2.2.10: it implies proxy-revalidate
    staleWhileRevalidateSeconds: least(directives, "stale-while-revalidate") ?? 0,
    staleIfErrorSeconds: least(directives, "stale-if-error") ?? 0,
    added: sayable === undefined && !cacheControl.has("no-cache") && !cacheControl.has("no-store")
      ? "no-cache"
      : undefined,
  };
}

/** Whether a shared cache may keep an answer at all (RFC 9111 section 3), and why not. */
export function storable(
  headers: Readonly<Record<string, string>>,
  request: { readonly authorized: boolean },
): { readonly kind: "yes" } | { readonly kind: "no"; readonly reason: string } {
  const { cacheControl, targeted } = fieldsOf(headers);
  const directives = targeted ?? cacheControl;
  for (const reason of ["no-store", "private"]) if (directives.has(reason)) return { kind: "no", reason };
  const shares = ["public", "must-revalidate", "s-maxage"].some((name) => directives.has(name));
  // Section 3.5
  return request.authorized && !shares ? { kind: "no", reason: "authorization" } : { kind: "yes" };
}

function fieldsOf(headers: Readonly<Record<string, string>>): {
  readonly cacheControl: Directives;
  readonly targeted: Directives | undefined;
} {
  return {
    cacheControl: parseDirectives(headers["cache-control"] ?? "") ?? UNREADABLE,
    // RFC 9213 section 2.2: a valid targeted field replaces Cache-Control and Expires; an empty or broken one is ignored. Of
    // several the one that is meant for fewer goes first (section 2.1).
    targeted: parseTargeted(headers["atoll-cdn-cache-control"]) ??
      parseTargeted(headers["cdn-cache-control"]),
  };
}

export function parseRequestDirectives(header: string | undefined): RequestDirectives {
  if (!header) return NOTHING_ASKED;
  const directives = parseDirectives(header) ?? UNREADABLE;
  const minFresh = directives.get("min-fresh")?.map((argument) => parseDeltaSeconds(argument) ?? Infinity);
  const maxStale = directives.get("max-stale")?.map((argument) =>
    argument === null ? Infinity : parseDeltaSeconds(argument) ?? 0
  );
  return {
    noCache: directives.has("no-cache"),
    onlyIfCached: directives.has("only-if-cached"),
    maxAgeSeconds: least(directives, "max-age"),
    minFreshSeconds: minFresh && Math.max(...minFresh),
    maxStaleSeconds: maxStale && Math.min(...maxStale),
    staleIfErrorSeconds: least(directives, "stale-if-error"),
  };
}

/** Whether to use what is held, `ageMs` after it was last known to be current; `wallMs`: now. */
export function mayUse(
  policy: StoredPolicy,
  ageMs: number,
  wallMs: number,
  request: RequestDirectives,
): Use {
  const otherwise = request.onlyIfCached ? MISS : ASK;
  if (policy.freshSeconds === undefined || request.noCache) return otherwise;
  const { maxAgeSeconds, minFreshSeconds, maxStaleSeconds } = request;
  // max-age=0 is a reload: knowledge of this very millisecond will not do either.
  if (maxAgeSeconds === 0 || (maxAgeSeconds !== undefined && ageMs > maxAgeSeconds * 1000)) return otherwise;
  const leftMs = freshLeftMs(policy, ageMs, wallMs);
  if (minFreshSeconds !== undefined && leftMs < minFreshSeconds * 1000) return otherwise;
  const ttlSeconds = Math.floor(leftMs / 1000);
  if (leftMs > 0) return { kind: "fresh", ttlSeconds };
  if (policy.mustRevalidate) return otherwise;
  // Section 5.2.1.1: who sends max-age wants nothing stale, unless it says max-stale as well.
  const allowedByObject = maxAgeSeconds === undefined ? policy.staleWhileRevalidateSeconds : 0;
  const allowedSeconds = Math.max(allowedByObject, maxStaleSeconds ?? 0);
  return allowedSeconds > 0 && -leftMs <= allowedSeconds * 1000
    ? { kind: "stale-while-revalidate", ttlSeconds }
    : otherwise;
}

/**
 * Ms of freshness left, negative when stale. To know an object current again gives it its lifetime anew, but nothing beyond
 * the instant of its `Expires`. A wall clock that is behind sees that instant late: then the lifetime bounds the error.
 */
export function freshLeftMs(policy: StoredPolicy, ageMs: number, wallMs: number): number {
  const { freshSeconds = 0, expiresAtMs = Infinity } = policy;
  return Math.min(freshSeconds * 1000 - ageMs, expiresAtMs - wallMs);
}

/**
 * Whether to use what is held after asking has failed: stale-if-error goes before all other freshness information
 * (RFC 5861 section 4), a reload's max-age=0 included, but not before no-cache, must-revalidate and the like.
 */
export function mayUseWhenUnreachable(
  policy: StoredPolicy,
  ageMs: number,
  wallMs: number,
  request: RequestDirectives,
): UnreachableUse {
  if (policy.freshSeconds === undefined || request.noCache) return NO;
  const leftMs = freshLeftMs(policy, ageMs, wallMs);
  if (leftMs <= 0 && policy.mustRevalidate) return NO;
  const allowedSeconds = Math.max(
    policy.staleIfErrorSeconds,
    request.staleIfErrorSeconds ?? 0,
    request.maxStaleSeconds ?? 0,
  );
  if (allowedSeconds === 0 || -leftMs > allowedSeconds * 1000) return NO;
  return { kind: "use", ttlSeconds: Math.floor(leftMs / 1000) };
}

/**
 * `Cache-Control` of an answer: what was stored, with `no-cache` where nothing gives a cache further out an explicit
 * freshness, so that it asks too and guesses nothing. Undefined: send none (there is an `Expires` to go by).
 */
export function servedCacheControl(policy: StoredPolicy, stored: string | undefined): string | undefined {
  if (policy.added === undefined) return stored;
  return stored ? `${stored}, ${policy.added}` : policy.added;
}

/** A targeted field as directives, or undefined where it must be ignored. */
function parseTargeted(field: string | undefined): Directives | undefined {
  const members = field === undefined ? undefined : parseDictionary(field);
  if (!members || members.size === 0) return undefined;
  const directives = new Map<string, (string | null)[]>();
  for (const [name, value] of members) {
    if (value.kind === "boolean" && !value.value) continue; // `no-store=?0` takes it back
    // A value of another type than the directive's has no meaning, as an argument that parses as nothing.
    const argument = value.kind === "integer" ? String(value.value) : value.kind === "boolean" ? null : "";
    directives.set(name, [argument]);
  }
  return directives;
}

/** s-maxage goes before max-age in a shared cache (section 5.2.2.10). */
function explicitSeconds(directives: Directives): number | undefined {
  return least(directives, "s-maxage") ?? least(directives, "max-age");
}

/** The least of a directive's arguments; what cannot be read allows nothing (section 4.2.1: considered stale). */
function least(directives: Directives, name: string): number | undefined {
  const given = directives.get(name);
  return given && Math.min(...given.map((argument) => parseDeltaSeconds(argument) ?? 0));
}

/** Section 5.3: an invalid date, above all "0", is one in the past, and what was past at the commit never was fresh. */
function lifetimeUntil(expires: string, modifiedMs: number): { seconds: number; atMs?: number } {
  const atMs = parseHttpDateMs(expires.trim(), modifiedMs);
  if (atMs === undefined) return { seconds: 0 };
  // The commit counts in whole seconds, as its Last-Modified does.
  const seconds = Math.floor(atMs / 1000) - Math.floor(modifiedMs / 1000);
  return seconds > 0 ? { seconds, atMs } : { seconds: 0 };
}
