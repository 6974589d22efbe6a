/**
 * The syntax of the fields that speak of freshness: directive lists (RFC 9111 section 5.2), the structured dictionaries
 * of RFC 9213 (RFC 9651 section 3.2), delta-seconds and dates. What they mean is freshness.ts's.
 */

/** More than any sane header; beyond it nothing is read, and the reader assumes the worst. */
export const FIELD_CHARS_MAX = 64 * 1024;
/** RFC 9111 section 1.2.2: greater numbers are taken for this one. */
export const DELTA_SECONDS_MAX = 2 ** 31;

/** Directive names in lower case, each with all its arguments in order; `null` stands for none. */
export type Directives = ReadonlyMap<string, readonly (string | null)[]>;

const DIRECTIVE =
  /[ \t]*(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:=(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)|"((?:[^"\\]|\\.)*)"))?[ \t]*)?(?:,|$)/ys;
/** What stands where a directive should: up to the next comma that is not within quotes, none of which stays open. */
const GARBAGE = /(?:[^,"]|"(?:[^"\\]|\\.)*")*(?:,|$)/ys;
const NAME = /^[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)/;

/**
 * Undefined when the field is absurdly long, or when a quote stays open and nobody can say what it swallowed. A
 * directive of broken syntax counts with an argument that parses as nothing, so that a mistyped `max-age=1 0` is not
 * taken for no directive at all.
 */
export function parseDirectives(field: string): Directives | undefined {
  if (field.length > FIELD_CHARS_MAX) return undefined;
  const directives = new Map<string, (string | null)[]>();
  let at = 0;
  while (at < field.length) {
    DIRECTIVE.lastIndex = at;
    const found = DIRECTIVE.exec(field);
    if (found) {
      const [whole, name, token, quoted] = found;
      if (name !== undefined) add(directives, name, token ?? quoted?.replace(/\\(.)/gs, "$1") ?? null);
      at += whole.length;
    } else {
      GARBAGE.lastIndex = at;
      const garbage = GARBAGE.exec(field)?.[0];
      if (garbage === undefined) return undefined;
      const name = NAME.exec(garbage)?.[1];
      if (name !== undefined) add(directives, name, "");
      at += garbage.length;
    }
  }
  return directives;
}

function add(directives: Map<string, (string | null)[]>, name: string, argument: string | null): void {
  const key = name.toLowerCase();
  const found = directives.get(key);
  if (found) found.push(argument);
  else directives.set(key, [argument]);
}

/** Seconds; undefined for what is not a whole number without sign (RFC 9111 section 1.2.2). */
export function parseDeltaSeconds(text: string | null): number | undefined {
  if (text === null || !/^\d+$/.test(text)) return undefined;
  return Math.min(Number(text), DELTA_SECONDS_MAX);
}

export type DictionaryValue =
  | { readonly kind: "integer"; readonly value: number }
  | { readonly kind: "boolean"; readonly value: boolean }
  /** The text between the colons, not yet decoded. */
  | { readonly kind: "bytes"; readonly base64: string }
  | { readonly kind: "other" };

const BARE_ITEM =
  /-?\d{1,12}\.\d{1,3}|-?\d{1,15}|"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"|[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*|:[A-Za-z0-9+/=]*:|\?[01]|@-?\d{1,15}/
    .source;
const KEY = "[a-z*][a-z0-9_.*-]*";
const PARAMETERS = `(?:; *${KEY}(?:=(?:${BARE_ITEM}))?)*`;
const ITEM = `(?:${BARE_ITEM})${PARAMETERS}`;
const INNER_LIST = `\\( *(?:${ITEM}(?: +${ITEM})*)? *\\)`;
const MEMBER = new RegExp(`(${KEY})(?:=(?:(${BARE_ITEM})|${INNER_LIST}))?${PARAMETERS}`, "y");
const SEPARATOR = /[ \t]*,[ \t]*/y;

/** A structured dictionary; of a repeated key the last counts. Undefined when it breaks RFC 9651's syntax anywhere. */
export function parseDictionary(field: string): ReadonlyMap<string, DictionaryValue> | undefined {
  if (field.length > FIELD_CHARS_MAX) return undefined;
  const text = field.replace(/^ +| +$/g, "");
  const members = new Map<string, DictionaryValue>();
  let at = 0;
  while (at < text.length) {
    MEMBER.lastIndex = at;
    const member = MEMBER.exec(text);
    if (!member) return undefined;
    const [whole, key, item] = member;
    members.set(key!, whole.startsWith(`${key}=`) ? valueOf(item) : { kind: "boolean", value: true });
    at += whole.length;
    if (at === text.length) break;
    SEPARATOR.lastIndex = at;
    const separator = SEPARATOR.exec(text);
    if (!separator) return undefined;
    at += separator[0].length;
    if (at === text.length) return undefined; // section 4.2.2: a trailing comma is an error
  }
  return members;
}

/** `item` undefined: an inner list. */
function valueOf(item: string | undefined): DictionaryValue {
  if (item === undefined) return { kind: "other" };
  if (item.startsWith("?")) return { kind: "boolean", value: item === "?1" };
  if (item.startsWith(":")) return { kind: "bytes", base64: item.slice(1, -1) };
  return /^-?\d+$/.test(item) ? { kind: "integer", value: Number(item) } : { kind: "other" };
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const TIME = String.raw`(?<hour>\d\d):(?<minute>\d\d):(?<second>\d\d)`;
const DAY = "(?<weekday>Sun|Mon|Tue|Wed|Thu|Fri|Sat)";
const MONTH = `(?<month>${MONTHS.join("|")})`;
const DATE_FORMS = [
  new RegExp(`^${DAY}, (?<day>\\d\\d) ${MONTH} (?<year>\\d{4}) ${TIME} GMT$`),
  new RegExp(`^(?<weekday>${DAYS.join("|")}), (?<day>\\d\\d)-${MONTH}-(?<year>\\d\\d) ${TIME} GMT$`),
  new RegExp(`^${DAY} ${MONTH} (?<day>[ \\d]\\d) ${TIME} (?<year>\\d{4})$`),
];

/**
 * Ms since the epoch of any of the three forms of RFC 9110 section 5.6.7; undefined for anything else, wrong weekdays
 * included. `nowMs` places years of two digits: never more than 50 years ahead.
 */
export function parseHttpDateMs(text: string, nowMs: number): number | undefined {
  for (const form of DATE_FORMS) {
    const parts = form.exec(text)?.groups;
    if (parts) return dateMs(parts as DateParts, nowMs);
  }
  return undefined;
}

type DateParts = Record<"weekday" | "day" | "month" | "year" | "hour" | "minute" | "second", string>;

function dateMs(parts: DateParts, nowMs: number): number | undefined {
  const month = MONTHS.indexOf(parts.month);
  const day = Number(parts.day);
  const [hour, minute, second] = [Number(parts.hour), Number(parts.minute), Number(parts.second)];
  if (hour > 23 || minute > 59 || second > 60) return undefined;
  const year = parts.year.length === 2 ? fullYear(Number(parts.year), nowMs) : Number(parts.year);
  const days = daysSinceEpoch(year, month, day);
  // A day that the month does not have would be the next month's.
  if (day < 1 || days >= daysSinceEpoch(year + (month === 11 ? 1 : 0), (month + 1) % 12, 1)) return undefined;
  if (!DAYS[(((days + 4) % 7) + 7) % 7]!.startsWith(parts.weekday)) return undefined; // 1 January 1970: a Thursday
  return ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000;
}

function fullYear(twoDigits: number, nowMs: number): number {
  const yearNow = 1970 + Math.floor(nowMs / (365.2425 * 86_400_000));
  const year = yearNow - (yearNow % 100) + twoDigits;
  if (year > yearNow + 50) return year - 100;
  return year + 100 <= yearNow + 50 ? year + 100 : year;
}

/** In the proleptic Gregorian calendar, by years that begin in March, so that leap days come last. */
function daysSinceEpoch(year: number, month: number, day: number): number {
  const years = month < 2 ? year - 1 : year;
  const sinceMarch = (month + 10) % 12;
  const leapDays = Math.floor(years / 4) - Math.floor(years / 100) + Math.floor(years / 400);
  return years * 365 + leapDays + Math.floor((153 * sinceMarch + 2) / 5) + day - 1 - 719_468;
}
