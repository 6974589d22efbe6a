import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  mayUse,
  mayUseWhenUnreachable,
  parsePolicy,
  parseRequestDirectives,
  servedCacheControl,
} from "../../src/core/freshness.ts";

const COMMIT_MS = Date.UTC(1994, 10, 6, 8, 49, 37) + 250;

type Headers = Record<string, string>;

/** `fresh 5`, `ask`, …: one word for a decision. Unless said otherwise it was known current only at its commit. */
function use(
  headers: Headers | string,
  ageSeconds: number,
  request?: string,
  sinceCommitSeconds = ageSeconds,
): string {
  const policy = parsePolicy(typeof headers === "string" ? { "cache-control": headers } : headers, COMMIT_MS);
  const decided = mayUse(
    policy,
    ageSeconds * 1000,
    COMMIT_MS + sinceCommitSeconds * 1000,
    parseRequestDirectives(request),
  );
  return "ttlSeconds" in decided ? `${decided.kind} ${decided.ttlSeconds}` : decided.kind;
}

function useInNeed(cacheControl: string, ageSeconds: number, request?: string): number | "no" {
  const policy = parsePolicy({ "cache-control": cacheControl }, COMMIT_MS);
  const decided = mayUseWhenUnreachable(
    policy,
    ageSeconds * 1000,
    COMMIT_MS + ageSeconds * 1000,
    parseRequestDirectives(request),
  );
  return decided.kind === "use" ? decided.ttlSeconds : "no";
}

const SWR = "stale-while-revalidate";

test("mayUse asks each time where the object says nothing explicit", () => {
  for (
    const headers of [{}, { "cache-control": "" }, { "cache-control": "public" }, {
      "cache-control": "immutable",
    }]
  ) {
    assert.equal(use(headers as Headers, 0), "ask");
  }
  assert.equal(use("stale-while-revalidate=100, stale-if-error=100", 0), "ask");
  assert.equal(use("stale-while-revalidate=100", 0, "max-stale"), "ask");
});

test("mayUse takes max-age, and s-maxage before it", () => {
  const table: [string, number, string][] = [
    ["max-age=60", 0, "fresh 60"],
    ["max-age=60", 59.5, "fresh 0"],
    ["max-age=60", 60, "ask"],
    ["max-age=60", 61, "ask"],
    ["max-age=0", 0, "ask"],
    ["MAX-AGE=60", 10, "fresh 50"],
    ['max-age="60"', 10, "fresh 50"],
    ["max-age=060", 10, "fresh 50"],
    ["s-maxage=60, max-age=5", 10, "fresh 50"],
    ["s-maxage=5, max-age=60", 10, "ask"],
    ["max-age=60, immutable", 10, "fresh 50"],
    ["max-age=99999999999999999999", 10, "fresh 2147483638"],
  ];
  for (const [cacheControl, age, wanted] of table) assert.equal(use(cacheControl, age), wanted, cacheControl);
});

test("mayUse lets the most restrictive of duplicates and conflicts win, and takes the unreadable for stale", () => {
  const asking = [
    "max-age=60, no-cache",
    "max-age=60, no-store",
    "max-age=60, private",
    'max-age=60, no-cache="a"',
  ];
  asking.push(
    'max-age=60, private="set-cookie"',
    "public, private, max-age=60",
    "max-age=60, max-age=0",
    "max-age=-60",
  );
  asking.push(
    "max-age=60.5",
    "max-age=1m",
    "max-age",
    "max-age=",
    "max-age=60, max-age=x",
    "max-age=60, s-maxage=x",
  );
  asking.push(
    "max-age =60",
    "max-age=6 0",
    "max-age: 60",
    'max-age=60, x="',
    `max-age=60, ${"x,".repeat(40_000)}`,
  );
  for (const cacheControl of asking) assert.equal(use(cacheControl, 0), "ask", cacheControl.slice(0, 80));
  assert.equal(use("max-age=60, max-age=20", 10), "fresh 10");
});

