/** How long a copy is used: RFC 9111 as a shared cache, RFC 9213, by the categories of the public cache tests. */
import { at, type Case, reuse, runCases } from "../helpers/cache-cases.ts";

const OLD = at(-86_400);

const freshness: readonly Case[] = [
  reuse("max-age", "RFC 9111 4.2.1", true, [["Cache-Control", "max-age=3600"]]),
  reuse("max-age=0", "RFC 9111 4.2.1", false, [["Cache-Control", "max-age=0"]]),
  reuse("nothing said", "RFC 9111 4.2.2", false, []),
  reuse("Last-Modified alone", "RFC 9111 4.2.2", false, [["Last-Modified", OLD]]),
  reuse("s-maxage", "RFC 9111 5.2.2.10", true, [["Cache-Control", "s-maxage=3600"]]),
  reuse("s-maxage above max-age=0", "RFC 9111 5.2.2.10", true, [[
    "Cache-Control",
    "max-age=0, s-maxage=3600",
  ]]),
  reuse("s-maxage=0 above max-age", "RFC 9111 5.2.2.10", false, [[
    "Cache-Control",
    "s-maxage=0, max-age=3600",
  ]]),
  reuse("max-age above a past Expires", "RFC 9111 5.3", true, [
    ["Cache-Control", "max-age=3600"],
    ["Expires", OLD],
  ]),
  reuse("max-age=0 above a future Expires", "RFC 9111 5.3", false, [
    ["Cache-Control", "max-age=0"],
    ["Expires", at(3600)],
  ]),
  reuse("s-maxage above a past Expires", "RFC 9111 5.3", true, [
    ["Cache-Control", "s-maxage=3600"],
    ["Expires", OLD],
  ]),
  reuse("an old Date below max-age", "RFC 9111 4.2.3", true, [
    ["Cache-Control", "max-age=7200"],
    ["Date", at(-3600)],
  ]),
  reuse("a Date older than max-age", "RFC 9111 4.2.3", false, [
    ["Cache-Control", "max-age=3600"],
    ["Date", at(-7200)],
  ]),
  reuse("a Date in the future", "RFC 9111 4.2.3", true, [["Cache-Control", "max-age=3600"], [
    "Date",
    at(7200),
  ]]),
  reuse("no-store", "RFC 9111 5.2.2.5", false, [["Cache-Control", "no-store, max-age=3600"]]),
  reuse("private", "RFC 9111 5.2.2.7", false, [["Cache-Control", "private, max-age=3600"]]),
  reuse('private="x-a"', "RFC 9111 5.2.2.7", false, [["Cache-Control", 'private="x-a", max-age=3600']]),
  reuse("no-cache", "RFC 9111 5.2.2.4", false, [["Cache-Control", "no-cache, max-age=3600"]]),
  reuse('no-cache="x-a"', "RFC 9111 5.2.2.4", false, [["Cache-Control", 'no-cache="x-a", max-age=3600']]),
  reuse("no-store in another line", "RFC 9111 5.2.2.5", false, [
    ["Cache-Control", "max-age=3600"],
    ["Cache-Control", "no-store"],
  ]),
  reuse("no-store beside Expires", "RFC 9111 5.2.2.5", false, [["Cache-Control", "no-store"], [
    "Expires",
    at(3600),
  ]]),
  reuse("must-revalidate while fresh", "RFC 9111 5.2.2.2", true, [
    ["Cache-Control", "max-age=3600, must-revalidate"],
  ]),
  reuse("immutable while fresh", "RFC 8246 2", true, [["Cache-Control", "max-age=3600, immutable"]]),
  reuse("max-age beyond 2^31", "RFC 9111 1.2.2", true, [["Cache-Control", "max-age=99999999999"]]),
  reuse("Pragma: no-cache beside max-age", "RFC 9111 5.4", true, [
    ["Cache-Control", "max-age=3600"],
    ["Pragma", "no-cache"],
  ]),
];

