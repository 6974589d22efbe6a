/**
 * `Range` of a GET (RFC 9110 section 14). A header that cannot be honoured is ignored and the whole is sent, which is
 * always a right answer; only a well-formed one that lies beyond the end is unsatisfiable.
 */

/** Bytes `first` to `last`, both inclusive. */
export interface ByteRange {
  readonly first: number;
  readonly last: number;
}

export type RangeResult =
  /** `isTooMany`: for that reason alone. */
  | { readonly kind: "whole"; readonly isTooMany?: true }
  /** Not empty, disjoint, each within the object; in the order asked for. */
  | { readonly kind: "ranges"; readonly ranges: readonly ByteRange[] }
  | { readonly kind: "unsatisfiable" };

/** Each part costs a head of some hundred bytes and a seek: many tiny ones are an attack (section 17.15). */
export const RANGES_MAX = 16;
const HEADER_CHARS_MAX = 1000;

const WHOLE: RangeResult = { kind: "whole" };
const TOO_MANY: RangeResult = { kind: "whole", isTooMany: true };
const UNSATISFIABLE: RangeResult = { kind: "unsatisfiable" };
const RANGE_SPEC = /^(\d*)-(\d*)$/;

export function parseRange(header: string | undefined | null, sizeBytes: number): RangeResult {
  if (!header) return WHOLE;
  // An empty object has no byte to point at; clients that always send `bytes=0-` want an empty 200 and break on a 416.
  if (sizeBytes === 0) return WHOLE;
  if (header.slice(0, 6).toLowerCase() !== "bytes=") return WHOLE;
  if (header.length > HEADER_CHARS_MAX) return TOO_MANY;
  const wanted: ByteRange[] = [];
  let specs = 0;
  for (const element of header.slice(6).split(",")) {
    const text = element.replace(/^[ \t]+|[ \t]+$/g, "");
    if (text === "") continue; // section 5.6.1.2: a recipient ignores empty list elements
    const range = parseSpec(text, sizeBytes);
    if (range === "malformed") return WHOLE;
    specs++;
    if (range !== "beyond") wanted.push(range);
  }
  if (specs === 0) return WHOLE;
  if (wanted.length === 0) return UNSATISFIABLE;
  const ranges = coalesce(wanted);
  return ranges.length > RANGES_MAX ? TOO_MANY : { kind: "ranges", ranges };
}

/** One `first-last`, `first-` or `-suffix`, clamped to the object. */
function parseSpec(text: string, sizeBytes: number): ByteRange | "malformed" | "beyond" {
  const [, firstText, lastText] = RANGE_SPEC.exec(text) ?? [];
  if (firstText === undefined || lastText === undefined) return "malformed";
  if (firstText === "" && lastText === "") return "malformed";
  const first = Number(firstText);
  const last = Number(lastText);
  // Beyond 2^53 a number is no longer the one that was sent, so `last < first` could not be decided.
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(last)) return "malformed";
  if (firstText === "") {
    return last === 0 ? "beyond" : { first: Math.max(0, sizeBytes - last), last: sizeBytes - 1 };
  }
  if (lastText !== "" && last < first) return "malformed"; // section 14.1.1: invalid, not merely unsatisfiable
  if (first >= sizeBytes) return "beyond";
  return { first, last: lastText === "" ? sizeBytes - 1 : Math.min(last, sizeBytes - 1) };
}

/**
 * Joins ranges that overlap, so that no byte is sent twice and an answer is never larger than the object, and those that
 * continue an earlier one. A range that ends where an earlier one begins stays apart: whoever asks for the tail first
 * (section 15.3.7.2) wants it first.
 */
function coalesce(wanted: readonly ByteRange[]): ByteRange[] {
  const joined: ByteRange[] = [];
  for (const range of wanted) {
    let place = joined.findIndex((earlier) => joins(earlier, range));
    if (place === -1) {
      joined.push(range);
      continue;
    }
    joined[place] = union(joined[place]!, range);
    // What has grown may now reach others: they move into the earliest of them, until nothing touches any more.
    for (let other = 0; other < joined.length; other++) {
      const [low, high] = other < place ? [other, place] : [place, other];
      if (low === high || !joins(joined[low]!, joined[high]!)) continue;
      joined[low] = union(joined[low]!, joined[high]!);
      joined.splice(high, 1);
      place = low;
      other = -1;
    }
  }
  return joined;
}

function joins(earlier: ByteRange, later: ByteRange): boolean {
  return later.first <= earlier.last + 1 && earlier.first <= later.last;
}

function union(a: ByteRange, b: ByteRange): ByteRange {
  return { first: Math.min(a.first, b.first), last: Math.max(a.last, b.last) };
}
