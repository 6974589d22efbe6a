/** A short run of the fuzzer against real nodes; `npm run fuzz` is the long one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { HERE } from "../helpers/raw-start.ts";
import { Http1Answers, Http2Answers } from "./answers.ts";
import { DOORS, runCampaign } from "./campaign.ts";

const REQUESTS = 1_500;
const FOR_MS = 60_000;

for (const listener of DOORS) {
  test(`what no client should send harms the ${listener} listener not`, async () => {
    const { answers, failures } = await runCampaign({
      runtime: HERE,
      listener,
      seed: 20_260_601,
      from: 0,
      connections: 10_000,
      requests: REQUESTS,
      forMs: FOR_MS,
    });
    assert.deepEqual(failures, []);
    assert.ok(answers >= REQUESTS, `wanted ${REQUESTS} answers within ${FOR_MS} ms, got ${answers}`);
  });
}

test("the fuzzer counts answers, and sees a 500, however they are cut", () => {
  const good = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  const text = Buffer.from(
    `${good}HTTP/1.1 100 Continue\r\n\r\n${good}HTTP/1.1 500 Internal Server Error\r\n\r\n`,
  );
  for (let cut = 1; cut < text.length; cut++) {
    const counter = new Http1Answers();
    counter.take(text.subarray(0, cut));
    counter.take(text.subarray(cut));
    assert.equal(counter.answers, 3, `cut at ${cut}`);
    assert.match(counter.wrong ?? "", /^HTTP\/1.1 500/);
  }
  // Two answers, the second with :status 500 behind a change of the table's size, and a frame that is none.
  const frames = Buffer.from([
    0,
    0,
    1,
    1,
    4,
    0,
    0,
    0,
    1,
    0x88,
    0,
    0,
    0,
    4,
    1,
    0,
    0,
    0,
    0,
    0,
    0,
    2,
    1,
    4,
    0,
    0,
    0,
    3,
    0x20,
    0x8e,
  ]);
  for (let cut = 1; cut < frames.length; cut++) {
    const counter = new Http2Answers();
    counter.take(frames.subarray(0, cut));
    counter.take(frames.subarray(cut));
    assert.deepEqual([counter.answers, counter.wrong], [2, "status 500"], `cut at ${cut}`);
  }
});

test("a body that nobody reads keeps no request behind it waiting: seed 7, connection 546", async () => {
  const replayed = {
    listener: "public",
    seed: 7,
    from: 546,
    connections: 1,
    requests: 1_000,
    forMs: FOR_MS,
  } as const;
  const { answers, failures } = await runCampaign({ runtime: HERE, ...replayed });
  assert.deepEqual(failures, []);
  assert.ok(answers >= 38, `wanted 38 answers, got ${answers}`);
});

// The frames that Deno's own HTTP/2 died of three times in four: src/adapters/goaway-filter.ts keeps them from it.
for (const time of ["once", "and again"]) {
  test(`fifty GOAWAY in a row end no process (${time}): seed 20261128, connections from 2126`, async () => {
    const replayed = {
      listener: "peer",
      seed: 20_261_128,
      from: 2_126,
      connections: 8,
      requests: 1_000_000,
      forMs: FOR_MS,
    } as const;
    const { failures } = await runCampaign({ runtime: HERE, ...replayed });
    assert.deepEqual(failures, []);
  });
}