test("mayUse reads Expires from the commit on", () => {
  const table: [Headers, string][] = [
    [{ expires: "Sun, 06 Nov 1994 08:50:37 GMT" }, "fresh 49"],
    [{ expires: "Sunday, 06-Nov-94 08:50:37 GMT" }, "fresh 49"],
    [{ expires: "Sun, 06 Nov 1994 08:49:37 GMT" }, "ask"],
    [{ expires: "Sun, 06 Nov 1994 08:00:00 GMT" }, "ask"],
    [{ expires: "0" }, "ask"],
    [{ expires: "Sun, 06 Nov 1994 08:50:37 GMT, Sun, 06 Nov 1994 08:50:37 GMT" }, "ask"],
    [{ expires: "Sun, 06 Nov 1994 08:50:37 GMT", "cache-control": "max-age=20" }, "fresh 10"],
    [{ expires: "0", "cache-control": "max-age=20" }, "fresh 10"],
    [{ expires: "Sun, 06 Nov 1994 08:50:37 GMT", "cache-control": "no-store" }, "ask"],
  ];
  for (const [headers, wanted] of table) assert.equal(use(headers, 10), wanted, JSON.stringify(headers));
});

test("mayUse uses nothing unasked beyond the instant of Expires, however lately it was known current", () => {
  const expires = "Sun, 06 Nov 1994 08:50:37 GMT"; // 59.75 s after the commit
  const table: [Headers, ageSeconds: number, sinceCommitSeconds: number, string][] = [
    [{ expires }, 1, 50, "fresh 9"],
    [{ expires }, 0, 59.5, "fresh 0"],
    [{ expires }, 0, 59.75, "ask"],
    [{ expires }, 1, 86_400, "ask"],
    [{ expires, "cache-control": `${SWR}=10` }, 1, 65, `${SWR} -6`],
    [{ expires, "cache-control": `${SWR}=10` }, 1, 70, "ask"],
    // By a clock that is an hour behind, no longer than its lifetime after it was known.
    [{ expires }, 59, -3_600, "fresh 1"],
    [{ expires }, 60, -3_600, "ask"],
    // Section 5.3: max-age goes before it, and so does what is meant for shared caches alone.
    [{ expires, "cache-control": "max-age=20" }, 1, 86_400, "fresh 19"],
    [{ expires, "cache-control": "s-maxage=20" }, 1, 86_400, "fresh 19"],
    [{ expires, "cdn-cache-control": "max-age=20" }, 1, 86_400, "fresh 19"],
  ];
  for (const [headers, age, since, wanted] of table) {
    assert.equal(use(headers, age, undefined, since), wanted, `${JSON.stringify(headers)} ${age} ${since}`);
  }
  const policy = parsePolicy({ expires, "cache-control": "stale-if-error=10" }, COMMIT_MS);
  const inNeed = (since: number) =>
    mayUseWhenUnreachable(policy, 1_000, COMMIT_MS + since * 1_000, parseRequestDirectives(undefined)).kind;
  assert.deepEqual([inNeed(69), inNeed(70)], ["use", "no"]);
});

test("mayUse goes by a valid CDN-Cache-Control alone (RFC 9213)", () => {
  const table: [cdn: string, cacheControl: string, string][] = [
    ["max-age=60", "no-store", "fresh 50"],
    ["max-age=60", "max-age=11", "fresh 50"],
    ["max-age=60;x=1, y", "", "fresh 50"],
    ["no-store", "max-age=60", "ask"],
    ["private, max-age=60", "max-age=60", "ask"],
    ["no-cache", "max-age=60", "ask"],
    ["max-age=0", "max-age=60", "ask"],
    ["unknown", "max-age=60", "ask"], // valid, not empty, and silent about freshness
    ["no-store=?0, max-age=60", "", "fresh 50"],
    ['max-age="60"', "max-age=60", "ask"],
    ["max-age=60.0", "max-age=60", "ask"],
    ["max-age=-60", "max-age=60", "ask"],
    ["", "max-age=60", "fresh 50"],
    ["max-age=5,", "max-age=60", "fresh 50"], // broken: ignored as a whole
    ["Max-Age=5", "max-age=60", "fresh 50"],
    ["max-age =5", "no-store", "ask"],
  ];
  for (const [cdn, cacheControl, wanted] of table) {
    const headers = { "cdn-cache-control": cdn, "cache-control": cacheControl };
    assert.equal(use(headers, 10), wanted, `${cdn} | ${cacheControl}`);
  }
  const own = { "atoll-cdn-cache-control": "max-age=5", "cdn-cache-control": "max-age=60" };
  assert.equal(use(own, 3), "fresh 2", "what is meant for this cache alone goes first");
  assert.equal(use(own, 10), "ask");
  assert.equal(
    use({ ...own, "atoll-cdn-cache-control": "max-age=5," }, 10),
    "fresh 50",
    "unless it is broken",
  );
  const expires = "Sun, 06 Nov 1994 08:50:37 GMT";
  assert.equal(use({ "cdn-cache-control": "public", expires }, 10), "ask", "Expires is replaced too");
});

