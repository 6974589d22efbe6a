import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import { ANCESTORS_MAX } from "../../src/core/register.ts";
import { AtollError, isAtollError } from "../../src/errors.ts";
import {
  type CallMessage,
  type CallReply,
  type CallRequest,
  decodeReplies,
  decodeRequests,
  encodeReply,
  encodeRequest,
  errorReply,
  FRAMES_MAX,
  joinFrames,
  replyError,
} from "../../src/http/peer-codec.ts";
import { exchanges, withoutUndefined } from "../helpers/peer-messages.ts";

const { "chunk-put": _put, "chunk-get": _get, ...inCalls } = exchanges;
const anyCall = fc.oneof(...Object.values(inCalls));

/** Frames by hand: JSON and bytes. */
function body(...frames: (readonly [unknown, (string | undefined)?])[]): Buffer {
  const number = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  return Buffer.concat([
    number(frames.length),
    ...frames.flatMap(([header, blob = ""]) => {
      const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header), "latin1");
      return [number(json.length), json, number(blob.length), Buffer.from(blob)];
    }),
  ]);
}

function isGarbage(value: unknown): boolean {
  return isAtollError(value, "peer-garbage");
}

test("decodeRequests and decodeReplies give back what was encoded, in order", () => {
  const all = fc.array(fc.tuple(anyCall, fc.option(fc.string(), { nil: undefined })), {
    minLength: 1,
    maxLength: 9,
  });
  fc.assert(
    fc.property(all, (made) => {
      const messages: CallMessage[] = made.map(([{ request }, trace]) => ({
        request: request as CallRequest,
        trace,
      }));
      const requests = decodeRequests(joinFrames(messages.map((message) => encodeRequest(message))));
      assert.deepEqual(requests.map(withoutUndefined), messages.map(withoutUndefined));
      const replies = made.map(([{ reply }]) => reply as CallReply);
      const decoded = decodeReplies(joinFrames(replies.map((reply) => encodeReply(reply))), replies.length);
      assert.deepEqual(decoded.map(withoutUndefined), replies);
    }),
    { numRuns: 50 },
  );
});

test("decodeRequests throws peer-garbage or gives messages, whatever comes", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    try {
      decodeRequests(bytes);
    } catch (error) {
      assert(isGarbage(error));
    }
  }));
});

test("decodeRequests throws peer-garbage for every body that was cut or lengthened", () => {
  const whole = joinFrames([
    encodeRequest({ request: { type: "layout" } }),
    encodeRequest({
      request: {
        type: "prepare",
        name: "a\0b",
        ballot: { counter: 1, node: "n" },
        chunk: { id: "a".repeat(64), bytes: new Uint8Array(3) },
      },
    }),
  ]);
  assert.equal(decodeRequests(whole).filter(isGarbage).length, 0);
  for (let length = 0; length < whole.length; length++) {
    assert.throws(() => decodeRequests(whole.subarray(0, length)), isGarbage, `cut to ${length}`);
  }
  assert.throws(() => decodeRequests(Buffer.concat([whole, Buffer.alloc(1)])), isGarbage);
});

test("decodeRequests throws peer-garbage for no message and for more than a batch may hold", () => {
  const layout = [{ message: { type: "layout" } }] as const;
  assert.equal(decodeRequests(body(...Array.from({ length: FRAMES_MAX }, () => layout))).length, FRAMES_MAX);
  assert.throws(() => decodeRequests(body()), isGarbage);
  assert.throws(
    () => decodeRequests(body(...Array.from({ length: FRAMES_MAX + 1 }, () => layout))),
    isGarbage,
  );
});

const ballot = { counter: 1, node: "n" };
const manifest = {
  format: 1,
  size: 1,
  sha256: "a".repeat(64),
  layout: "list",
  chunks: ["b".repeat(64)],
  headers: { "content-type": "text/plain" },
};
const value = {
  version: 1,
  modifiedMs: 1,
  changeId: "c",
  ancestors: [],
  content: { kind: "object", manifest },
};
const accept = { type: "accept", name: "a\0b", ballot, value };
const withManifest = (change: object) => ({
  ...accept,
  value: { ...value, content: { kind: "object", manifest: { ...manifest, ...change } } },
});

test("decodeRequests takes the message that the next test spoils", () => {
  assert.deepEqual(decodeRequests(body([{ message: accept }])), [{
    request: accept,
    trace: undefined,
    layout: undefined,
  }]);
});

