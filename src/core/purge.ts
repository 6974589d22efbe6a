/** Which objects may no longer be used from caches without asking, whatever their freshness says. */
import type { Manifest } from "./manifest.ts";
import type { Name } from "./names.ts";

export interface Purge {
  readonly names: readonly Name[];
  /** All names that begin with one of these. */
  readonly prefixes: readonly Name[];
  /** Of one bucket, all objects that carry one of them. */
  readonly tagged: readonly { readonly bucket: string; readonly tag: string }[];
  /** As if their time had just run out: what may be used stale still may. Otherwise nothing is left to be used. */
  readonly soft: boolean;
}

/** An object's tags: its `Cache-Tag`, a list as content delivery networks have it, and its `Cache-Groups` (RFC 9875). */
export function tagsOf({ headers }: Pick<Manifest, "headers">): string[] {
  const tags = (headers["cache-tag"] ?? "").split(",").map((tag) => tag.trim()).filter((tag) => tag !== "");
  return [...tags, ...stringsOf(headers["cache-groups"] ?? "")];
}

/** A list of strings (RFC 9651 section 3.1); a field that is anything else is ignored as a whole, as section 4.2 has it. */
function stringsOf(field: string): string[] {
  const strings: string[] = [];
  const item = /[ \t]*"((?:[ !#-[\]-~]|\\["\\])*)"[ \t]*(,|$)/y;
  while (item.lastIndex < field.length) {
    const found = item.exec(field);
    if (!found) return [];
    strings.push(found[1]!.replace(/\\(["\\])/g, "$1"));
    // A comma at the end promises one more.
    if (found[2] === "," && item.lastIndex === field.length) return [];
  }
  return strings;
}

/** `manifest`: of the object, as far as there is one. */
export function isPurged(
  purge: Purge,
  name: Name,
  manifest: Pick<Manifest, "headers"> | undefined,
): boolean {
  if (purge.prefixes.some((prefix) => name.startsWith(prefix))) return true;
  if (purge.tagged.length === 0 || !manifest) return false;
  const tags = tagsOf(manifest);
  return purge.tagged.some(({ bucket, tag }) => name.startsWith(`${bucket}\0`) && tags.includes(tag));
}