const expires: readonly Case[] = [
  reuse("Expires ahead of Date", "RFC 9111 5.3", true, [["Expires", at(3600)], ["Date", at(0)]]),
  reuse("Expires ahead without Date", "RFC 9111 5.3", true, [["Expires", at(3600)]]),
  reuse("Expires in the past", "RFC 9111 5.3", false, [["Expires", at(-3600)]]),
  reuse("Expires as Date", "RFC 9111 5.3", false, [["Expires", at(60)], ["Date", at(60)]]),
  reuse("Expires ahead of now but not of Date", "RFC 9111 4.2.1", false, [["Expires", at(3600)], [
    "Date",
    at(7200),
  ]]),
  reuse("two Expires", "RFC 9111 4.2.1", false, [["Expires", at(3600)], ["Expires", at(7200)]]),
  reuse("Expires ahead beside an Age beyond it", "RFC 9111 4.2.3", false, [
    ["Expires", at(3600)],
    ["Date", at(0)],
    ["Age", "7200"],
  ]),
  ...([
    ["IMF-fixdate", true, "Thu, 18 Aug 2050 02:01:18 GMT"],
    ["asctime", true, "Thu Aug 18 02:01:18 2050"],
    ["the number 0", false, "0"],
    ["a negative number", false, "-1"],
    ["a word", false, "tomorrow"],
    ["nothing", false, ""],
    ["no zone", false, "Thu, 18 Aug 2050 02:01:18"],
    ["zone UTC", false, "Thu, 18 Aug 2050 02:01:18 UTC"],
    ["zone +0000", false, "Thu, 18 Aug 2050 02:01:18 +0000"],
    ["zone in lower case", false, "Thu, 18 Aug 2050 02:01:18 gmt"],
    ["ISO 8601", false, "2050-08-18T02:01:18Z"],
    ["a wrong weekday", false, "Fri, 18 Aug 2050 02:01:18 GMT"],
    ["a day of one digit", false, "Thu, 1 Sep 2050 02:01:18 GMT"],
    ["a time of one digit", false, "Thu, 18 Aug 2050 2:01:18 GMT"],
    ["a 32nd day", false, "Thu, 32 Aug 2050 02:01:18 GMT"],
    ["dashes and four digits of year", false, "Thu, 18-Aug-2050 02:01:18 GMT"],
    ["two spaces", false, "Thu,  18 Aug 2050 02:01:18 GMT"],
    ["colons elsewhere", false, "Thu, 18 Aug 2050 02.01.18 GMT"],
  ] as const).map(([what, isReused, date]) =>
    reuse(`Expires: ${what}`, "RFC 9110 5.6.7", isReused, [["Expires", date]])
  ),
];

const ccParse: readonly Case[] = ([
  ["in upper case", true, "MAX-AGE=3600"],
  ["in mixed case", true, "mAx-AgE=3600"],
  ["quoted", true, 'max-age="3600"'],
  ["with zeros before it", true, "max-age=003600"],
  ["after another directive", true, "a=b, max-age=3600"],
  ["after a quoted comma", true, 'a="b, max-age=0", max-age=3600'],
  ["within another's quotes", false, 'a="max-age=3600"'],
  ["after empty members", true, ", , max-age=3600, ,"],
  ["after a tab", true, "a,\tmax-age=3600"],
  ["with space around the equals sign", false, "max-age = 3600"],
  ["in single quotes", false, "max-age='3600'"],
  ["negative", false, "max-age=-3600"],
  ["with decimals", false, "max-age=3600.0"],
  ["with letters", false, "max-age=3600s"],
  ["without a number", false, "max-age="],
  ["without an argument", false, "max-age"],
  ["twice, the lesser last", false, "max-age=3600, max-age=0"],
  ["twice, the lesser first", false, "max-age=0, max-age=3600"],
  ["as part of a longer name", false, "xmax-age=3600"],
  ["before a quote that stays open", false, 'max-age=3600, a="'],
] as const).map(([what, isReused, value]) =>
  reuse(`max-age ${what}`, "RFC 9111 5.2", isReused, [["Cache-Control", value]])
);

