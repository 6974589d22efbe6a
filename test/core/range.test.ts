import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseRange, RANGES_MAX } from "../../src/core/range.ts";

type Wanted = "whole" | "unsatisfiable" | [number, number][];

function shown(header: string | null | undefined, sizeBytes: number): Wanted {
  const result = parseRange(header, sizeBytes);
  return result.kind === "ranges" ? result.ranges.map(({ first, last }) => [first, last]) : result.kind;
}

test("parseRange answers as RFC 9110 section 14 has it", () => {
  const table: [string, Wanted][] = [
    ["bytes=0-0", [[0, 0]]],
    ["bytes=0-99", [[0, 99]]],
    ["bytes=0-", [[0, 99]]],
    ["bytes=99-", [[99, 99]]],
    ["bytes=10-1000", [[10, 99]]],
    ["bytes=-1", [[99, 99]]],
    ["bytes=-30", [[70, 99]]],
    ["bytes=-1000", [[0, 99]]],
    ["Bytes=1-2", [[1, 2]]],
    ["bytes=007-008", [[7, 8]]],
    ["bytes=0-1,5-6", [[0, 1], [5, 6]]],
    ["bytes=0-1 ,\t5-6", [[0, 1], [5, 6]]],
    ["bytes=,0-1,,", [[0, 1]]],
    ["bytes=0-1,500-", [[0, 1]]],
    ["bytes=-0,3-4", [[3, 4]]],
    ["bytes=100-", "unsatisfiable"],
    ["bytes=100-200,300-", "unsatisfiable"],
    ["bytes=-0", "unsatisfiable"],
    ["", "whole"],
    ["bytes", "whole"],
    ["bytes=", "whole"],
    ["bytes=,", "whole"],
    ["bytes=-", "whole"],
    ["bytes=5-4", "whole"],
    ["bytes=0-1,5-4", "whole"],
    ["bytes=200-199", "whole"],
    ["bytes=a-b", "whole"],
    ["bytes=1-2-3", "whole"],
    ["bytes=+1-2", "whole"],
    ["bytes=1.0-2", "whole"],
    ["bytes=0x1-2", "whole"],
    ["bytes=1 - 2", "whole"],
    ["bytes 0-1", "whole"],
    ["bytes =0-1", "whole"],
    ["items=0-1", "whole"],
    ["bytes=--1", "whole"],
    ["bytes=0-9007199254740992", "whole"],
    ["bytes=99999999999999999999-", "whole"],
    [`bytes=${"0-0,".repeat(400)}`, "whole"],
  ];
  for (const [header, wanted] of table) assert.deepEqual(shown(header, 100), wanted, header);
});

test("parseRange joins what overlaps or continues, and keeps a tail that is asked for first", () => {
  const table: [string, Wanted][] = [
    ["bytes=0-9,5-20", [[0, 20]]],
    ["bytes=5-20,0-9", [[0, 20]]],
    ["bytes=0-9,10-19", [[0, 19]]],
    ["bytes=10-19,0-9", [[10, 19], [0, 9]]],
    ["bytes=0-9,11-19", [[0, 9], [11, 19]]],
    ["bytes=0-9,20-29,10-19", [[0, 29]]],
    ["bytes=0-9,20-29,5-24", [[0, 29]]],
    ["bytes=50-59,0-9,20-29,0-29", [[50, 59], [0, 29]]],
    ["bytes=0-,0-,0-,-1", [[0, 99]]],
    ["bytes=0-4,20-24,40-44,60-64,2-42", [[0, 44], [60, 64]]],
    ["bytes=90-,-5,0-1", [[90, 99], [0, 1]]],
  ];
  for (const [header, wanted] of table) assert.deepEqual(shown(header, 100), wanted, header);
});

test("parseRange sends the whole instead of more than 16 parts", () => {
  const spread = (count: number) =>
    `bytes=${Array.from({ length: count }, (_, i) => `${i * 3}-${i * 3}`).join()}`;
  assert.equal(shown(spread(RANGES_MAX), 1000).length, RANGES_MAX);
  assert.equal(shown(spread(RANGES_MAX + 1), 1000), "whole");
  assert.deepEqual(shown(`bytes=${"0-5,".repeat(100)}`, 1000), [[0, 5]]);
});

test("parseRange sends an empty object whole, and ignores an absent header", () => {
  for (const header of ["bytes=0-", "bytes=-5", "bytes=0-0", "bytes=5-"]) {
    assert.equal(shown(header, 0), "whole");
  }
  for (const header of [undefined, null, ""]) assert.equal(shown(header, 10), "whole");
});

test("parseRange sends just the bytes asked for, each once", () => {
  const spec = fc.oneof(
    fc.tuple(fc.nat(60), fc.oneof(fc.nat(3), fc.nat(60))).map(([first, more]) => ({
      text: `${first}-${first + more}`,
      first,
      last: first + more,
    })),
    fc.nat(60).map((first) => ({ text: `${first}-`, first, last: Infinity })),
    fc.integer({ min: 1, max: 60 }).map((length) => ({ text: `-${length}`, first: -length, last: Infinity })),
  );
  fc.assert(
    fc.property(
      fc.array(spec, { minLength: 1, maxLength: 8 }),
      fc.integer({ min: 1, max: 50 }),
      (specs, size) => {
        const wanted = new Set<number>();
        for (const { first, last } of specs) {
          for (
            let at = first < 0 ? Math.max(0, size + first) : first;
            at <= Math.min(last, size - 1);
            at++
          ) wanted.add(at);
        }
        const result = parseRange(`bytes=${specs.map(({ text }) => text).join(", ")}`, size);
        assert.equal(result.kind, wanted.size === 0 ? "unsatisfiable" : "ranges");
        if (result.kind !== "ranges") return;
        const sent = result.ranges.flatMap(({ first, last }) =>
          Array.from({ length: last - first + 1 }, (_, i) => first + i)
        );
        assert.equal(sent.length, wanted.size);
        assert.deepEqual(new Set(sent), wanted);
      },
    ),
    { numRuns: 1000 },
  );
});
