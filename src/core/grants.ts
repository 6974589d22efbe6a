/** Access keys: who they are, and what they are granted. */

export const ACTIONS = ["read", "write", "delete", "list", "admin"] as const;
export type Action = (typeof ACTIONS)[number];

/** Allows its actions on the keys of a bucket that begin with a prefix. */
export interface Grant {
  readonly actions: readonly Action[];
  /** `*`: every bucket. */
  readonly bucket: string;
  readonly prefix: string;
}

export const EVERY_BUCKET = "*";
/** Looked through at each request. */
const GRANTS_MAX = 64;
/** Secrets that people think up are shorter than those that machines draw, and must not be guessed all the same. */
const SECRET_CHARS_MIN = 20;
const SECRET_CHARS_MAX = 256;
/** No dot: it ends the ID in `ID.SECRET`. No colon: it does so in Basic (RFC 7617 section 2). */
const ID = /^[A-Za-z0-9_-]{1,64}$/;
/** Visible ASCII less the comma, by which two fields of one name are joined. */
const SECRET = /^[\x21-\x2b\x2d-\x7e]*$/;
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const PREFIX_CHARS_MAX = 1024;

/** Why it will not do, or undefined when it will; never says what came, which may be a secret in the wrong place. */
export function keyIdProblem(id: unknown): string | undefined {
  return typeof id === "string" && ID.test(id)
    ? undefined
    : "wanted an ID of 1 to 64 letters, digits, _ and -";
}

export function secretProblem(secret: unknown): string | undefined {
  const wanted =
    `wanted a secret of ${SECRET_CHARS_MIN} to ${SECRET_CHARS_MAX} visible ASCII characters, no comma`;
  if (typeof secret !== "string" || !SECRET.test(secret)) return wanted;
  const { length } = secret;
  if (length < SECRET_CHARS_MIN || length > SECRET_CHARS_MAX) return `${wanted}, got ${length}`;
  // Twenty times the same character is as good as none.
  return new Set(secret).size < 8 ? "wanted a secret of at least 8 different characters" : undefined;
}

/** Grants as they are written, `bucket` and `prefix` left out where they are all; or what is wrong with them. */
export function parseGrants(value: unknown): readonly Grant[] | string {
  if (!Array.isArray(value) || value.length === 0 || value.length > GRANTS_MAX) {
    return `grants: wanted a list of 1 to ${GRANTS_MAX}`;
  }
  const grants: Grant[] = [];
  for (const [i, entry] of value.entries()) {
    const grant = parseGrant(entry);
    if (typeof grant === "string") return `grants.${i}: ${grant}`;
    grants.push(grant);
  }
  return grants;
}

function parseGrant(value: unknown): Grant | string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return "wanted { actions, bucket, prefix }";
  }
  const { actions, bucket = EVERY_BUCKET, prefix = "", ...others } = value as Record<string, unknown>;
  // A misspelt "prefix" would otherwise grant a whole bucket.
  const [other] = Object.keys(others);
  if (other !== undefined) return "wanted nothing but actions, bucket and prefix";
  if (!Array.isArray(actions) || actions.length === 0 || !actions.every(isAction)) {
    return `actions: wanted a list of ${ACTIONS.join(", ")}`;
  }
  if (typeof bucket !== "string" || (bucket !== EVERY_BUCKET && !BUCKET.test(bucket))) {
    return "bucket: wanted a bucket's name, or *";
  }
  if (typeof prefix !== "string" || prefix.length > PREFIX_CHARS_MAX || !prefix.isWellFormed()) {
    return `prefix: wanted at most ${PREFIX_CHARS_MAX} characters`;
  }
  // Who may make keys may do everything: to say it of a part of the ring would only look like a limit.
  if (actions.includes("admin") && (bucket !== EVERY_BUCKET || prefix !== "")) {
    return "actions: wanted admin on bucket * and without a prefix, as it is of the whole ring";
  }
  return { actions: [...new Set(actions)], bucket, prefix };
}

function isAction(value: unknown): value is Action {
  return ACTIONS.includes(value as Action);
}

/** `key`: of an object, or the prefix of a listing, all of which must lie within the grant. */
export function isGranted(grants: readonly Grant[], action: Action, bucket: string, key: string): boolean {
  for (const grant of grants) {
    if (
      (grant.bucket === bucket || grant.bucket === EVERY_BUCKET) && key.startsWith(grant.prefix) &&
      grant.actions.includes(action)
    ) return true;
  }
  return false;
}

export function isAdmin(grants: readonly Grant[]): boolean {
  return grants.some(({ actions }) => actions.includes("admin"));
}

/** The buckets that a listing of buckets may show: all of them, or these, in order. */
export function listedBuckets(grants: readonly Grant[]): typeof EVERY_BUCKET | readonly string[] {
  const listed = grants.filter(({ actions }) => actions.includes("list")).map(({ bucket }) => bucket);
  return listed.includes(EVERY_BUCKET) ? EVERY_BUCKET : [...new Set(listed)].toSorted();
}
