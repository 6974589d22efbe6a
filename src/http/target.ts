/** What a request's target names. The path is taken as it was sent: nothing but one percent-decoding is done to keys. */
import { bucketProblem, decodeOnce, keyProblem, type Name, objectName } from "../core/names.ts";
import { AtollError } from "../errors.ts";

export type Target =
  | { readonly kind: "root"; readonly query: string }
  | { readonly kind: "bucket"; readonly bucket: string; readonly query: string }
  | { readonly kind: "object"; readonly bucket: string; readonly key: string; readonly name: Name }
  | { readonly kind: "probe"; readonly path: "livez" | "readyz" | "metrics" }
  /** `/_/…`, which belongs to the node. */
  | { readonly kind: "internal"; readonly path: string; readonly query: string };

/** Methods, where they do not depend on the page. */
export const ALLOW: Record<Exclude<Target["kind"], "internal">, string> = {
  root: "GET, HEAD, OPTIONS",
  bucket: "GET, HEAD, OPTIONS",
  object: "GET, HEAD, PUT, DELETE, OPTIONS",
  probe: "GET, HEAD, OPTIONS",
};

/** The route's template, for logs and metrics: never what the client sent. */
export function routeOf(target: Target | undefined): string {
  switch (target?.kind) {
    case "root":
      return "/";
    case "bucket":
      return "/{bucket}";
    case "object":
      return "/{bucket}/{key}";
    case "probe":
      return `/${target.path}`;
    case "internal":
      return "/_/";
    case undefined:
      return "invalid";
  }
}

/** `target`: origin-form, absolute-form or `*`. Rejects with `invalid-bucket` and `invalid-key`. */
export function parseTarget(target: string): Target {
  const { path, query } = splitTarget(target);
  if (path === "/" || path === "") return { kind: "root", query };
  if (path === "/livez" || path === "/readyz" || path === "/metrics") {
    return { kind: "probe", path: path.slice(1) as "livez" | "readyz" | "metrics" };
  }
  if (path === "/_" || path.startsWith("/_/")) return { kind: "internal", path, query };
  const slash = path.indexOf("/", 1);
  const bucket = slash === -1 ? path.slice(1) : path.slice(1, slash);
  const problem = bucketProblem(bucket);
  if (problem !== undefined) throw new AtollError("invalid-bucket", problem);
  if (slash === -1 || slash === path.length - 1) return { kind: "bucket", bucket, query };
  const key = decodeOnce(path.slice(slash + 1));
  if (key === undefined) {
    throw new AtollError("invalid-key", "wanted percent-escapes of well-formed UTF-8, got a broken one");
  }
  const keyIssue = keyProblem(key);
  if (keyIssue !== undefined) throw new AtollError("invalid-key", keyIssue);
  return { kind: "object", bucket, key, name: objectName(bucket, key) };
}

/** Both as they were sent. */
export function splitTarget(target: string): { readonly path: string; readonly query: string } {
  const origin = originForm(target);
  const question = origin.indexOf("?");
  if (question === -1) return { path: origin, query: "" };
  return { path: origin.slice(0, question), query: origin.slice(question + 1) };
}

/** Absolute-form (RFC 9112 section 3.2.2) is what proxies get; the authority in it is of no interest here. */
function originForm(target: string): string {
  if (target.startsWith("/")) return target;
  const scheme = target.indexOf("://");
  if (scheme === -1) return "/";
  const slash = target.indexOf("/", scheme + 3);
  return slash === -1 ? "/" : target.slice(slash);
}
