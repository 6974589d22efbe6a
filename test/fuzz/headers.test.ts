/** Whatever a header holds: parsers of those that clients send neither throw nor take long, and what they give is bounded. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { clientOf } from "../../src/core/client-address.ts";
import { parseRequestDirectives } from "../../src/core/freshness.ts";
import { ifRangeApplies, parseEntityTags } from "../../src/core/precondition.ts";
import { parseRange, RANGES_MAX } from "../../src/core/range.ts";
import { isAtollError } from "../../src/errors.ts";
import { parseDigestFields } from "../../src/http/digest-fields.ts";
import { parseHttpDate } from "../../src/http/http-date.ts";
import { parseTarget } from "../../src/http/target.ts";
import { continueTrace } from "../../src/http/traceparent.ts";
import { createSeededRandom } from "../helpers/fake-random.ts";
import { HEADER_VALUES } from "./header-values.ts";
import { bendText } from "./mutation.ts";

/** As long as a listener lets a header be. */
const CHARS_MAX = 32 << 10;
/** Far more than any of them needs, far less than quadratic time takes. */
const MS_MAX = 250;

/** In its form, bent, or nothing like it. */
const value = (name: string) =>
  fc.oneof(
    fc.integer().map((seed) => HEADER_VALUES[name]!(createSeededRandom(seed))),
    fc.integer().map((seed) =>
      bendText(HEADER_VALUES[name]!(createSeededRandom(seed)), createSeededRandom(~seed))
    ),
    fc.string({ maxLength: 200, unit: "binary" }),
  );

const PARSERS: Readonly<Record<string, (text: string) => void>> = {
  Range: (text) => {
    const result = parseRange(text, 10_000);
    if (result.kind !== "ranges") return;
    assert.ok(result.ranges.length >= 1 && result.ranges.length <= RANGES_MAX, JSON.stringify(result));
    for (const { first, last } of result.ranges) {
      assert.ok(0 <= first && first <= last && last < 10_000, JSON.stringify(result));
    }
  },
  "If-Match": (text) => void parseEntityTags(text),
  "If-None-Match": (text) => void parseEntityTags(text),
  "If-Range": (text) => void ifRangeApplies(text, { sha256: "0".repeat(64) }),
  "If-Modified-Since": (text) => {
    const ms = parseHttpDate(text, 1_800_000_000_000);
    assert.ok(ms === undefined || Number.isFinite(ms), `${ms}`);
  },
  "Cache-Control": (text) => {
    for (const seconds of Object.values(parseRequestDirectives(text))) {
      if (typeof seconds === "number") assert.ok(seconds >= 0, `${seconds}`);
    }
  },
  "Content-Digest": (text) =>
    void parseDigestFields((name) => (name === "content-digest" ? text : undefined)),
  "Content-MD5": (text) => void parseDigestFields((name) => (name === "content-md5" ? text : undefined)),
  traceparent: (text) => {
    const { header } = continueTrace(text, "b".repeat(16), "c".repeat(32));
    assert.match(header, /^00-[0-9a-f]{32}-b{16}-0[01]$/);
  },
  "X-Forwarded-For": (text) => {
    for (const proxies of [1, 2]) {
      const client = clientOf({ kind: "x-forwarded-for", proxies }, "::ffff:10.0.0.1", () => text);
      assert.match(client, /^[0-9a-f.:]{1,60}(\/64)?$/);
    }
  },
};

for (const [name, parse] of Object.entries(PARSERS)) {
  test(`${name}: any text is read without a fault`, () => {
    fc.assert(fc.property(value(name), (text) => parse(text)), { numRuns: 500 });
  });

  test(`${name}: the longest text is read at once`, () => {
    for (
      const piece of [
        " ",
        ",",
        '"',
        "a=",
        "\t,",
        '"a",',
        "0-0,",
        "bytes=",
        ":",
        "-1,",
        "a;b=1,",
        "::",
        "((",
        "\\",
      ]
    ) {
      const text = piece.repeat(CHARS_MAX / piece.length);
      for (const whole of [text, `bytes=${text}`, `"${text}`, `sha-256=:${text}`]) {
        const begunMs = performance.now();
        parse(whole);
        const tookMs = performance.now() - begunMs;
        assert.ok(
          tookMs < MS_MAX,
          `wanted less than ${MS_MAX} ms for ${piece} again and again, got ${tookMs}`,
        );
      }
    }
  });
}

test("any target names something or is refused with a reason", () => {
  const pieces = fc.constantFrom(
    "/",
    "a",
    "abc",
    "%2e",
    "%",
    "%ff",
    "..",
    "?",
    "#",
    "://",
    "_",
    "livez",
    "\xe9",
    "*",
  );
  fc.assert(fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
    try {
      parseTarget(parts.join(""));
    } catch (error) {
      assert.ok(isAtollError(error, "invalid-key", "invalid-bucket"), String(error));
    }
  }));
});
