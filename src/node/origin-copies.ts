/**
 * Copies of what an origin answered. They are objects of a bucket that no client can name, one for each bucket with an
 * origin, so that they are kept and found as objects are, and never listed, overwritten or taken for what clients stored.
 *
 * The first copy of a key bears the key's name. Of a key whose answers vary it says by what; copies for other requests lie
 * in as many slots as are written here, and the later of two that fall together replaces the earlier.
 */
import type { RequestDirectives, StoredPolicy } from "../core/freshness.ts";
import { NOTHING_ASKED, parsePolicy } from "../core/freshness.ts";
import { type Name, objectName, splitName } from "../core/names.ts";
import { type CopyNotes, type Fields, standsFor, valueOf } from "../core/origin-answer.ts";
import type { Purge } from "../core/purge.ts";
import type { RegisterValue } from "../core/register.ts";
import { headersProblem } from "../core/stored-headers.ts";
import type { Clock, Hashing, Random } from "../ports.ts";
import type { Located, Objects, ObjectVersion } from "./objects.ts";

/** Of one key, whatever an origin says its answers vary by. */
const SLOTS = 64;
/** The header that bears a copy's notes; no client's is kept under it. */
const NOTES = "atoll-origin";
/** Ms that a copy is kept beyond its use, for what can be revalidated. */
const KEPT_MS = 7 * 86_400_000;

export interface Copy {
  readonly name: Name;
  readonly object: ObjectVersion;
  readonly notes: CopyNotes;
  /** The origin's. */
  readonly headers: Fields;
  readonly policy: StoredPolicy;
}

/** Where the next copy belongs. */
export interface Place {
  readonly name: Name;
  readonly era: string;
  readonly isPrimary: boolean;
}

export interface Found {
  /** The one that stands for the request. */
  readonly copy?: Copy | undefined;
  /** Of the key, whichever request it stands for. */
  readonly primary?: Copy | undefined;
  /** Of its register, also where that holds a tombstone; undefined where only memory was asked, or nobody could be. */
  readonly version?: number | undefined;
}

export interface CopiesDeps {
  objects: Objects;
  hashing: Hashing;
  random: Random;
  clock: Clock;
}

export class Copies {
  readonly #deps: CopiesDeps;
  readonly #views = new WeakMap<RegisterValue, Copy>();

  constructor(deps: CopiesDeps) {
    this.#deps = deps;
  }

  /** Without waiting, where memory may be used; undefined where others must be asked. */
  peek(bucket: string, key: string, request: Fields): Found | undefined {
    const primary = this.#peek(firstCopyOf(objectName(bucket, key)));
    if (primary === undefined) return undefined;
    if (primary === null) return {};
    if (standsFor(primary.notes.vary, request)) return { copy: primary, primary };
    const other = this.#peek(this.#slotName(bucket, key, primary.notes.vary, request));
    return other === undefined ? undefined : { copy: this.#matching(other, primary, request), primary };
  }

  async find(bucket: string, key: string, request: Fields, trace?: string): Promise<Found> {
    const name = firstCopyOf(objectName(bucket, key));
    const located = await this.#deps.objects.locate(name, NOTHING_ASKED, trace);
    const primary = this.#viewAt(name, located);
    if (!primary) return { version: located.kind === "absent" ? located.version : undefined };
    const { version } = primary.object;
    if (standsFor(primary.notes.vary, request)) return { copy: primary, primary, version };
    const other = await this.at(
      this.#slotName(bucket, key, primary.notes.vary, request),
      NOTHING_ASKED,
      trace,
    );
    return { copy: this.#matching(other, primary, request), primary, version };
  }

  /** What lies under that name, which is one of copies. */
  async at(name: Name, directives: RequestDirectives, trace?: string): Promise<Copy | undefined> {
    return this.#viewAt(name, await this.#deps.objects.locate(name, directives, trace));
  }

  /** Of an answer to that request which varies by that. `primary`: what is known of the key's first copy. */
  placeOf(
    bucket: string,
    key: string,
    request: Fields,
    vary: CopyNotes["vary"],
    primary: Pick<CopyNotes, "vary" | "era"> | undefined,
  ): Place {
    const isAlike = primary !== undefined && sameNames(primary.vary, vary);
    const era = isAlike ? primary.era : this.#deps.random.hex(8);
    const isPrimary = !isAlike || standsFor(primary.vary, request);
    return {
      name: isPrimary
        ? firstCopyOf(objectName(bucket, key))
        : this.#slotName(bucket, key, primary.vary, request),
      era,
      isPrimary,
    };
  }

  /** What of an answer is kept as an object's headers and end; undefined where that is too much. */
  storedForm(
    headers: Fields,
    notes: CopyNotes,
  ): { headers: Record<string, string>; expiresMs: number } | undefined {
    const all = { ...headers, [NOTES]: JSON.stringify(notes) };
    if (headersProblem(all) !== undefined) return undefined;
    const { freshSeconds = 0, staleIfErrorSeconds, staleWhileRevalidateSeconds } = policyOf(headers, notes);
    const useSeconds = freshSeconds + Math.max(staleIfErrorSeconds, staleWhileRevalidateSeconds);
    const keptMs = isValidated(headers) ? KEPT_MS : 0;
    return { headers: all, expiresMs: notes.receivedMs + 1000 * useSeconds + keptMs };
  }

  /** The same content under other headers; the copy as it then is, or as it is known here where that cannot be kept. */
  async amend(copy: Copy, headers: Fields, notes: CopyNotes, trace?: string): Promise<Copy> {
    const form = this.storedForm(headers, notes);
    const amended = form && await this.#deps.objects.amend(copy.name, copy.object, form, trace).catch(() => {
      // No majority: the origin has said it all the same, and the next reader asks again.
    });
    return amended && this.viewOf(copy.name, amended) || this.amended(copy, headers, notes);
  }

