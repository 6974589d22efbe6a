/** Headers of stored objects: those kept from an upload, and those an answer carries. */
import { getMimeType } from "hono/utils/mime";
import { servedCacheControl, type StoredPolicy } from "../core/freshness.ts";
import type { RegisterValue } from "../core/register.ts";
import type { ObjectVersion } from "../node/objects.ts";
import { DEFAULT_CONTENT_TYPE } from "../node/list-objects.ts";
import { reprDigest } from "./digest-fields.ts";
import { formatHttpDate } from "./http-date.ts";
import { storedHeaders } from "./protection.ts";
import type { PublicRequest } from "./request.ts";

/** Stored name and the spelling it is sent with. */
const KEPT: ReadonlyMap<string, string> = new Map([
  ["content-type", "Content-Type"],
  ["content-encoding", "Content-Encoding"],
  ["content-language", "Content-Language"],
  ["content-disposition", "Content-Disposition"],
  ["cache-control", "Cache-Control"],
  ["expires", "Expires"],
  ["cdn-cache-control", "CDN-Cache-Control"],
  ["atoll-cdn-cache-control", "Atoll-CDN-Cache-Control"],
  ["cache-tag", "Cache-Tag"],
  ["cache-groups", "Cache-Groups"],
]);
const META = "atoll-meta-";

/** What of a PUT's headers is kept with the object. `cacheControl`: where it says nothing of freshness itself. */
export function keptHeaders(
  request: PublicRequest,
  key: string,
  cacheControl: string | undefined,
): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of KEPT.keys()) {
    const value = request.header(name);
    if (value !== undefined && value !== "") kept[name] = value;
  }
  // aws-chunked and the like describe the transfer of an upload, not the object; only what HTTP defines is kept as sent.
  for (const name of request.headerNames()) {
    if (!name.startsWith(META)) continue;
    const value = request.header(name);
    if (value !== undefined) kept[name] = value;
  }
  kept["content-type"] ??= contentTypeOf(key);
  if (cacheControl !== undefined && kept["expires"] === undefined) kept["cache-control"] ??= cacheControl;
  return kept;
}

function contentTypeOf(key: string): string {
  return getMimeType(key.slice(key.lastIndexOf("/") + 1)) ?? DEFAULT_CONTENT_TYPE;
}

/** By stored value, since the hot path should only look them up. */
const served = new WeakMap<RegisterValue, Readonly<Record<string, string>>>();

/** The headers that every answer about this version carries, a 304 and a HEAD included. */
export function objectHeaders(object: ObjectVersion, policy: StoredPolicy): Readonly<Record<string, string>> {
  let headers = served.get(object.value);
  if (!headers) served.set(object.value, headers = makeHeaders(object, policy));
  return headers;
}

function makeHeaders(object: ObjectVersion, policy: StoredPolicy): Record<string, string> {
  const { manifest } = object;
  const headers: Record<string, string> = {
    ETag: `"${manifest.sha256}"`,
    "Atoll-Version": String(object.version),
    "Repr-Digest": reprDigest(manifest.sha256),
    "Last-Modified": formatHttpDate(object.modifiedMs),
    "Accept-Ranges": "bytes",
    ...storedHeaders(manifest.headers["content-type"]),
  };
  for (const [name, value] of Object.entries(manifest.headers)) {
    headers[KEPT.get(name) ?? capitalised(name)] = value;
  }
  const cacheControl = servedCacheControl(policy, manifest.headers["cache-control"]);
  if (cacheControl !== undefined) headers["Cache-Control"] = cacheControl;
  return headers;
}

/** `atoll-meta-owner` as `Atoll-Meta-Owner`. */
export function capitalised(name: string): string {
  return name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase());
}
