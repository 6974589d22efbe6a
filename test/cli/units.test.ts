import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  addressText,
  objectPath,
  parseObjectAddress,
  parsePrefixAddress,
  printable,
} from "../../src/cli/address.ts";
import { Failure } from "../../src/cli/failure.ts";
import { bar, percent, progressLine } from "../../src/cli/progress.ts";
import { Rate } from "../../src/cli/rate.ts";
import { parseChange } from "../../src/cli/ring-change.ts";
import { counted, formatBytes, formatSeconds, formatTook, table } from "../../src/cli/units.ts";
import { VERSION } from "../../src/cli/version.ts";
import { PROJECT } from "../tools/project.ts";

test("the version is package.json's", () => {
  const { version } = JSON.parse(readFileSync(join(PROJECT, "package.json"), "utf8")) as { version: string };
  assert.equal(VERSION, version);
});

test("a node that serves loads nothing of the command line", () => {
  const main = readFileSync(join(PROJECT, "src", "main.ts"), "utf8");
  assert.doesNotMatch(main, /from "\.\/cli\//);
  assert.match(main, /await import\("\.\/cli\/cli\.ts"\)/);
});

test("formatBytes changes its unit where a reader would", () => {
  for (
    const [bytes, text] of [
      [0, "0 B"],
      [1023, "1023 B"],
      [1024, "1.0 KiB"],
      [1536, "1.5 KiB"],
      [1_048_575, "1.0 MiB"],
      [100 * 2 ** 20, "100.0 MiB"],
      [5 * 2 ** 40, "5.0 TiB"],
      [Number.MAX_SAFE_INTEGER, "8.0 PiB"],
    ] as const
  ) assert.equal(formatBytes(bytes), text);
});

test("times are said in at most two units", () => {
  for (
    const [seconds, text] of [[0, "0 s"], [59.4, "59 s"], [59.6, "1 min 0 s"], [200, "3 min 20 s"], [
      7_500,
      "2 h 5 min",
    ], [273_600, "3 d 4 h"]] as const
  ) assert.equal(formatSeconds(seconds), text);
  assert.equal(formatTook(0.04), "0.0 s");
  assert.equal(formatTook(9.96), "10.0 s");
  assert.equal(formatTook(75), "1 min 15 s");
});

test("nouns are counted, tables are in line and end in no spaces", () => {
  assert.equal(counted(1, "object"), "1 object");
  assert.equal(counted(0, "object"), "0 objects");
  assert.deepEqual(table([["a", "1", "x"], ["long", "200", ""]], [1]), ["a       1  x", "long  200"]);
});

test("a key goes into the path so that one decoding gives it back, dots and slashes included", () => {
  for (
    const key of [
      "a",
      "a b",
      "ü/€/😀",
      "..",
      "a/../b",
      "//",
      "a/",
      "100%",
      "%2e",
      "a?b#c",
      "\u0001",
      "a\\b",
      "+",
    ]
  ) {
    const address = parseObjectAddress(`pictures/${key}`);
    assert.equal(address.key, key);
    const path = objectPath(address);
    assert.match(path, /^[\x21-\x7e]+$/);
    assert.doesNotMatch(path, /[?#]/);
    assert.equal(decodeURIComponent(path.slice("/pictures/".length)), key);
  }
});

test("what is no address is a usage failure that says why", () => {
  for (
    const [text, why] of [
      ["", /3 to 63/],
      ["pictures", /key of 1 byte/],
      ["pictures/", /key of 1 byte/],
      ["PICTURES/a", /3 to 63/],
      ["livez/a", /belongs to the node/],
      [`pictures/${"x".repeat(1025)}`, /1024 bytes/],
      ["pictures/\ud800", /well-formed/],
      ["http://127.0.0.1/a", /3 to 63/],
    ] as const
  ) {
    assert.throws(() => parseObjectAddress(text), (error: unknown) => {
      assert.ok(error instanceof Failure && error.exitCode === 2, String(error));
      assert.match(error.message, why);
      return true;
    });
  }
  assert.deepEqual(parsePrefixAddress("pictures"), { bucket: "pictures", prefix: "" });
  assert.deepEqual(parsePrefixAddress("pictures/a/b"), { bucket: "pictures", prefix: "a/b" });
});

test("nothing in a key can steer a terminal or break a line", () => {
  assert.equal(printable("a\u001b[31m\nb\u009b\u202ec"), "a\\x1b[31m\\x0ab\\x9b\\u202ec");
  assert.equal(addressText({ bucket: "abc", key: "ü 😀" }), "abc/ü 😀");
});

test("a progress line says bytes, rate and what is left, as far as they are known", () => {
  const state = { label: "big.iso", doneBytes: 2 ** 20, totalBytes: 4 * 2 ** 20, bytesPerSecond: 2 ** 20 };
  assert.equal(
    progressLine(state, { hasBar: false }),
    "big.iso  25 %  1.0 MiB of 4.0 MiB  1.0 MiB/s  3 s left",
  );
  assert.equal(
    progressLine(state, { hasBar: true }),
    "big.iso  [======>                 ] 25 %  1.0 MiB of 4.0 MiB  1.0 MiB/s  3 s left",
  );
  assert.equal(
    progressLine({ ...state, totalBytes: undefined, bytesPerSecond: undefined }, { hasBar: true }),
    "big.iso  1.0 MiB",
  );
  assert.equal(
    progressLine({ ...state, totalBytes: 0, doneBytes: 0, bytesPerSecond: 0 }, { hasBar: false }),
    "big.iso  100 %  0 B of 0 B  0 B/s",
  );
});

test("100 % is said only when all is done, and a bar is as wide at every point", () => {
  assert.equal(percent(0.9999), "99 %");
  assert.equal(percent(1), "100 %");
  const width = bar(0).length;
  for (let i = -10; i <= 1_010; i++) assert.equal(bar(i / 1_000).length, width);
});

test("a rate is that of the last seconds, not of the whole", () => {
  const rate = new Rate();
  assert.equal(rate.perSecond(0), undefined);
  rate.sample(0, 0);
  assert.equal(rate.perSecond(100), undefined);
  for (let ms = 0; ms <= 10_000; ms += 10) rate.sample(ms, ms * 1_000);
  assert.ok(Math.abs(rate.perSecond(10_000)! - 1_000_000) < 1_000);
  for (let ms = 10_000; ms <= 20_000; ms += 10) rate.sample(ms, 10_000_000 + (ms - 10_000));
  assert.ok(rate.perSecond(20_000)! < 2_000, `${rate.perSecond(20_000)}`);
  // Nothing moves any more.
  assert.ok(rate.perSecond(80_000)! < 100);
});

test("parseChange makes one change of many options", () => {
  assert.deepEqual(
    parseChange({
      join: ["d,e", "d"],
      drain: ["a"],
      remove: ["b"],
      replace: ["c=f"],
      weight: ["d=2", "e=0.5"],
      zone: ["d=fra-2"],
      replicas: "5",
      confirm: "lose it",
    }),
    {
      join: ["d", "e"],
      drain: ["a"],
      remove: ["b"],
      replace: [{ from: "c", to: "f" }],
      weight: { d: 2, e: 0.5 },
      zone: { d: "fra-2" },
      replicas: 5,
      confirm: "lose it",
    },
  );
});

test("parseChange refuses no change, and what is none", () => {
  for (
    const options of [
      {},
      { confirm: "yes" },
      { drain: ["a b"] },
      { drain: [""] },
      { replace: ["a"] },
      { replace: ["a="] },
      { weight: ["a=-1"] },
      { weight: ["a=x"] },
      { zone: ["a=ü"] },
      { replicas: "2" },
      { replicas: "0" },
      { replicas: "9" },
      { replicas: "17" },
      { replicas: "x" },
    ]
  ) {
    assert.throws(
      () => parseChange(options),
      (error: unknown) => error instanceof Failure && error.exitCode === 2,
      JSON.stringify(options),
    );
  }
});