  /** As it would be if it were kept so. */
  amended(copy: Copy, headers: Fields, notes: CopyNotes): Copy {
    return { ...copy, headers, notes, policy: policyOf(headers, notes) };
  }

  /** Of no copy is anything used any more. `ifVersion`: unless the first is another by now. */
  async drop(bucket: string, key: string, trace?: string, ifVersion?: number): Promise<void> {
    await this.#deps.objects.delete(firstCopyOf(objectName(bucket, key)), { ifVersion }, trace);
  }

  viewOf(name: Name, object: ObjectVersion): Copy | undefined {
    let view = this.#views.get(object.value);
    if (view) return view;
    const { [NOTES]: _, ...headers } = object.manifest.headers;
    const notes = notesOf(object.value);
    if (!notes) return undefined;
    view = { name, object, notes, headers, policy: policyOf(headers, notes) };
    this.#views.set(object.value, view);
    return view;
  }

  /** Null: there is none. */
  #peek(name: Name): Copy | null | undefined {
    const { objects } = this.#deps;
    const located = objects.peek(name, NOTHING_ASKED);
    if (!located || located.kind === "not-cached") return undefined;
    return located.kind === "found" ? this.viewOf(name, located.object) ?? null : null;
  }

  #viewAt(name: Name, located: Located): Copy | undefined {
    return located.kind === "found" ? this.viewOf(name, located.object) : undefined;
  }

  #matching(other: Copy | null | undefined, primary: Copy, request: Fields): Copy | undefined {
    if (!other || other.notes.era !== primary.notes.era) return undefined;
    return standsFor(other.notes.vary, request) ? other : undefined;
  }

  #slotName(bucket: string, key: string, vary: CopyNotes["vary"], request: Fields): Name {
    const said = Object.keys(vary).map((name) => valueOf(request, name) ?? null);
    const digest = this.#deps.hashing.sha256(new TextEncoder().encode(JSON.stringify(said)));
    return objectName(`${otherCopiesOf(bucket)}${Number.parseInt(digest.slice(0, 8), 16) % SLOTS}`, key);
  }
}

export function isValidated(headers: Fields): boolean {
  return headers["etag"] !== undefined || headers["last-modified"] !== undefined;
}

export function policyOf(headers: Fields, notes: CopyNotes): StoredPolicy {
  // Its age counts from the origin's `Date`, and so by the origin's clock; the instant would be one of ours.
  const { expiresAtMs: _, ...policy } = parsePolicy(headers, notes.dateMs);
  const { freshMaxSeconds } = notes;
  if (freshMaxSeconds === undefined || policy.freshSeconds === undefined) return policy;
  return { ...policy, freshSeconds: Math.min(policy.freshSeconds, freshMaxSeconds) };
}

/** The bucket that holds a bucket's copies; those of keys whose answers vary lie in others besides. */
export function copiesOf(bucket: string): string {
  return `_${bucket}`;
}

/** What the names of all of a bucket's copies begin with that are not the first of their keys. */
export function otherCopiesOf(bucket: string): Name {
  return `${copiesOf(bucket)}/`;
}

/** The same for what is kept of an origin under those names. */
export function purgeOfCopies({ names, prefixes, tagged, soft }: Purge): Purge {
  return {
    names: names.map(firstCopyOf),
    prefixes: prefixes.map(firstCopyOf),
    tagged: tagged.map(({ bucket, tag }) => ({ bucket: copiesOf(bucket), tag })),
    soft,
  };
}

/** Of what clients call `name`. */
export function firstCopyOf(name: Name): Name {
  return copiesOf(name);
}

/** What clients call it; undefined where it is no key's first copy. */
export function keyOfFirstCopy(name: Name): Name | undefined {
  const key = name.slice(copiesOf("").length);
  return firstCopyOf(key) === name && !splitName(name).bucket.includes("/") ? key : undefined;
}

/** Undefined where no copy is kept. */
export function notesOf({ content }: RegisterValue): CopyNotes | undefined {
  const text = content.kind === "object" ? content.manifest.headers[NOTES] : undefined;
  return text === undefined ? undefined : JSON.parse(text) as CopyNotes;
}

function sameNames(a: CopyNotes["vary"], b: CopyNotes["vary"]): boolean {
  return Object.keys(a).sort().join() === Object.keys(b).sort().join();
}
