/** What clients ask of a cache, and what it asks of an origin: by the categories of the public cache tests. */
import { at, type Case, type Fields, runCases, type Step } from "../helpers/cache-cases.ts";
import type { Reply } from "../helpers/scripted-origin.ts";

type Lines = NonNullable<Reply["headers"]>;

const FRESH = ["Cache-Control", "max-age=3600"] as const;
const AGED = ["Age", "7200"] as const;
const TAG = ["ETag", '"a"'] as const;
const MODIFIED = at(-86_400);
const HANG_UP: Reply = { raw: (socket) => void socket.destroy() };

/** Kept, and stale from the beginning. */
function stale(cacheControl: string, ...more: Lines): Reply {
  return { headers: [["Cache-Control", cacheControl], AGED, TAG, ...more] };
}

function conditional(
  what: string,
  section: string,
  kept: Lines,
  headers: Fields,
  status: number,
  has: Step["has"] = {},
): Case {
  const body = status === 304 ? "" : status === 412 ? null : 1;
  return {
    what,
    section,
    origin: [{ headers: [FRESH, ...kept] }],
    steps: [{ body: 1, asked: 1 }, { headers, body, asked: 1, status, has }],
  };
}

const LM = ["Last-Modified", MODIFIED] as const;
const conditions: readonly Case[] = [
  conditional("the same tag", "RFC 9110 13.1.2", [TAG], { "if-none-match": '"a"' }, 304, {
    etag: '"a"',
    "cache-control": "max-age=3600",
    "content-length": null,
  }),
  conditional("another tag", "RFC 9110 13.1.2", [TAG], { "if-none-match": '"b"' }, 200),
  conditional("one of several tags", "RFC 9110 13.1.2", [TAG], { "if-none-match": '"b", "a"' }, 304),
  conditional("any tag", "RFC 9110 13.1.2", [TAG], { "if-none-match": "*" }, 304),
  conditional("any tag of what has none", "RFC 9110 13.1.2", [], { "if-none-match": "*" }, 304),
  conditional("a tag of what has none", "RFC 9110 13.1.2", [], { "if-none-match": '"a"' }, 200),
  conditional("a weak tag for a strong one", "RFC 9110 8.8.3.2", [TAG], { "if-none-match": 'W/"a"' }, 304),
  conditional("a strong tag for a weak one", "RFC 9110 8.8.3.2", [["ETag", 'W/"a"']], {
    "if-none-match": '"a"',
  }, 304),
  conditional(
    "a tag with a comma in it",
    "RFC 9110 8.8.3",
    [["ETag", '"a,b"']],
    { "if-none-match": '"a,b"' },
    304,
  ),
  conditional("a tag that is not quoted", "RFC 9110 8.8.3", [TAG], { "if-none-match": "a" }, 200),
  conditional("a tag that is not quoted, whatever the date says", "RFC 9110 13.1.3", [TAG, LM], {
    "if-none-match": "a",
    "if-modified-since": at(0),
  }, 200),
  conditional("more tags than are read, whatever the date says", "RFC 9110 13.1.3", [TAG, LM], {
    "if-none-match": Array.from({ length: 1_000 }, (_, n) => `"tag-${n}"`).join(", "),
    "if-modified-since": at(0),
  }, 200),
  conditional("a tag wanted that is not quoted, whatever the date says", "RFC 9110 13.1.4", [TAG, LM], {
    "if-match": "a",
    "if-unmodified-since": at(0),
  }, 412),
  conditional(
    "not modified since that second",
    "RFC 9110 13.1.3",
    [LM],
    { "if-modified-since": MODIFIED },
    304,
  ),
  conditional("not modified since later", "RFC 9110 13.1.3", [LM], { "if-modified-since": at(-3600) }, 304),
  conditional("modified since earlier", "RFC 9110 13.1.3", [LM], { "if-modified-since": at(-172_800) }, 200),
  conditional(
    "modified since a date that is none",
    "RFC 9110 13.1.3",
    [LM],
    { "if-modified-since": "x" },
    200,
  ),
  conditional(
    "modified since, of what has no date",
    "RFC 9110 13.1.3",
    [],
    { "if-modified-since": at(0) },
    200,
  ),
  conditional("another tag goes before a date", "RFC 9110 13.2.2", [TAG, LM], {
    "if-none-match": '"b"',
    "if-modified-since": at(0),
  }, 200),
  conditional("If-Match of that tag", "RFC 9110 13.1.1", [TAG], { "if-match": '"a"' }, 200),
  conditional("If-Match of another tag", "RFC 9110 13.1.1", [TAG], { "if-match": '"b"' }, 412),
  conditional(
    "If-Match of a weak tag",
    "RFC 9110 8.8.3.2",
    [["ETag", 'W/"a"']],
    { "if-match": 'W/"a"' },
    412,
  ),
  conditional(
    "If-Unmodified-Since earlier",
    "RFC 9110 13.1.4",
    [LM],
    { "if-unmodified-since": at(-172_800) },
    412,
  ),
  {
    what: "a condition on what is not here is this cache's to decide",
    section: "RFC 9111 4.3.2",
    origin: [{ headers: [FRESH, TAG] }],
    steps: [
      {
        headers: { "if-none-match": '"a"' },
        body: "",
        asked: 1,
        status: 304,
        sent: { "if-none-match": null },
      },
      { body: 1, asked: 1 },
    ],
  },
  {
    what: "an error is answered whatever the condition",
    section: "RFC 9110 13.2.1",
    origin: [{ status: 404, headers: [FRESH, TAG] }],
    steps: [1, 2].map(() => ({ headers: { "if-none-match": '"a"' }, body: 1, asked: 1, status: 404 })),
  },
];

