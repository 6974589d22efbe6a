import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { linearize, type Model, type Operation } from "./linearizability.ts";

type Op = Operation<{ write: number } | "read", number>;

/** A register that answers a write with what it replaced. */
const REGISTER: Model<number, { write: number } | "read", number> = {
  initial: 0,
  key: String,
  apply(state, input, output) {
    if (output !== undefined && output !== state) return undefined;
    return input === "read" ? state : input.write;
  },
};

function op(input: Op["input"], output: number | undefined, calledAt: number, returnedAt: number): Op {
  return { input, output, calledAt, returnedAt };
}

test("linearize finds the order of operations that follow each other", () => {
  const history = [op({ write: 1 }, 0, 0, 1), op("read", 1, 2, 3), op({ write: 2 }, 1, 4, 5)];
  assert.deepEqual(linearize(history, REGISTER), history);
});

test("linearize refuses a read of what was overwritten before it began", () => {
  assert.equal(linearize([op({ write: 1 }, 0, 0, 1), op("read", 0, 2, 3)], REGISTER), undefined);
});

test("linearize refuses a value that appears and vanishes", () => {
  const history = [op({ write: 1 }, 0, 0, 9), op("read", 1, 1, 2), op("read", 0, 3, 4)];
  assert.equal(linearize(history, REGISTER), undefined);
  assert.ok(linearize([history[0]!, op("read", 0, 1, 2), op("read", 1, 3, 4)], REGISTER));
});

test("linearize lets an operation without an answer take effect late, or never, but not early", () => {
  const write = op({ write: 1 }, undefined, 2, Infinity);
  assert.ok(linearize([write, op("read", 0, 3, 4), op("read", 1, 5, 6)], REGISTER));
  assert.ok(linearize([write, op("read", 0, 3, 4)], REGISTER));
  assert.equal(linearize([op("read", 1, 0, 1), write], REGISTER), undefined);
});

test("linearize agrees with trying every order", () => {
  const input = fc.oneof(fc.constant("read" as const), fc.nat(2).map((write) => ({ write })));
  const operation = fc.tuple(input, fc.option(fc.nat(2), { nil: undefined }), fc.nat(12), fc.nat(6)).map((
    [input, output, calledAt, took],
  ) => op(input, output, calledAt, output === undefined ? Infinity : calledAt + took));
  let explained = 0;
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 5 }), (history) => {
      const found = linearize(history, REGISTER) !== undefined;
      if (found) explained++;
      assert.equal(found, tryAll(history, []));
    }),
    { numRuns: 2_000 },
  );
  assert.ok(explained > 100 && explained < 1_900, `${explained} of 2000 is no test`);
});

/** The definition, word for word: some order of the known operations and some of the others. */
function tryAll(left: readonly Op[], order: readonly Op[]): boolean {
  if (left.every(({ output }) => output === undefined) && explains(order)) return true;
  return left.some((next) => tryAll(left.filter((other) => other !== next), [...order, next]));
}

function explains(order: readonly Op[]): boolean {
  let state: number | undefined = 0;
  for (const [i, later] of order.entries()) {
    if (order.slice(0, i).some((earlier) => later.returnedAt < earlier.calledAt)) return false;
    state = REGISTER.apply(state, later.input, later.output);
    if (state === undefined) return false;
  }
  return true;
}
