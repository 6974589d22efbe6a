/** What is kept of an answer, for whom, and what is passed on: by the categories of the public cache tests. */
import { type Case, reuse, runCases } from "../helpers/cache-cases.ts";

const FRESH = ["Cache-Control", "max-age=3600"] as const;

const STATUSES = [200, 203, 299, 300, 301, 302, 303, 307, 308, 400, 403, 404, 405, 410, 414, 418, 451];
const SERVER_STATUSES = [499, 500, 501, 502, 503, 504, 599];
const status: readonly Case[] = [...STATUSES, ...SERVER_STATUSES].flatMap((code) => [
  reuse(`${code} with max-age`, "RFC 9111 3", true, [FRESH], code),
  reuse(`${code} without freshness`, "RFC 9111 3", false, [], code),
]);

const statusMore: readonly Case[] = [
  {
    what: "204 with max-age is reused",
    section: "RFC 9110 15.3.5",
    origin: [{ status: 204, headers: [FRESH] }],
    steps: [
      { body: null, asked: 1, status: 204 },
      { body: null, asked: 1, status: 204, has: { "content-length": null } },
    ],
  },
  {
    what: "206 that nobody asked for is passed on and not kept",
    section: "RFC 9111 3.3",
    origin: [{ status: 206, headers: [FRESH, ["Content-Range", "bytes 0-7/100"]] }],
    steps: [{ body: 1, asked: 1, status: 206 }, { body: 2, asked: 2, status: 206 }],
  },
  {
    what: "a redirect is passed on with its Location",
    section: "RFC 9110 15.4",
    origin: [{ status: 302, headers: [FRESH, ["Location", "/elsewhere"]] }],
    steps: [1, 2].map(() => ({ body: 1, asked: 1, status: 302, has: { location: "/elsewhere" } })),
  },
];

const KEPT: readonly (readonly [string, string])[] = [
  ["Test-Header", "a, b"],
  ["Constructor", "a, b"],
  ["Content-Type", "text/x-test; charset=utf-8"],
  ["Content-Language", "de"],
  ["Content-Encoding", "x-test"],
  ["Content-Location", "/there"],
  ["Content-Disposition", 'attachment; filename="a.txt"'],
  ["Content-Security-Policy", "default-src 'self'"],
  ["Cache-Tag", "a,b"],
  ["Expires", "Thu, 18 Aug 2050 02:01:18 GMT"],
  ["ETag", 'W/"weak one"'],
  ["Last-Modified", "Thu, 18 Aug 2022 02:01:18 GMT"],
  ["Date", new Date(Date.now() - 60_000).toUTCString()],
  ["Server", "Scripted/1"],
  ["Link", "</a>; rel=preload"],
  ["X-Frame-Options", "DENY"],
  ["Retry-After", "5"],
  ["WWW-Authenticate", "Basic realm=x"],
  ["Accept-Ranges", "none"],
];
const DROPPED: readonly (readonly [string, string])[] = [
  ["Keep-Alive", "timeout=1"],
  ["Proxy-Connection", "x"],
  ["Proxy-Authenticate", "Basic"],
  ["Proxy-Authentication-Info", "x"],
  ["TE", "x"],
  ["Trailer", "x-t"],
  ["Upgrade", "x/1"],
  ["Set-Cookie", "session=secret"],
  // Not without being asked: see origin-browsers.test.ts.
  ["Access-Control-Allow-Origin", "*"],
  ["Strict-Transport-Security", "max-age=1"],
];
const headers: readonly Case[] = [
  ...KEPT.map(([name, value]): Case => ({
    what: `${name} is kept and passed on`,
    section: "RFC 9111 3.1",
    origin: [{ headers: [FRESH, [name, value]] }],
    steps: [1, 2].map(() => ({ body: 1, asked: 1, has: { [name.toLowerCase()]: value } })),
  })),
  ...DROPPED.map(([name, value]): Case => ({
    what: `${name} is neither kept nor passed on`,
    section: "RFC 9110 7.6.1",
    origin: [{ headers: [FRESH, [name, value]] }],
    steps: [1, 2].map(() => ({ body: 1, asked: 1, has: { [name.toLowerCase()]: null } })),
  })),
  {
    what: "what Connection names is neither kept nor passed on, the rest is",
    section: "RFC 9110 7.6.1",
    origin: [{ headers: [FRESH, ["Connection", "a, X-B"], ["A", "1"], ["X-B", "2"], ["C", "3"]] }],
    steps: [1, 2].map(() => ({ body: 1, asked: 1, has: { a: null, "x-b": null, c: "3" } })),
  },
  {
    what: "Age is that of the copy, Via names the cache",
    section: "RFC 9111 5.1",
    origin: [{ headers: [FRESH, ["Age", "100"], ["Via", "1.1 other"]] }],
    steps: [
      { body: 1, asked: 1, has: { age: /^10\d$/, via: "1.1 other, 1.1 atoll" } },
      { body: 1, asked: 1, has: { age: /^10\d$/, via: "1.1 other, 1.1 atoll" } },
    ],
  },
  {
    what: "several lines of a header are one list",
    section: "RFC 9110 5.2",
    origin: [{ headers: [FRESH, ["X-A", "1"], ["X-A", "2"]] }],
    steps: [1, 2].map(() => ({ body: 1, asked: 1, has: { "x-a": "1, 2" } })),
  },
  {
    what: "Cache-Status says what came of it",
    section: "RFC 9211 2",
    origin: [{ headers: [FRESH] }],
    steps: [
      {
        body: 1,
        asked: 1,
        has: { "cache-status": "atoll; fwd=uri-miss; fwd-status=200; stored; detail=origin" },
      },
      {
        body: 1,
        asked: 1,
        has: { "cache-status": /^atoll; (hit; ttl=3[56]\d\d|fwd=uri-miss; .*collapsed; detail=origin)$/ },
      },
    ],
  },
];