const validated: readonly Case[] = [
  {
    what: "stale with a tag: asked whether it is the same, used again, fresh again",
    section: "RFC 9111 4.3.1",
    origin: [stale("max-age=3600"), { status: 304, headers: [FRESH, TAG] }],
    steps: [
      { body: 1, asked: 1 },
      {
        body: 1,
        asked: 2,
        sent: { "if-none-match": '"a"', "if-modified-since": null },
        has: { "cache-status": "atoll; fwd=stale; fwd-status=304; detail=origin" },
      },
      { body: 1, asked: 2, has: { "cache-status": /hit/ } },
    ],
  },
  {
    what: "stale with a date: asked whether it is the same",
    section: "RFC 9111 4.3.1",
    origin: [{ headers: [["Cache-Control", "max-age=3600"], AGED, LM] }, { status: 304, headers: [FRESH] }],
    steps: [{ body: 1, asked: 1 }, { body: 1, asked: 2, sent: { "if-modified-since": MODIFIED } }, {
      body: 1,
      asked: 2,
    }],
  },
  {
    what: "stale, and there is another now: that is used",
    section: "RFC 9111 4.3.3",
    origin: [stale("max-age=3600"), { headers: [FRESH, ["ETag", '"b"']] }],
    steps: [{ body: 1, asked: 1 }, { body: 2, asked: 2, sent: { "if-none-match": '"a"' } }, {
      body: 2,
      asked: 2,
    }],
  },
  {
    what: "no freshness, but a tag: kept, and asked each time",
    section: "RFC 9111 4.2.2",
    origin: [{ headers: [TAG] }, { status: 304, headers: [TAG] }],
    steps: [{ body: 1, asked: 1 }, { body: 1, asked: 2 }, {
      body: 1,
      asked: 3,
      sent: { "if-none-match": '"a"' },
    }],
  },
  {
    what: "no-cache and a tag: kept, and asked each time",
    section: "RFC 9111 5.2.2.4",
    origin: [{ headers: [["Cache-Control", "no-cache"], TAG] }, { status: 304, headers: [TAG] }],
    steps: [{ body: 1, asked: 1 }, { body: 1, asked: 2, sent: { "if-none-match": '"a"' } }, {
      body: 1,
      asked: 3,
    }],
  },
  {
    what: "a 304 with another tag is of no use, and asked for without conditions",
    section: "RFC 9111 4.3.4",
    origin: [stale("max-age=3600"), { status: 304, headers: [FRESH, ["ETag", '"b"']] }, { headers: [FRESH] }],
    steps: [{ body: 1, asked: 1 }, { body: 3, asked: 3, sent: { "if-none-match": null } }],
  },
  {
    what: "a client's tag is compared with what the origin says now",
    section: "RFC 9111 4.3.3",
    origin: [stale("max-age=3600"), { headers: [FRESH, ["ETag", '"b"']] }],
    steps: [{ body: 1, asked: 1 }, {
      headers: { "if-none-match": '"a"' },
      body: 2,
      asked: 2,
      has: { etag: '"b"' },
    }],
  },
  ...([
    ["Test-Header", "new", "new"],
    ["Cache-Control", "max-age=7200", "max-age=7200"],
    ["Expires", at(7200), null],
    ["Content-Type", "text/new", "text/old"],
    ["Content-Encoding", "new", "old"],
    ["Content-Range", "bytes 0-1/2", null],
    ["Connection", "Test-Header", null],
    ["Set-Cookie", "a=b", null],
    ["Server", "Other/2", "Other/2"],
    ["Content-Language", "de", "de"],
  ] as const).map(([name, value, wanted]): Case => ({
    what: `${name} in a 304 ${
      wanted === value ? "takes the stored one's place" : "does not change what is kept"
    }`,
    section: "RFC 9111 3.2",
    origin: [
      stale("max-age=3600", ["Content-Type", "text/old"], ["Content-Encoding", "old"]),
      { status: 304, headers: [...(name === "Cache-Control" ? [] : [FRESH]), TAG, [name, value]] },
    ],
    steps: [
      { body: 1, asked: 1 },
      ...[2, 3].map(() => ({
        body: 1,
        asked: 2,
        has: { [name.toLowerCase()]: name === "Connection" ? "close" : name === "Expires" ? value : wanted },
      })),
    ],
  })),
  {
    what: "Content-Length in a 304 does not change what is kept",
    section: "RFC 9111 3.2",
    origin: [stale("max-age=3600"), {
      raw: (socket) =>
        void socket.write(
          'HTTP/1.1 304 N\r\nETag: "a"\r\nCache-Control: max-age=3600\r\nContent-Length: 3\r\n\r\n',
        ),
    }],
    steps: [
      { body: 1, asked: 1 },
      ...[2, 3].map(() => ({ body: 1, asked: 2, has: { "content-length": "8" } })),
    ],
  },
];