const age: readonly Case[] = ([
  ["0", true, [["Age", "0"]]],
  ["below max-age", true, [["Age", "3000"]]],
  ["above max-age", false, [["Age", "7200"]]],
  ["far above", false, [["Age", "99999999999999"]]],
  ["negative", true, [["Age", "-7200"]]],
  ["with decimals", true, [["Age", "7200.0"]]],
  ["a word", true, [["Age", "old"]]],
  ["empty", true, [["Age", ""]]],
  ["with a parameter", true, [["Age", "7200; a=b"]]],
  ["quoted", true, [["Age", '"7200"']]],
  ["a list, the first below", true, [["Age", "0, 7200"]]],
  ["a list, the first above", false, [["Age", "7200, 0"]]],
  ["two lines, the first below", true, [["Age", "0"], ["Age", "7200"]]],
  ["two lines, the first above", false, [["Age", "7200"], ["Age", "0"]]],
] as const).map(([what, isReused, lines]) =>
  reuse(`Age: ${what}`, "RFC 9111 5.1", isReused, [["Cache-Control", "max-age=3600"], ...lines])
);

const targeted: readonly Case[] = ([
  ["max-age", true, "max-age=3600", undefined],
  ["max-age above no-store", true, "max-age=3600", "no-store"],
  ["max-age above private", true, "max-age=3600", "private"],
  ["max-age above max-age=0", true, "max-age=3600", "max-age=0"],
  ["max-age=0 above max-age", false, "max-age=0", "max-age=3600"],
  ["no-store above max-age", false, "no-store", "max-age=3600"],
  ["no-cache above max-age", false, "no-cache", "max-age=3600"],
  ["private above max-age", false, "private", "max-age=3600"],
  ["an unknown directive above max-age", false, "a", "max-age=3600"],
  ["nothing, ignored", true, "", "max-age=3600"],
  ["a broken field, ignored", true, "max-age=3600, =", "max-age=3600"],
  ["a broken field, which does not make fresh", false, "max-age=3600,", "max-age=0"],
  ["upper case, which is no key", true, "MAX-AGE=0", "max-age=3600"],
  ["decimals, no seconds", false, "max-age=3600.0", "max-age=3600"],
  ["a string, no seconds", false, 'max-age="3600"', "max-age=3600"],
  ["no-store taken back", true, "no-store=?0, max-age=3600", "no-store"],
  ["the last of two", true, "max-age=0, max-age=3600", "no-store"],
  ["with a parameter", true, "max-age=3600;a=b", "no-store"],
] as const).map(([what, isReused, value, general]) =>
  reuse(`CDN-Cache-Control: ${what},`, "RFC 9213 2.2", isReused, [
    ["CDN-Cache-Control", value],
    ...(general === undefined ? [] : [["Cache-Control", general] as const]),
  ])
);

const targetedMore: readonly Case[] = [
  reuse("Atoll-CDN-Cache-Control above CDN-Cache-Control", "RFC 9213 2.1", true, [
    ["Atoll-CDN-Cache-Control", "max-age=3600"],
    ["CDN-Cache-Control", "no-store"],
  ]),
  reuse("CDN-Cache-Control above Expires", "RFC 9213 2.2", false, [
    ["CDN-Cache-Control", "max-age=0"],
    ["Expires", at(3600)],
  ]),
  reuse("CDN-Cache-Control without freshness above Expires", "RFC 9213 2.2", false, [
    ["CDN-Cache-Control", "must-revalidate"],
    ["Expires", at(3600)],
  ]),
];

runCases({}, [...freshness, ...expires, ...ccParse, ...age, ...targeted, ...targetedMore]);
