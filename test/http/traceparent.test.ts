import assert from "node:assert/strict";
import { test } from "node:test";
import { continueTrace, formatTraceparent, parseTraceparent } from "../../src/http/traceparent.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";
const NEW_TRACE = "11".repeat(16);
const NEW_SPAN = "22".repeat(8);

test("parseTraceparent reads version 00, and what later versions have in common with it", () => {
  const table: [string, boolean][] = [
    [`00-${TRACE}-${SPAN}-00`, false],
    [`00-${TRACE}-${SPAN}-01`, true],
    [`00-${TRACE}-${SPAN}-fe`, false],
    [`00-${TRACE}-${SPAN}-ff`, true],
    [`01-${TRACE}-${SPAN}-01`, true],
    [`cc-${TRACE}-${SPAN}-01-what-the-future-will-be-like`, true],
    [`cc-${TRACE}-${SPAN}-01-`, true],
  ];
  for (const [header, sampled] of table) {
    assert.deepEqual(parseTraceparent(header), { traceId: TRACE, spanId: SPAN, sampled }, header);
  }
});

test("parseTraceparent takes nothing else", () => {
  const table = [
    undefined,
    "",
    "00",
    `ff-${TRACE}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}-01-more`,
    `00-${TRACE}-${SPAN}-01-`,
    `cc-${TRACE}-${SPAN}-01.more`,
    `00-${"0".repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${"0".repeat(16)}-01`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-${TRACE.slice(1)}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}0-01`,
    `00-${TRACE}-${SPAN}-1`,
    `00-${TRACE}-${SPAN}-0x`,
    `00-${TRACE}-${SPAN}`,
    `0-${TRACE}-${SPAN}-01`,
    ` 00-${TRACE}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}-01\n`,
    `00_${TRACE}_${SPAN}_01`,
    `00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`,
    `cc-${TRACE}-${SPAN}-01-${"x".repeat(1000)}`,
  ];
  for (const header of table) assert.equal(parseTraceparent(header), undefined, JSON.stringify(header));
});

test("continueTrace makes a child of what came", () => {
  assert.deepEqual(continueTrace(`00-${TRACE}-${SPAN}-03`, NEW_SPAN, NEW_TRACE), {
    traceId: TRACE,
    spanId: NEW_SPAN,
    parentSpanId: SPAN,
    sampled: true,
    header: `00-${TRACE}-${NEW_SPAN}-01`,
  });
  assert.equal(
    continueTrace(`cc-${TRACE}-${SPAN}-00-x`, NEW_SPAN, NEW_TRACE).header,
    `00-${TRACE}-${NEW_SPAN}-00`,
  );
});

test("continueTrace begins anew where nothing or nonsense came", () => {
  for (const header of [undefined, "", `ff-${TRACE}-${SPAN}-01`]) {
    assert.deepEqual(continueTrace(header, NEW_SPAN, NEW_TRACE), {
      traceId: NEW_TRACE,
      spanId: NEW_SPAN,
      parentSpanId: undefined,
      sampled: false,
      header: `00-${NEW_TRACE}-${NEW_SPAN}-00`,
    });
  }
});

test("formatTraceparent writes what parseTraceparent reads", () => {
  for (const sampled of [true, false]) {
    const parent = { traceId: TRACE, spanId: SPAN, sampled };
    assert.deepEqual(parseTraceparent(formatTraceparent(parent)), parent);
  }
});