const PART: Fields = { range: "bytes=2-4" };
function range(
  what: string,
  section: string,
  headers: Fields,
  status: number,
  body: Step["body"],
  has = {},
): Case {
  return {
    what,
    section,
    origin: [{ headers: [FRESH, TAG], body: "0123456789" }],
    steps: [{ body: "0123456789", asked: 1 }, { headers, body, asked: 1, status, has }],
  };
}
const ranges: readonly Case[] = [
  range("a range of a copy", "RFC 9110 14.2", PART, 206, "234", {
    "content-range": "bytes 2-4/10",
    "content-length": "3",
    etag: '"a"',
  }),
  range("a range without an end", "RFC 9110 14.1.2", { range: "bytes=7-" }, 206, "789"),
  range("a suffix", "RFC 9110 14.1.2", { range: "bytes=-2" }, 206, "89"),
  range("a range past the end", "RFC 9110 14.1.2", { range: "bytes=8-99" }, 206, "89"),
  range("a range beyond", "RFC 9110 15.5.17", { range: "bytes=20-" }, 416, null, {
    "content-range": "bytes */10",
  }),
  range("a range in another unit", "RFC 9110 14.2", { range: "lines=1-2" }, 200, "0123456789"),
  range("several ranges", "RFC 9110 14.2", { range: "bytes=0-1,3-4" }, 200, "0123456789"),
  range("If-Range of that tag", "RFC 9110 13.1.5", { ...PART, "if-range": '"a"' }, 206, "234"),
  range("If-Range of another tag", "RFC 9110 13.1.5", { ...PART, "if-range": '"b"' }, 200, "0123456789"),
  range("If-Range of a weak tag", "RFC 9110 13.1.5", { ...PART, "if-range": 'W/"a"' }, 200, "0123456789"),
  {
    what: "a range of what is not here: the whole is fetched, and the range answered",
    section: "RFC 9111 3.3",
    origin: [{ headers: [FRESH], body: "0123456789" }],
    steps: [
      { headers: PART, body: "234", asked: 1, status: 206, sent: { range: null } },
      { body: "0123456789", asked: 1 },
    ],
  },
  {
    what: "a range of what may not be kept is answered all the same",
    section: "RFC 9110 14.2",
    origin: [{ headers: [["Cache-Control", "no-store"]], body: "0123456789" }],
    steps: [{ headers: PART, body: "234", asked: 1, status: 206 }, {
      headers: PART,
      body: "234",
      asked: 2,
      status: 206,
    }],
  },
  {
    what: "a range bears no digest of the whole's content, the whole does, and both the representation's",
    section: "RFC 9530 2",
    origin: [{
      headers: [FRESH, ["Content-Digest", "sha-256=:eA==:"], ["Content-MD5", "eA=="], [
        "Repr-Digest",
        "x=:eA==:",
      ]],
      body: "0123456789",
    }],
    steps: [
      {
        headers: PART,
        body: "234",
        asked: 1,
        status: 206,
        has: { "content-digest": null, "content-md5": null, "repr-digest": "x=:eA==:" },
      },
      {
        headers: PART,
        body: "234",
        asked: 1,
        status: 206,
        has: { "content-digest": null, "content-md5": null, "repr-digest": "x=:eA==:" },
      },
      {
        body: "0123456789",
        asked: 1,
        has: { "content-digest": "sha-256=:eA==:", "content-md5": "eA==", "repr-digest": "x=:eA==:" },
      },
    ],
  },
  {
    what: "a range of an error is the error",
    section: "RFC 9110 14.2",
    origin: [{ status: 404, headers: [FRESH], body: "0123456789" }],
    steps: [1, 2].map(() => ({ headers: PART, body: "0123456789", asked: 1, status: 404 })),
  },
];