test("mayUse serves stale while it revalidates, for as long as the object allows", () => {
  const table: [string, number, string][] = [
    ["max-age=60, stale-while-revalidate=30", 60, `${SWR} 0`],
    ["max-age=60, stale-while-revalidate=30", 60.5, `${SWR} -1`],
    ["max-age=60, stale-while-revalidate=30", 90, `${SWR} -30`],
    ["max-age=60, stale-while-revalidate=30", 90.001, "ask"],
    ["max-age=60, stale-while-revalidate=30, stale-while-revalidate=5", 70, "ask"],
    ["max-age=60, stale-while-revalidate=x", 61, "ask"],
    ["max-age=60, stale-while-revalidate=30, must-revalidate", 61, "ask"],
    ["max-age=60, stale-while-revalidate=30, proxy-revalidate", 61, "ask"],
    ["s-maxage=60, stale-while-revalidate=30", 61, "ask"],
    ["max-age=60, stale-while-revalidate=30, no-cache", 61, "ask"],
    ["max-age=0, stale-while-revalidate=30", 10, `${SWR} -10`],
  ];
  for (const [cacheControl, age, wanted] of table) {
    assert.equal(use(cacheControl, age), wanted, `${cacheControl} ${age}`);
  }
});

test("mayUse obeys the request", () => {
  const table: [request: string, string, number, string][] = [
    ["no-cache", "max-age=60", 1, "ask"],
    ["max-age=0", "max-age=60", 0, "ask"],
    ["max-age=0", "max-age=60, immutable", 1, "ask"],
    ["max-age=10", "max-age=60", 10, "fresh 50"],
    ["max-age=10", "max-age=60", 11, "ask"],
    ["max-age=10, max-age=5", "max-age=60", 6, "ask"],
    ["max-age=x", "max-age=60", 0, "ask"],
    ["min-fresh=20", "max-age=60", 40, "fresh 20"],
    ["min-fresh=20", "max-age=60", 41, "ask"],
    ["min-fresh=x", "max-age=60", 0, "ask"],
    ["min-fresh=5, min-fresh=20", "max-age=60", 41, "ask"],
    ["max-stale", "max-age=60", 1e6, `${SWR} -999940`],
    ["max-stale=10", "max-age=60", 70, `${SWR} -10`],
    ["max-stale=10", "max-age=60", 71, "ask"],
    ["max-stale=x", "max-age=60", 61, "ask"],
    ["max-stale, max-stale=1", "max-age=60", 65, "ask"],
    ["max-stale=10", "max-age=60, must-revalidate", 65, "ask"],
    ["max-stale=10", "max-age=60, proxy-revalidate", 65, "ask"],
    ["max-stale=10", "s-maxage=60", 65, "ask"],
    ["max-stale=10", "max-age=60, no-cache", 1, "ask"],
    ["max-stale=10", "max-age=60, no-store", 1, "ask"],
    ["max-stale=100, max-age=65", "max-age=60", 65, `${SWR} -5`],
    ["max-age=100", "max-age=60, stale-while-revalidate=60", 65, "ask"],
    ["max-age=100, max-stale=10", "max-age=60, stale-while-revalidate=60", 75, "ask"],
    ["max-stale=1", "max-age=60, stale-while-revalidate=60", 75, `${SWR} -15`],
    ["min-fresh=1", "max-age=60, stale-while-revalidate=60", 61, "ask"],
    ["only-if-cached", "max-age=60", 10, "fresh 50"],
    ["only-if-cached", "max-age=60", 60, "only-if-cached-miss"],
    ["only-if-cached", "", 0, "only-if-cached-miss"],
    ["only-if-cached, no-cache", "max-age=60", 0, "only-if-cached-miss"],
    ["only-if-cached, max-stale", "max-age=60", 65, `${SWR} -5`],
    ["only-if-cached, max-stale", "no-cache", 65, "only-if-cached-miss"],
    ['x="', "max-age=60", 0, "ask"],
    ["unknown=5, no-transform", "max-age=60", 10, "fresh 50"],
  ];
  for (const [request, cacheControl, age, wanted] of table) {
    assert.equal(use(cacheControl, age, request), wanted, `${request} | ${cacheControl} | ${age}`);
  }
});

