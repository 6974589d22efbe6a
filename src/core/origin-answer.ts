/** What a shared cache makes of an origin's answer: which headers are its own, how old it was, for which requests it stands. */
import { DELTA_SECONDS_MAX, parseDeltaSeconds, parseHttpDateMs } from "./cache-control.ts";
import { HOP_BY_HOP } from "./bucket-settings.ts";

export type Fields = Readonly<Record<string, string>>;

/** What a copy bears beside the origin's headers. Times are ms. */
export interface CopyNotes {
  readonly status: number;
  /** Of the wall clock, when its head came. */
  readonly receivedMs: number;
  /** Its age by then: RFC 9111 section 4.2.3's corrected initial age. */
  readonly ageMs: number;
  /** Of origination, by the origin's clock; without a `Date`, `receivedMs`. */
  readonly dateMs: number;
  /** By `Vary`: what the request for it said, `null` for nothing. Empty: it stands for every request. */
  readonly vary: Readonly<Record<string, string | null>>;
  /** Copies of one key stand for each other's requests only within one of these; it ends with a purge. */
  readonly era: string;
  /** Seconds: of the redirects on the way to it, one allows no more. */
  readonly freshMaxSeconds?: number;
}

/** Of this hop alone, or of the message on the wire and not of what it carries; and cookies, which are one client's. */
const NEVER_KEPT = new Set([
  ...HOP_BY_HOP,
  "age",
  "content-length",
  "proxy-authenticate",
  "proxy-authentication-info",
  "set-cookie",
  // No header that anybody sends, and no name for what an object has.
  "__proto__",
]);
/** RFC 9111 section 3.2: what the stored bytes depend on is theirs, whatever a 304 says of it. */
const NOT_BY_304 = new Set(["content-encoding", "content-range", "content-type", "etag"]);

/** Headers as they are kept and passed on: without hop-by-hop ones and those that `Connection` names (RFC 9110 section 7.6.1). */
export function endToEnd(headers: readonly (readonly [string, string])[]): Record<string, string> {
  const named = new Set(
    headers.filter(([name]) => name === "connection").flatMap(([, value]) => membersOf(value)),
  );
  const kept = new Map<string, string>();
  for (const [name, value] of headers) {
    if (NEVER_KEPT.has(name) || named.has(name)) continue;
    const before = kept.get(name);
    kept.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return Object.fromEntries(kept);
}

/** All that was said of one name. */
export function fieldOf(headers: readonly (readonly [string, string])[], name: string): string | undefined {
  const values = headers.filter(([each]) => each === name).map(([, value]) => value);
  return values.length === 0 ? undefined : values.join(", ");
}

/** RFC 9111 section 4.2.3. `sentMs`, `receivedMs`: of the wall clock, when the question went out and the head came in. */
export function initialAge(
  age: string | undefined,
  date: string | undefined,
  sentMs: number,
  receivedMs: number,
): { ageMs: number; dateMs: number } {
  const dateMs = date === undefined ? undefined : parseHttpDateMs(date.trim(), receivedMs);
  // Of a list the first counts, and what is no number of seconds counts for nothing (section 5.1).
  const saidSeconds = parseDeltaSeconds((age ?? "").split(",")[0]!.trim()) ?? 0;
  const apparentMs = dateMs === undefined ? 0 : Math.max(0, wholeSeconds(receivedMs) - dateMs);
  const correctedMs = saidSeconds * 1000 + Math.max(0, receivedMs - sentMs);
  return { ageMs: Math.max(apparentMs, correctedMs), dateMs: dateMs ?? receivedMs };
}

/** Section 4.3.4: each header of the 304 takes the stored one's place. */
export function updatedBy(
  stored: Fields,
  headers: readonly (readonly [string, string])[],
): Record<string, string> {
  const updated: Record<string, string> = { ...stored };
  for (const [name, value] of Object.entries(endToEnd(headers))) {
    if (!NOT_BY_304.has(name)) updated[name] = value;
  }
  return updated;
}

/** Names in `Vary`, in lower case, sorted; undefined where no other request is like this one (`*`). */
export function varyNames(vary: string | undefined): string[] | undefined {
  const names = [...new Set(membersOf(vary ?? ""))].sort();
  return names.includes("*") ? undefined : names;
}

/** `request`: what was sent to the origin, names in lower case. */
export function varyOf(names: readonly string[], request: Fields): Record<string, string | null> {
  return Object.fromEntries(names.map((name) => [name, normalised(valueOf(request, name))]));
}

export function standsFor(vary: CopyNotes["vary"], request: Fields): boolean {
  return Object.entries(vary).every(([name, value]) => normalised(valueOf(request, name)) === value);
}

/** Names come from others: `constructor` is one that every object has. */
export function valueOf(fields: Fields, name: string): string | undefined {
  return Object.hasOwn(fields, name) ? fields[name] : undefined;
}

/** Section 4.1: space around a list's members and empty members mean nothing. */
function normalised(value: string | undefined): string | null {
  if (value === undefined) return null;
  return value.split(",").map((member) => member.trim()).filter((member) => member !== "").join(",");
}

/** Of a list of tokens, in lower case. */
function membersOf(field: string): string[] {
  return field.toLowerCase().split(",").map((member) => member.trim()).filter((member) => member !== "");
}

function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}

/** Ms since the origin made it, by this node's wall clock, which may jump; never less than it was. */
export function ageOf(notes: Pick<CopyNotes, "ageMs" | "receivedMs">, nowMs: number): number {
  return notes.ageMs + Math.max(0, nowMs - notes.receivedMs);
}

/** Seconds as `Age` says them. */
export function ageSeconds(ageMs: number): number {
  return Math.min(DELTA_SECONDS_MAX, Math.floor(ageMs / 1000));
}