const vary: readonly Case[] = [
  {
    what: "the same value of what is named is a match",
    section: "RFC 9111 4.1",
    origin: [{ headers: [FRESH, ["Vary", "Foo"]] }],
    steps: [
      { headers: { foo: "1" }, body: 1, asked: 1, sent: { foo: "1" } },
      { headers: { foo: "1" }, body: 1, asked: 1 },
    ],
  },
  {
    what: "another value is none, and both are kept",
    section: "RFC 9111 4.1",
    origin: [{ headers: [FRESH, ["Vary", "Foo"]] }],
    steps: [
      { headers: { foo: "1" }, body: 1, asked: 1 },
      { headers: { foo: "2" }, body: 2, asked: 2 },
      { headers: { foo: "1" }, body: 1, asked: 2 },
      { headers: { foo: "2" }, body: 2, asked: 2 },
      { headers: { foo: "3" }, body: 3, asked: 3 },
    ],
  },
  {
    what: "a value and none are not alike",
    section: "RFC 9111 4.1",
    origin: [{ headers: [FRESH, ["Vary", "Foo"]] }],
    steps: [
      { headers: { foo: "1" }, body: 1, asked: 1 },
      { body: 2, asked: 2 },
      { body: 2, asked: 2 },
      { headers: { foo: "" }, body: null, asked: 3 },
    ],
  },
  {
    what: "none and none are alike",
    section: "RFC 9111 4.1",
    origin: [{ headers: [FRESH, ["Vary", "Foo"]] }],
    steps: [{ body: 1, asked: 1 }, { body: 1, asked: 1 }],
  },
  {
    what: "two names must both match",
    section: "RFC 9111 4.1",
    origin: [{ headers: [FRESH, ["Vary", "Foo, Bar"]] }],
    steps: [
      { headers: { foo: "1", bar: "2" }, body: 1, asked: 1 },
      { headers: { foo: "1", bar: "2" }, body: 1, asked: 1 },
      { headers: { foo: "1", bar: "3" }, body: 2, asked: 2 },
      { headers: { foo: "2", bar: "2" }, body: 3, asked: 3 },
    ],
  },
  {
    what: "names in two lines must both match",
    section: "RFC 9111 4.1",
    origin: [{ headers: [FRESH, ["Vary", "Foo"], ["Vary", "Bar"]] }],
    steps: [
      { headers: { foo: "1", bar: "2" }, body: 1, asked: 1 },
      { headers: { foo: "1", bar: "3" }, body: 2, asked: 2 },
    ],
  },
  {
    what: "names are of no case, and empty members mean nothing",
    section: "RFC 9110 12.5.5",
    origin: [{ headers: [FRESH, ["Vary", ", FOO, ,"]] }],
    steps: [
      { headers: { foo: "1" }, body: 1, asked: 1 },
      { headers: { Foo: "1" }, body: 1, asked: 1 },
      { headers: { foo: "2" }, body: 2, asked: 2 },
    ],
  },
  {
    what: "space within a list of values means nothing",
    section: "RFC 9111 4.1",
    origin: [{ headers: [FRESH, ["Vary", "Foo"]] }],
    steps: [
      { headers: { foo: "1, 2" }, body: 1, asked: 1 },
      { headers: { foo: "1,2" }, body: 1, asked: 1 },
      { headers: { foo: "2, 1" }, body: 2, asked: 2 },
    ],
  },
  ...(["*", "*, Foo", "Foo, *", ", *", "foo,*,bar"] as const).map((value): Case =>
    reuse(`Vary: ${value}`, "RFC 9111 4.1", false, [FRESH, ["Vary", value]])
  ),
  {
    what: "Accept-Encoding chooses between variants",
    section: "RFC 9110 12.5.3",
    origin: [{ headers: [FRESH, ["Vary", "Accept-Encoding"]] }],
    steps: [
      { headers: { "accept-encoding": "gzip" }, body: 1, asked: 1, sent: { "accept-encoding": "gzip" } },
      { headers: { "accept-encoding": "br" }, body: 2, asked: 2 },
      { headers: { "accept-encoding": "gzip" }, body: 1, asked: 2 },
    ],
  },
  {
    what: "what the origin is not shown cannot be what it varies by",
    section: "RFC 9111 4.1",
    origin: [{ headers: [FRESH, ["Vary", "Cookie"]] }],
    steps: [
      { headers: { cookie: "a=1" }, body: 1, asked: 1, sent: { cookie: null } },
      { headers: { cookie: "a=2" }, body: 1, asked: 1 },
    ],
  },
  {
    what: "a name that every object has is one like any other",
    section: "RFC 9110 12.5.5",
    origin: [{ headers: [FRESH, ["Vary", "Constructor, __proto__, Foo"]] }],
    steps: [
      { headers: { foo: "1" }, body: 1, asked: 1, has: { vary: "Constructor, __proto__, Foo" } },
      { headers: { foo: "2" }, body: 2, asked: 2 },
      { headers: { foo: "1" }, body: 1, asked: 2 },
      { headers: { foo: "2" }, body: 2, asked: 2 },
      { headers: { foo: "1", constructor: "x" }, body: 3, asked: 3, sent: { constructor: "x" } },
      { headers: { foo: "1", constructor: "x" }, body: 3, asked: 3 },
    ],
  },
  {
    what: "an answer that varies by something else takes the place of all before it",
    section: "RFC 9111 4.1",
    origin: [
      { headers: [FRESH, ["Vary", "Foo"]] },
      { headers: [FRESH, ["Vary", "Bar"]] },
    ],
    steps: [
      { headers: { foo: "1" }, body: 1, asked: 1 },
      { headers: { foo: "2" }, body: 2, asked: 2 },
      { headers: { foo: "3" }, body: 2, asked: 2 },
    ],
  },
];

