/**
 * Conditional requests (RFC 9110 section 13) over entity tags that are the quoted hex SHA-256 of the content, and over
 * versions, which also see what a content tag cannot: A-B-A, and changes of headers only.
 */

export interface EntityTag {
  readonly weak: boolean;
  /** Without the quotes. */
  readonly tag: string;
}

export type TagCondition = "*" | readonly EntityTag[];

export interface WriteConditions {
  readonly ifMatch?: TagCondition | undefined;
  readonly ifNoneMatch?: TagCondition | undefined;
  /** 0: must not exist. */
  readonly ifVersion?: number | undefined;
}

export type WriteCheck = { readonly kind: "proceed" } | { readonly kind: "failed"; readonly detail: string };

export interface ReadConditions {
  readonly ifMatch?: TagCondition | undefined;
  readonly ifNoneMatch?: TagCondition | undefined;
  /** Ms since the epoch, whole seconds, as are all dates in headers. */
  readonly ifModifiedSinceMs?: number | undefined;
  readonly ifUnmodifiedSinceMs?: number | undefined;
}

export type ReadCheck = "proceed" | "not-modified" | "failed";

/** Room for a hundred tags of ours; whoever sends more is not a cache. */
const HEADER_CHARS_MAX = 8192;
/** One list element: section 8.8.3's entity-tag, or nothing. Obsolete text is any character above ASCII. */
const LIST_ELEMENT = /[ \t]*(?:(W\/)?"([\x21\x23-\x7e\u0080-\uffff]*)"[ \t]*)?(?:,|$)/y;

const PROCEED: WriteCheck = { kind: "proceed" };

/** `If-Match` or `If-None-Match`; undefined when it is not what section 8.8.3 allows. */
export function parseEntityTags(header: string): "*" | EntityTag[] | undefined {
  if (header.length > HEADER_CHARS_MAX) return undefined;
  if (/^[ \t]*\*[ \t]*$/.test(header)) return "*";
  const tags: EntityTag[] = [];
  LIST_ELEMENT.lastIndex = 0;
  while (LIST_ELEMENT.lastIndex < header.length) {
    const element = LIST_ELEMENT.exec(header);
    if (!element) return undefined;
    const tag = element[2];
    if (tag !== undefined) tags.push({ weak: element[1] !== undefined, tag });
  }
  return tags.length === 0 ? undefined : tags;
}

/**
 * Of a read. A field that cannot be read is there all the same: no tag is among its, and dates do not count beside it
 * (sections 13.1.3 and 13.1.4).
 */
export function readCondition(header: string | undefined): TagCondition | undefined {
  return header === undefined ? undefined : parseEntityTags(header) ?? [];
}

/** Decided within the register's change, against what the change would replace; `current` undefined: absent. */
export function checkWrite(
  conditions: WriteConditions,
  current: { readonly sha256: string; readonly version: number } | undefined,
): WriteCheck {
  const { ifMatch, ifNoneMatch, ifVersion } = conditions;
  if (ifMatch !== undefined && !matchesStrongly(ifMatch, current)) {
    return failed(`If-Match wanted ${showTags(ifMatch)}`, current);
  }
  if (ifVersion !== undefined && ifVersion !== (current?.version ?? 0)) {
    return failed(
      `Atoll-If-Version wanted ${ifVersion === 0 ? "no object" : `version ${ifVersion}`}`,
      current,
    );
  }
  if (ifNoneMatch !== undefined && matchesWeakly(ifNoneMatch, current)) {
    return failed(`If-None-Match wanted ${ifNoneMatch === "*" ? "no object" : "another ETag"}`, current);
  }
  return PROCEED;
}

/** For an object that exists, in the order of section 13.2.2. */
export function checkRead(
  request: ReadConditions,
  current: { readonly sha256: string; readonly modifiedMs: number },
): ReadCheck {
  // Last-Modified went out without its fraction: compared with it, the client's own copy would look outdated.
  const modifiedMs = Math.floor(current.modifiedMs / 1000) * 1000;
  const { ifMatch, ifNoneMatch, ifModifiedSinceMs, ifUnmodifiedSinceMs } = request;
  if (ifMatch !== undefined) {
    if (!matchesStrongly(ifMatch, current)) return "failed";
  } else if (ifUnmodifiedSinceMs !== undefined && modifiedMs > ifUnmodifiedSinceMs) return "failed";
  if (ifNoneMatch !== undefined) return matchesWeakly(ifNoneMatch, current) ? "not-modified" : "proceed";
  if (ifModifiedSinceMs !== undefined && modifiedMs <= ifModifiedSinceMs) return "not-modified";
  return "proceed";
}

/**
 * Whether `Range` holds for the object as it is now (section 13.1.5). A date never does: two versions may share a
 * second, and a part of one must not be spliced into the other. The whole is then the answer.
 */
export function ifRangeApplies(header: string, current: { readonly sha256: string }): boolean {
  const tags = parseEntityTags(header);
  return tags !== undefined && tags !== "*" && tags.length === 1 && matchesStrongly(tags, current);
}

function matchesStrongly(condition: TagCondition, current: { readonly sha256: string } | undefined): boolean {
  if (!current) return false;
  return condition === "*" || condition.some(({ weak, tag }) => !weak && tag === current.sha256);
}

/** Section 8.8.3.2: without regard to `W/`, which proxies that compress put before our tags. */
function matchesWeakly(condition: TagCondition, current: { readonly sha256: string } | undefined): boolean {
  if (!current) return false;
  return condition === "*" || condition.some(({ tag }) => tag === current.sha256);
}

function failed(wanted: string, current: { sha256: string; version: number } | undefined): WriteCheck {
  const found = current ? `version ${current.version} with ETag "${current.sha256}"` : "no object";
  return { kind: "failed", detail: `${wanted}, found ${found}` };
}

function showTags(condition: TagCondition): string {
  if (condition === "*") return "any object";
  const shown = condition.slice(0, 3).map(({ weak, tag }) => `${weak ? "W/" : ""}"${tag.slice(0, 80)}"`);
  return shown.join(" or ") + (condition.length > 3 ? " or others" : "");
}
