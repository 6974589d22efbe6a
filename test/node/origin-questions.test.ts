/** Asking an origin: how long in all, and that no connection is left behind. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Question, Questions } from "../../src/node/origin-questions.ts";
import type { OriginAnswer, OriginRequest } from "../../src/ports.ts";
import { FakeClock } from "../helpers/fake-clock.ts";

const QUESTION: Question = {
  method: "GET",
  url: "http://origin.example/0",
  settings: { url: "http://origin.example", timeoutSeconds: 10 },
  cacheControl: undefined,
  fields: {},
  besides: {},
  sinceMs: 0,
};

interface Scripted {
  readonly asked: OriginRequest[];
  readonly left: string[];
  fetch(request: OriginRequest): Promise<OriginAnswer>;
}

/** Whose n-th answer is a redirect to n, `count` times; each comes after so many ms. */
function redirecting(count: number, clock: FakeClock, delayMs: number): Scripted {
  const [asked, left]: [OriginRequest[], string[]] = [[], []];
  return {
    asked,
    left,
    async fetch(request) {
      asked.push(request);
      await clock.advance(delayMs);
      const isLast = asked.length > count;
      const body: OriginAnswer["body"] = {
        [Symbol.asyncIterator]: () => body,
        next: () => Promise.resolve({ done: true, value: undefined }),
        return: () => {
          left.push(new URL(request.url).pathname);
          return Promise.resolve({ done: true, value: undefined });
        },
      };
      const headers = isLast ? [] : [["location", `/${asked.length}`] as const];
      return { status: isLast ? 200 : 301, headers, body };
    },
  };
}

test("redirects share the time there is until the answer begins, and each one's body is left", async () => {
  const clock = new FakeClock();
  const origin = redirecting(3, clock, 4_000);
  const { answer } = await new Questions({ origin, clock }).ask(QUESTION);
  assert.equal(answer.status, 200);
  assert.deepEqual(origin.asked.map(({ headTimeoutMs }) => headTimeoutMs), [10_000, 6_000, 2_000, 1]);
  assert.deepEqual(new Set(origin.asked.map(({ partTimeoutMs }) => partTimeoutMs)), new Set([10_000]));
  assert.deepEqual(origin.left, ["/0", "/1", "/2"]);
});

test("what an earlier question took is gone", async () => {
  const clock = new FakeClock();
  const origin = redirecting(0, clock, 0);
  await clock.advance(7_000);
  await new Questions({ origin, clock }).ask(QUESTION);
  assert.deepEqual(origin.asked.map(({ headTimeoutMs }) => headTimeoutMs), [3_000]);
});

test("too many redirects leave nothing open", async () => {
  const clock = new FakeClock();
  const origin = redirecting(4, clock, 0);
  await assert.rejects(new Questions({ origin, clock }).ask(QUESTION), { code: "origin-failed" });
  assert.deepEqual(origin.left, ["/0", "/1", "/2", "/3"]);
});

test("an answer that cannot be made sense of is left", async () => {
  const clock = new FakeClock();
  const origin = redirecting(0, clock, 0);
  const broken = { ...QUESTION, settings: new Proxy(QUESTION.settings, { get: failing }) };
  await assert.rejects(new Questions({ origin, clock }).ask(broken), /a fault of ours/);
  assert.deepEqual(origin.left, ["/0"]);
});

/** As a defect would be that only some answers meet. */
function failing(target: Question["settings"], name: string | symbol): unknown {
  if (name === "redirects") throw new Error("a fault of ours");
  return Reflect.get(target, name);
}
