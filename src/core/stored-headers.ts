/**
 * What an object may keep of headers. The same bounds where they are written, where they come from a peer and where they are
 * read back from disk: what was acknowledged must never turn out to be more than can be read.
 */

const COUNT_MAX = 256;
const NAME_CHARS_MAX = 256;
/** Of one value. */
export const HEADER_CHARS_MAX = 16_384;
/** Names and values together: pages of many objects are read whole. */
const CHARS_MAX = 32_768;
/** A token as in RFC 9110 section 5.6.2, in lower case. */
const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;

/** What is wrong with them, or undefined; as it is told to whoever sent them. */
export function headersProblem(headers: Readonly<Record<string, string>>): string | undefined {
  const names = Object.keys(headers);
  if (names.length > COUNT_MAX) return `wanted at most ${COUNT_MAX} headers to keep, got ${names.length}`;
  let chars = 0;
  for (const name of names) {
    const { length } = headers[name]!;
    // `__proto__` is a token, too, and no header's name.
    if (!NAME.test(name) || name === "__proto__") {
      return `wanted a header's name, got ${JSON.stringify(name.slice(0, 40))}`;
    }
    if (name.length > NAME_CHARS_MAX) {
      return `wanted a header's name of at most ${NAME_CHARS_MAX} characters, got ${name.length}: ${
        name.slice(0, 40)
      }…`;
    }
    if (length > HEADER_CHARS_MAX) {
      return `wanted at most ${HEADER_CHARS_MAX} characters of ${name}, got ${length}`;
    }
    chars += name.length + length;
  }
  return chars > CHARS_MAX
    ? `wanted at most ${CHARS_MAX} characters of headers to keep, got ${chars}`
    : undefined;
}