function onError(
  what: string,
  cacheControl: string,
  fault: Reply,
  stands: boolean,
  status: number,
  headers = {},
): Case {
  return {
    what: `${what}: the stale one ${stands ? "stands in" : "does not stand in"}`,
    section: "RFC 5861 4, RFC 9111 4.2.4",
    origin: [stale(cacheControl), fault],
    steps: [
      { body: 1, asked: 1 },
      stands
        ? {
          headers,
          body: 1,
          asked: 2,
          has: { age: /^72\d\d$/, "cache-status": /^atoll; hit; ttl=-3[56]\d\d; detail=stale-if-error$/ },
        }
        : { headers, body: null, asked: 2, status },
    ],
  };
}
const SIE = "max-age=3600, stale-if-error=86400";
const staleness: readonly Case[] = [
  ...[500, 502, 503, 504].map((code) => onError(`${code}, stale-if-error`, SIE, { status: code }, true, 200)),
  ...[400, 404, 410, 501].map((code) =>
    onError(`${code}, stale-if-error`, SIE, { status: code }, false, code)
  ),
  onError("a connection that is closed, stale-if-error", SIE, HANG_UP, true, 200),
  onError("500, nothing said", "max-age=3600", { status: 500 }, false, 500),
  onError("a connection that is closed, nothing said", "max-age=3600", HANG_UP, false, 502),
  onError(
    "500, stale-if-error that has passed",
    "max-age=3600, stale-if-error=60",
    { status: 500 },
    false,
    500,
  ),
  onError("500, must-revalidate", `${SIE}, must-revalidate`, { status: 500 }, false, 500),
  onError("500, proxy-revalidate", `${SIE}, proxy-revalidate`, { status: 500 }, false, 500),
  onError("500, s-maxage", `${SIE}, s-maxage=3600`, { status: 500 }, false, 500),
  onError("500, no-cache", `${SIE}, no-cache`, { status: 500 }, false, 500),
  onError("500, the client allows it", "max-age=3600", { status: 500 }, true, 200, {
    "cache-control": "stale-if-error=86400",
  }),
  onError("500, the client forbids it", SIE, { status: 500 }, false, 500, { "cache-control": "no-cache" }),
  {
    what: "stale-while-revalidate that has passed: asked first",
    section: "RFC 5861 3",
    origin: [stale("max-age=3600, stale-while-revalidate=60"), { headers: [FRESH] }],
    steps: [{ body: 1, asked: 1 }, { body: 2, asked: 2 }],
  },
  {
    what: "an error does not take the place of what stands in for it",
    section: "RFC 5861 4",
    origin: [stale(SIE), { status: 500, headers: [FRESH] }, { status: 304, headers: [FRESH, TAG] }],
    steps: [{ body: 1, asked: 1 }, { body: 1, asked: 2 }, { body: 1, asked: 3 }, { body: 1, asked: 3 }],
  },
  {
    what: "what the origin says is gone does not come back when it is away",
    section: "RFC 9111 4.3.3",
    origin: [stale(SIE), { status: 404 }, { status: 500 }],
    steps: [{ body: 1, asked: 1 }, { body: 2, asked: 2, status: 404 }, { body: 3, asked: 3, status: 500 }],
  },
];