const AUTH = { authorization: "Basic Zm9vOmJhcg==" };
const auth: readonly Case[] = ([
  ["max-age", false],
  ["max-age=3600, public", true],
  ["max-age=3600, must-revalidate", true],
  ["s-maxage=3600", true],
  ["public, no-store", false],
] as const).map(([value, isReused]): Case => ({
  what: `an answer to Authorization with ${value} is ${isReused ? "" : "not "}reused`,
  section: "RFC 9111 3.5",
  origin: [{ headers: [["Cache-Control", value === "max-age" ? "max-age=3600" : value]] }],
  steps: [
    { headers: AUTH, body: 1, asked: 1, sent: AUTH },
    isReused ? { headers: AUTH, body: 1, asked: 1 } : { headers: AUTH, body: 2, asked: 2 },
    isReused ? { body: 1, asked: 1 } : { body: 3, asked: 3, sent: { authorization: null } },
  ],
}));

const request: readonly Case[] = [
  {
    what: "the origin is told who asks, and not what is none of its business",
    section: "RFC 9110 7.6.3, RFC 8586",
    origin: [{ headers: [FRESH] }],
    steps: [{
      headers: {
        via: "1.1 other",
        "cdn-loop": "other; a=b",
        cookie: "a=b",
        te: "trailers",
        "proxy-authorization": "x",
        range: "bytes=0-1",
        "if-none-match": '"x"',
        "x-secret": "x",
      },
      body: null,
      asked: 1,
      sent: {
        via: /^1\.1 other, 1\.1 atoll-[0-9a-f]+$/,
        "cdn-loop": /^other; a=b, atoll-[0-9a-f]+$/,
        cookie: null,
        te: null,
        "proxy-authorization": null,
        range: null,
        "if-none-match": null,
        "x-secret": null,
        host: /^127\.0\.0\.1:\d+$/,
      },
    }],
  },
];

runCases({ forward: ["foo", "bar", "authorization", "constructor"] }, [
  ...status,
  ...statusMore,
  ...headers,
  ...vary,
  ...auth,
  ...request,
]);
