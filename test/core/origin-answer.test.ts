/** Fields whose names come from others, and what answers depend on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { endToEnd, standsFor, varyOf } from "../../src/core/origin-answer.ts";

test("a field may be named like what every object has", () => {
  const headers = endToEnd([["constructor", "a"], ["constructor", "b"], ["tostring", "c"], [
    "__proto__",
    "d",
  ]]);
  assert.deepEqual(Object.entries(headers), [["constructor", "a, b"], ["tostring", "c"]]);
});

test("answers may vary by a field that is named so, and by none that nobody sent", () => {
  for (const name of ["constructor", "__proto__", "valueof"]) {
    const none = varyOf([name], {});
    assert.deepEqual(Object.entries(none), [[name, null]]);
    const kept = JSON.parse(JSON.stringify(none)) as typeof none;
    const sent = Object.fromEntries([[name, "a,  b"]]);
    assert.deepEqual([standsFor(kept, {}), standsFor(kept, sent)], [true, false], name);
    assert.deepEqual(Object.entries(varyOf([name], sent)), [[name, "a,b"]]);
  }
});