function asking(
  what: string,
  section: string,
  cacheControl: string,
  isReused: boolean,
  kept: Lines = [FRESH],
): Case {
  const second = isReused ? { body: 1, asked: 1 } : { body: 2, asked: 2 };
  return {
    what: `a request with ${what} ${isReused ? "may have" : "may not have"} what is kept`,
    section,
    origin: [{ headers: kept }],
    steps: [{ body: 1, asked: 1 }, { headers: { "cache-control": cacheControl }, ...second }],
  };
}
const AGED_BY_100: Lines = [FRESH, ["Age", "100"]];
const requests: readonly Case[] = [
  asking("no-cache", "RFC 9111 5.2.1.4", "no-cache", false),
  asking("max-age=0", "RFC 9111 5.2.1.1", "max-age=0", false),
  asking("max-age below the age", "RFC 9111 5.2.1.1", "max-age=50", false, AGED_BY_100),
  asking("max-age above the age", "RFC 9111 5.2.1.1", "max-age=200", true, AGED_BY_100),
  asking("min-fresh above what is left", "RFC 9111 5.2.1.3", "min-fresh=3550", false, AGED_BY_100),
  asking("min-fresh below what is left", "RFC 9111 5.2.1.3", "min-fresh=1000", true, AGED_BY_100),
  asking("no-store", "RFC 9111 5.2.1.5", "no-store", true),
  asking("only-if-cached", "RFC 9111 5.2.1.7", "only-if-cached", true),
  asking("an unknown directive", "RFC 9111 5.2.3", "whatever=1", true),
  {
    what: "only-if-cached of what is not here is 504, and nobody is asked",
    section: "RFC 9111 5.2.1.7",
    origin: [{ headers: [FRESH] }],
    steps: [{ headers: { "cache-control": "only-if-cached" }, body: null, asked: 0, status: 504 }, {
      body: 1,
      asked: 1,
    }],
  },
  {
    what: "an answer to a request with no-store is not kept",
    section: "RFC 9111 5.2.1.5",
    origin: [{ headers: [FRESH] }],
    steps: [{ headers: { "cache-control": "no-store" }, body: 1, asked: 1 }, { body: 2, asked: 2 }, {
      body: 2,
      asked: 2,
    }],
  },
  {
    what: "no-cache has what is kept asked about, and used when it is the same",
    section: "RFC 9111 5.2.1.4",
    origin: [{ headers: [FRESH, TAG] }, { status: 304, headers: [FRESH, TAG] }],
    steps: [
      { body: 1, asked: 1 },
      {
        headers: { "cache-control": "no-cache" },
        body: 1,
        asked: 2,
        has: { "cache-status": "atoll; fwd=request; fwd-status=304; detail=origin" },
      },
    ],
  },
];

