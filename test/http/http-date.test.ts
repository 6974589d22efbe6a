import assert from "node:assert/strict";
import { test } from "node:test";
import { formatHttpDate, parseHttpDate } from "../../src/http/http-date.ts";

const EXAMPLE_MS = Date.UTC(1994, 10, 6, 8, 49, 37);

test("formatHttpDate writes IMF-fixdate and cuts the second off", () => {
  const table: [number, string][] = [
    [EXAMPLE_MS, "Sun, 06 Nov 1994 08:49:37 GMT"],
    [EXAMPLE_MS + 999.9, "Sun, 06 Nov 1994 08:49:37 GMT"],
    [0, "Thu, 01 Jan 1970 00:00:00 GMT"],
    [-1, "Thu, 01 Jan 1970 00:00:00 GMT"],
    [951_782_400_000, "Tue, 29 Feb 2000 00:00:00 GMT"],
    [Infinity, "Fri, 31 Dec 9999 23:59:59 GMT"],
  ];
  for (const [ms, wanted] of table) assert.equal(formatHttpDate(ms), wanted);
  assert.throws(() => formatHttpDate(NaN), TypeError);
});

test("formatHttpDate stays right when it has seen more seconds than it remembers", () => {
  for (let round = 0; round < 2; round++) {
    for (let second = 0; second < 2000; second++) {
      const ms = EXAMPLE_MS + second * 1000;
      assert.equal(formatHttpDate(ms + 1), new Date(ms).toUTCString());
    }
  }
});

test("parseHttpDate reads the three forms, and nothing where there is nothing", () => {
  const now = Date.UTC(2026, 10, 22);
  for (
    const text of [
      "Sun, 06 Nov 1994 08:49:37 GMT",
      "Sunday, 06-Nov-94 08:49:37 GMT",
      "Sun Nov  6 08:49:37 1994",
    ]
  ) {
    assert.equal(parseHttpDate(text, now), EXAMPLE_MS);
  }
  for (const text of [undefined, "", "0", "yesterday", "1994-11-06"]) {
    assert.equal(parseHttpDate(text, now), undefined);
  }
  assert.equal(parseHttpDate(formatHttpDate(EXAMPLE_MS), now), EXAMPLE_MS);
});