const spoilt: readonly (readonly [string, unknown, string?])[] = [
  ["no JSON", "{"],
  ["JSON that is no object", "3"],
  ["broken UTF-8", '{"message":{"type":"layout"},"trace":"\xff"}'],
  ["no message", {}],
  ["an unknown type", { message: { type: "shutdown" } }],
  ["a chunk outside its route", { message: { type: "chunk-get", id: "a".repeat(64) } }],
  ["a missing field", { message: { type: "accept", name: "a\0b", ballot } }],
  ["an unknown field", { message: { ...accept, extra: 1 } }],
  ["a counter that is no safe integer", { message: { ...accept, ballot: { counter: 2 ** 53, node: "n" } } }],
  ["a negative counter", { message: { ...accept, ballot: { counter: -1, node: "n" } } }],
  ["a number in place of text", { message: { ...accept, name: 1 } }],
  ["a name beyond the limit", { message: { ...accept, name: "x".repeat(2_049) } }],
  ["version 0", { message: { ...accept, value: { ...value, version: 0 } } }],
  ["too many ancestors", {
    message: { ...accept, value: { ...value, ancestors: Array(ANCESTORS_MAX + 1).fill("c") } },
  }],
  ["a manifest whose chunks do not make up its size", { message: withManifest({ size: 2 << 20 }) }],
  ["a manifest with a chunk that is no id", { message: withManifest({ chunks: ["B".repeat(64)] }) }],
  ["a layout of no partitions", {
    message: {
      type: "decree-accept",
      ballot,
      layout: { format: 1, ringId: "r", number: 1, replicas: 1, nodes: [], voters: [], table: [] },
    },
  }],
  ["a scan without limit", { message: { type: "scan", range: { prefix: "", after: "", limit: 0 } } }],
  ["bytes that nobody spoke of", { message: { type: "layout" } }, "bytes"],
  ["bytes of no chunk", { message: { type: "prepare", name: "a\0b", ballot } }, "bytes"],
  ["a trace that is none", { message: { type: "layout" }, trace: 1 }],
  ["a layout number that is none", { message: { type: "layout" }, layout: 0 }],
];

for (const [what, header, blob] of spoilt) {
  test(`decodeRequests gives peer-garbage in place of ${what}, and the other message unharmed`, () => {
    const [bad, good] = decodeRequests(body([header, blob], [{ message: { type: "layout" } }]));
    assert(isGarbage(bad));
    assert.deepEqual(good, { request: { type: "layout" }, trace: undefined, layout: undefined });
  });
}

test("decodeRequests makes no prototype of a header", () => {
  const json = JSON.stringify({ message: withManifest({ headers: { h: "x" } }) });
  const [message] = decodeRequests(body([json.replace('"h":"x"', '"__proto__":{"y":"z"}')]));
  if (isGarbage(message)) return;
  assert.deepEqual(message, { request: withManifest({ headers: {} }), trace: undefined, layout: undefined });
});

test("decodeReplies throws peer-garbage for fewer or more replies than requests", () => {
  const two = joinFrames([encodeReply({ type: "notice" }), encodeReply({ type: "notice" })]);
  assert.equal(decodeReplies(two, 2).length, 2);
  for (const wanted of [1, 3]) assert.throws(() => decodeReplies(two, wanted), isGarbage);
});

test("encodeRequest refuses what no peer would take", () => {
  const commits = Array.from({ length: 9_000 }, () => ({ name: "x".repeat(1_000), version: 1 }));
  assert.throws(
    () => encodeRequest({ request: { type: "notice", commits } }),
    (error) => isAtollError(error, "too-large"),
  );
});

test("decodeRequests does not keep a large body alive for a small chunk of it", () => {
  const prepare = (sizeBytes: number) =>
    encodeRequest({
      request: {
        type: "prepare",
        name: "a\0b",
        ballot,
        chunk: { id: "a".repeat(64), bytes: new Uint8Array(sizeBytes).fill(7) },
      },
    });
  const [small] = decodeRequests(joinFrames([prepare(10), prepare(100_000)]));
  assert(small && !(small instanceof AtollError) && small.request.type === "prepare" && small.request.chunk);
  const { bytes } = small.request.chunk;
  assert.deepEqual([...bytes], Array(10).fill(7));
  assert.equal(bytes.buffer.byteLength, 10);
});

test("replyError gives the fault back that errorReply was made of", () => {
  const fault = replyError("http://a", errorReply(new AtollError("storage-full", "wanted room")));
  assert.deepEqual([fault.code, fault.message], ["storage-full", "wanted room"]);
  assert(isGarbage(replyError("http://a", { code: "constructor", message: "m" })));
});
