import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import { GoawayFilter } from "../../src/adapters/goaway-filter.ts";
import { FRAME, frame, greeting } from "../fuzz/h2-frames.ts";

const PREFACE = greeting().subarray(0, 24);

const frames = fc.array(
  fc.record({
    type: fc.oneof(fc.constant(FRAME.goaway), fc.nat({ max: 255 })),
    flags: fc.nat({ max: 255 }),
    stream: fc.constantFrom(0, 1, 0x7fffffff),
    payload: fc.uint8Array({ maxLength: 30 }),
  }),
  { maxLength: 8 },
);

function joined(
  list: readonly { type: number; flags: number; stream: number; payload: Uint8Array }[],
): Buffer {
  return Buffer.concat(list.map(({ type, flags, stream, payload }) => frame(type, flags, stream, payload)));
}

test("GoawayFilter takes out GOAWAY frames and nothing else, however the bytes are cut", () => {
  fc.assert(
    fc.property(
      fc.constantFrom("server", "client"),
      frames,
      fc.array(fc.nat({ max: 300 })),
      (end, list, places) => {
        const preface = end === "server" ? PREFACE : Buffer.alloc(0);
        const bytes = Buffer.concat([preface, joined(list)]);
        const cuts = [0, ...places.filter((at) => at < bytes.length).sort((a, b) => a - b), bytes.length];
        const filter = new GoawayFilter(end);
        const kept = cuts.slice(1).flatMap((end, i) => filter.take(bytes.subarray(cuts[i], end)));
        const wanted = Buffer.concat([preface, joined(list.filter(({ type }) => type !== FRAME.goaway))]);
        assert.deepEqual(Buffer.concat(kept), wanted);
        assert.ok(kept.every(({ length }) => length > 0));
      },
    ),
  );
});

test("GoawayFilter hands on what came of a frame before the frame is whole", () => {
  const filter = new GoawayFilter("server");
  const bytes = Buffer.concat([PREFACE, frame(FRAME.data, 0, 1, Buffer.alloc(100))]);
  assert.deepEqual(Buffer.concat(filter.take(bytes.subarray(0, 50))), bytes.subarray(0, 50));
  assert.deepEqual(Buffer.concat(filter.take(bytes.subarray(50))), bytes.subarray(50));
});

test("GoawayFilter passes on what no connection of HTTP/2 begins with", () => {
  const bytes = Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  assert.deepEqual(Buffer.concat(new GoawayFilter("server").take(bytes)), bytes.subarray(0, 24));
  const zeros = Buffer.alloc(24 + 9);
  assert.deepEqual(Buffer.concat(new GoawayFilter("server").take(zeros)), zeros);
});
