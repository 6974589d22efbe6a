/** What the door must know of the node's own pages. */
import { AtollError } from "../errors.ts";
import { parseTarget, type Target } from "./target.ts";

export const ROUTE = "/_/route/";
export const PRESIGN = "/_/presign";

/** The object whose route a page shows; undefined for another page. Throws `invalid-bucket` and `invalid-key`. */
export function aboutOf(path: string): Extract<Target, { kind: "object" }> | undefined {
  if (!path.startsWith(ROUTE)) return undefined;
  const target = parseTarget(path.slice(ROUTE.length - 1));
  if (target.kind === "object") return target;
  throw new AtollError("invalid-key", `wanted ${ROUTE}{bucket}/{key}, got no key`);
}

/** Whether whoever has any key may use the page, within what it is granted. */
export function isForAnyKey(path: string): boolean {
  return path === PRESIGN;
}
