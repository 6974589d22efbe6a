/**
 * What a request needs, and whether whoever asks may have it. Decided from names and grants alone, before anything is
 * looked up: an answer that depends on what is stored, or the time it takes, would tell of it those who may not know.
 */
import { type Grant, isAdmin, isGranted, listedBuckets } from "./grants.ts";

export type Need =
  | { readonly action: "read" | "write" | "delete"; readonly bucket: string; readonly key: string }
  | { readonly action: "list"; readonly bucket: string; readonly prefix: string }
  | { readonly action: "list-buckets" }
  | { readonly action: "admin" };

export interface ObjectPlace {
  readonly kind: "object";
  readonly bucket: string;
  readonly key: string;
}

/** What a request's target names. */
export type Place =
  | { readonly kind: "root" }
  | { readonly kind: "bucket"; readonly bucket: string; readonly prefix: string }
  | ObjectPlace
  | { readonly kind: "probe"; readonly path: "livez" | "readyz" | "metrics" }
  /** A page of the node; `about`: the object whose route it shows. */
  | { readonly kind: "internal"; readonly about?: ObjectPlace | undefined };

/** Conditions of a write; "create" is `If-None-Match: *` alone. */
export type Conditions = "none" | "create" | "some";

/** None for what is open to everybody, and for methods that the place does not know, which are refused all the same. */
export function needsOf(method: string, place: Place, conditions: Conditions): readonly Need[] {
  const isRead = method === "GET" || method === "HEAD";
  switch (place.kind) {
    case "object": {
      const { bucket, key } = place;
      const read: Need = { action: "read", bucket, key };
      if (isRead) return [read];
      const action = method === "PUT" ? "write" : method === "DELETE" ? "delete" : undefined;
      if (action === undefined) return [];
      const write: Need = { action, bucket, key };
      // A condition asks what is there: its content by ETag, its version. That it is there a created object tells anyhow.
      const asks = conditions === "some" || (conditions === "create" && action === "delete");
      return asks ? [write, read] : [write];
    }
    case "bucket":
      return isRead ? [{ action: "list", bucket: place.bucket, prefix: place.prefix }] : [];
    case "root":
      return isRead ? [{ action: "list-buckets" }] : [];
    case "probe":
      return place.path === "metrics" ? [{ action: "admin" }] : [];
    case "internal":
      return [
        place.about && isRead
          ? { action: "read", bucket: place.about.bucket, key: place.about.key }
          : { action: "admin" },
      ];
  }
}

/** `grants`: undefined for who showed no key. What everybody may read in public buckets is not looked at. */
export function isAllowed(need: Need, grants: readonly Grant[] | undefined): boolean {
  if (grants === undefined) return false;
  switch (need.action) {
    case "read":
    case "write":
    case "delete":
      return isGranted(grants, need.action, need.bucket, need.key);
    case "list":
      return isGranted(grants, "list", need.bucket, need.prefix);
    case "list-buckets":
      return listedBuckets(grants).length > 0;
    case "admin":
      return isAdmin(grants);
  }
}