test("mayUseWhenUnreachable goes by stale-if-error and max-stale, and by nothing else", () => {
  const table: [cacheControl: string, age: number, request: string | undefined, number | "no"][] = [
    ["max-age=60", 61, undefined, "no"],
    ["max-age=60, stale-while-revalidate=90", 100, undefined, "no"],
    ["max-age=60, stale-if-error=30", 90, undefined, -30],
    ["max-age=60, stale-if-error=30", 90.5, undefined, "no"],
    ["max-age=60, stale-if-error=30", 61, "max-age=0", -1],
    ["max-age=60, stale-if-error=30", 20, "max-age=0", 40],
    ["max-age=60, stale-if-error=30", 61, "no-cache", "no"],
    ["max-age=60, stale-if-error=30, must-revalidate", 61, undefined, "no"],
    ["max-age=60, stale-if-error=30, proxy-revalidate", 61, undefined, "no"],
    ["s-maxage=60, stale-if-error=30", 61, undefined, "no"],
    ["max-age=60, stale-if-error=30, no-cache", 61, undefined, "no"],
    ["max-age=60, stale-if-error=30, no-store", 61, undefined, "no"],
    ["max-age=60, stale-if-error=30, private", 61, undefined, "no"],
    ["stale-if-error=30", 1, undefined, "no"],
    ["max-age=60", 70, "stale-if-error=10", -10],
    ["max-age=60", 71, "stale-if-error=10", "no"],
    ["max-age=60", 71, "stale-if-error", "no"],
    ["max-age=60", 70, "max-stale=10", -10],
    ["max-age=60", 1e6, "max-stale", -999940],
    ["max-age=60, must-revalidate", 61, "max-stale, stale-if-error=10", "no"],
    ["", 1, "max-stale, stale-if-error=10", "no"],
  ];
  for (const [cacheControl, age, request, wanted] of table) {
    assert.equal(useInNeed(cacheControl, age, request), wanted, `${cacheControl} | ${age} | ${request}`);
  }
});

test("mayUse never answers unasked beyond what the object and the request allow together", () => {
  const seconds = fc.nat(100);
  const directive = fc.oneof(
    fc.constantFrom("no-cache", "no-store", "private", "must-revalidate", "public", "proxy-revalidate"),
    fc.tuple(fc.constantFrom("max-age", "s-maxage", SWR), seconds).map((pair) => pair.join("=")),
  );
  const asked = fc.tuple(fc.constantFrom("max-age", "max-stale", "min-fresh"), seconds).map((pair) =>
    pair.join("=")
  );
  const list = (items: fc.Arbitrary<string>) => fc.array(items, { maxLength: 4 });
  const numbers = (all: string[], name: string) =>
    all.filter((one) => one.startsWith(`${name}=`)).map((one) => Number(one.slice(name.length + 1)));
  fc.assert(
    fc.property(list(directive), list(asked), fc.nat(300), (stored, request, age) => {
      if (["ask"].includes(use(stored.join(", "), age, request.join(", ")))) return;
      assert.ok(!stored.some((one) => ["no-cache", "no-store", "private"].includes(one)));
      const explicit = [...numbers(stored, "max-age"), ...numbers(stored, "s-maxage")];
      assert.ok(explicit.length > 0);
      const strict = stored.some((one) => /^(must-revalidate|proxy-revalidate|s-maxage)/.test(one));
      const extra = strict ? 0 : Math.max(0, ...numbers(stored, SWR), ...numbers(request, "max-stale"));
      assert.ok(age <= Math.max(...explicit) + extra);
      assert.ok(numbers(request, "max-age").every((most) => age <= most));
    }),
    { numRuns: 3000 },
  );
});

test("parseRequestDirectives of no header is one and the same object", () => {
  assert.equal(parseRequestDirectives(undefined), parseRequestDirectives(""));
});

test("servedCacheControl makes caches further out ask where no explicit freshness is theirs", () => {
  const table: [Headers, string | undefined][] = [
    [{}, "no-cache"],
    [{ "cache-control": "max-age=60" }, "max-age=60"],
    [{ "cache-control": "S-MaxAge=60, Public" }, "S-MaxAge=60, Public"],
    [{ "cache-control": "public" }, "public, no-cache"],
    [{ "cache-control": "private" }, "private, no-cache"],
    [{ "cache-control": "no-store" }, "no-store"],
    [{ "cache-control": "no-cache" }, "no-cache"],
    [{ "cdn-cache-control": "max-age=60" }, "no-cache"],
    [{ expires: "Sun, 06 Nov 1994 08:50:37 GMT" }, undefined],
    [{ expires: "0" }, undefined],
  ];
  for (const [headers, wanted] of table) {
    assert.equal(servedCacheControl(parsePolicy(headers, COMMIT_MS), headers["cache-control"]), wanted);
  }
});