const methods: readonly Case[] = [
  {
    what: "HEAD is answered from what GET brought",
    section: "RFC 9110 9.3.2",
    origin: [{ headers: [FRESH, TAG] }],
    steps: [
      { body: 1, asked: 1 },
      { method: "HEAD", body: "", asked: 1, status: 200, has: { etag: '"a"', "content-length": "8" } },
    ],
  },
  {
    what: "HEAD of what is not here is the origin's to answer, and nothing is kept of it",
    section: "RFC 9111 3",
    origin: [{ headers: [FRESH, ["X-A", "1"]] }],
    steps: [
      { method: "HEAD", body: "", asked: 1, status: 200, has: { "x-a": "1", "content-length": "8" } },
      { body: 2, asked: 2 },
      { body: 2, asked: 2 },
    ],
  },
  {
    what: "DELETE has what is kept forgotten",
    section: "RFC 9111 4.4",
    origin: [{ headers: [FRESH] }],
    steps: [{ body: 1, asked: 1 }, { method: "DELETE", body: null, asked: 1, status: 204 }, {
      body: 2,
      asked: 2,
    }],
  },
  {
    what: "DELETE has all variants forgotten, for good",
    section: "RFC 9111 4.4",
    origin: [{ headers: [FRESH, ["Vary", "Foo"]] }],
    steps: [
      { headers: { foo: "1" }, body: 1, asked: 1 },
      { headers: { foo: "2" }, body: 2, asked: 2 },
      { method: "DELETE", body: null, asked: 2, status: 204 },
      { headers: { foo: "1" }, body: 3, asked: 3 },
      { headers: { foo: "2" }, body: 4, asked: 4 },
    ],
  },
  {
    what: "PUT stores here and goes before the origin; after DELETE that is asked anew",
    section: "RFC 9111 4.4",
    origin: [{ headers: [FRESH] }],
    steps: [
      { body: 1, asked: 1 },
      { method: "PUT", headers: { "if-none-match": "*" }, body: null, asked: 1, status: 201 },
      { body: "mine", asked: 1, status: 200 },
      { method: "DELETE", body: null, asked: 1, status: 204 },
      { body: 2, asked: 2 },
    ],
  },
  {
    what: "POST goes nowhere and changes nothing",
    section: "RFC 9111 4.4",
    origin: [{ headers: [FRESH] }],
    steps: [{ body: 1, asked: 1 }, { method: "POST", body: null, asked: 1, status: 405 }, {
      body: 1,
      asked: 1,
    }],
  },
];

const interim: readonly Case[] = ([100, 102, 103] as const).map((code): Case => ({
  what: `${code} before an answer is skipped`,
  section: "RFC 9110 15.2",
  origin: [{
    raw: (socket) =>
      void socket.write(
        `HTTP/1.1 ${code} Wait\r\nLink: </x>\r\nCache-Control: no-store\r\n\r\n` +
          "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: 4\r\n\r\ndone",
      ),
  }],
  steps: [1, 2].map(() => ({ body: "done", asked: 1, status: 200, has: { link: null } })),
}));

runCases({ forward: ["foo"] }, [
  ...conditions,
  ...validated,
  ...ranges,
  ...staleness,
  ...requests,
  ...methods,
  ...interim,
]);
