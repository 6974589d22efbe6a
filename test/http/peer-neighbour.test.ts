/** The translation, held to the two ways of asking as the replicas' code has them. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import { PARTITIONS, slotOf, SLOTS_PER_PARTITION } from "../../src/core/partitions.ts";
import { EMPTY_ACCEPTOR, NO_FLOOR } from "../../src/core/register.ts";
import { AtollError, isAtollError } from "../../src/errors.ts";
import {
  type CallRequest,
  decodeReplies,
  decodeRequests,
  encodeReply,
  encodeRequest,
  joinFrames,
} from "../../src/http/peer-codec.ts";
import { answeredInVersion1, replyInVersion1 } from "../../src/http/peer-neighbour.ts";
import type { Dialect } from "../../src/http/peer-protocol.ts";
import { statesPage, statesPages } from "../../src/node/repair/slot-rows.ts";
import type { PeerReply, ReplyTo } from "../../src/ports.ts";
import { createMemoryCatalog } from "../helpers/memory-catalog.ts";
import { exchanges, withoutUndefined } from "../helpers/peer-messages.ts";

type SlotStates = Extract<CallRequest, { type: "slot-states" }>;

const VERSION_1 = { version: 1, isAhead: false };
const VERSION_2 = { version: 2, isAhead: false };

/** The JSON of a message in that version. */
function sentIn(version: number, request: CallRequest): Record<string, unknown> {
  const { parts: [head] } = encodeRequest({ request }, { version });
  const json = Buffer.from(head!.subarray(4, head!.length - 4)).toString();
  return (JSON.parse(json) as { message: Record<string, unknown> }).message;
}

function read(message: unknown, dialect: Dialect): CallRequest | AtollError {
  const json = Buffer.from(JSON.stringify({ message }));
  const head = Buffer.alloc(8);
  head.writeUInt32BE(1, 0);
  head.writeUInt32BE(json.length, 4);
  const [got] = decodeRequests(Buffer.concat([head, json, Buffer.alloc(4)]), dialect);
  return got instanceof AtollError ? got : withoutUndefined(got!.request);
}

test("whatever version 1 knows and is no question after states is in it what it is in version 2", () => {
  const { "chunk-put": _put, "chunk-get": _get, "slot-states": _states, purge: _purge, ...alike } = exchanges;
  fc.assert(fc.property(fc.oneof(...Object.values(alike)), ({ request, reply }) => {
    fc.pre(!(request.type === "accept" && request.chunk));
    assert.deepEqual(sentIn(1, request as CallRequest), sentIn(2, request as CallRequest));
    assert.equal(answeredInVersion1(request, reply), reply);
  }));
});

test("version 1 is told how far a move is in its own words, which have no bytes that are left", () => {
  fc.assert(fc.property(exchanges.moved, ({ reply }) => {
    assert(reply.type === "moved");
    const { bytesLeft: _, ...progress } = reply.progress;
    assert.deepEqual(replyInVersion1(reply), { type: "moved", progress });
  }));
});

test("version 1 knows of no purge: none is put to it, and none is taken from it", () => {
  fc.assert(fc.property(exchanges.purge, ({ request }) => {
    assert.throws(() => sentIn(1, request as CallRequest), (error) => isAtollError(error, "peer-refused"));
    assert.ok(isAtollError(read(sentIn(2, request as CallRequest), VERSION_1), "peer-garbage"));
  }));
});

test("version 1 knows of no vote for a value that brings a chunk: none is put to it, and none is taken from it", () => {
  fc.assert(fc.property(exchanges.accept, ({ request }) => {
    fc.pre(request.type === "accept" && request.chunk !== undefined);
    assert.throws(() => sentIn(1, request), (error) => isAtollError(error, "peer-refused"));
    assert.ok(isAtollError(read(sentIn(2, request), VERSION_1), "peer-garbage"));
  }));
});

test("a question after states is one partition's in version 1", () => {
  const asked = (request: Omit<SlotStates, "type">) => sentIn(1, { type: "slot-states", ...request });
  assert.deepEqual(asked({ partitions: [7, 9] }), { type: "slot-states", slot: 7 * 64, after: "" });
  const from = { slot: 9 * 64 + 5, after: "b\0k" };
  assert.deepEqual(asked({ partitions: [7, 9], from }), { type: "slot-states", ...from });
  assert.throws(() => asked({ partitions: [7], from }), (error) => isAtollError(error, "peer-refused"));
});

test("each version takes its own question after states and not the other's", () => {
  const old = { type: "slot-states", slot: 130, after: "b\0k" };
  const now = { type: "slot-states", partitions: [2], from: { slot: 130, after: "b\0k" } };
  assert.deepEqual(read(old, VERSION_1), now);
  assert.deepEqual(read(now, VERSION_2), now);
  assert(isAtollError(read(old, VERSION_2), "peer-garbage"));
  for (
    const spoilt of [
      now,
      { ...old, partitions: [2] },
      { ...old, slot: PARTITIONS * SLOTS_PER_PARTITION },
      { ...old, slot: -1 },
      { type: "slot-states", slot: 130 },
    ]
  ) assert(isAtollError(read(spoilt, VERSION_1), "peer-garbage"), JSON.stringify(spoilt));
});

test("fields that are not known are passed over of a neighbour that is ahead, on the message and not within", () => {
  const ahead = { version: 2, isAhead: true };
  const card = { ...cardOf("a"), zeal: 1 };
  const ping = { type: "ping", card: cardOf("a") };
  assert.deepEqual(read({ ...ping, zeal: 1 }, ahead), ping);
  for (const dialect of [VERSION_1, VERSION_2]) {
    assert(isAtollError(read({ ...ping, zeal: 1 }, dialect), "peer-garbage"));
  }
  assert(isAtollError(read({ ...ping, card }, ahead), "peer-garbage"));
  assert(isAtollError(read({ type: "zeal" }, ahead), "peer-garbage"));

  const body = joinFrames([encodeReply({ type: "notice", zeal: 1 } as PeerReply & { type: "notice" })]);
  assert.deepEqual(decodeReplies(body, 1, ahead), [{ type: "notice" }]);
  assert(isAtollError(decodeReplies(body, 1)[0], "peer-garbage"));
});

function cardOf(id: string) {
  const [region, zone, peerUrl, publicUrl] = ["r", "z", "http://a:1", "http://a:2"];
  return { id, region, zone, peerUrl, publicUrl, incarnation: "i", layoutNumber: 1, bootstrapExpect: 0 };
}

test("asked in version 1, a replica tells page by page what it tells in version 2", async () => {
  const catalog = createMemoryCatalog();
  const state = { ...EMPTY_ACCEPTOR, promised: { counter: 1, node: "n" } };
  const names = Array.from({ length: 2_000 }, (_, index) => `bucket\0${index}`);
  await catalog.commit({ registers: names.map((name) => ({ name, state })) });
  const replica = {
    floorOf: (slot: number) => slot % 3 === 0 ? { version: slot, promised: state.promised } : NO_FLOOR,
  };
  const partitionOf = (name: string) => Math.floor(slotOf(name) / SLOTS_PER_PARTITION);
  const partitions = [...new Set(names.map(partitionOf))].slice(0, 40);

  let questions = 0;
  const told = async (version: number) => {
    const rows = [];
    const floors = [];
    const ask = async (request: SlotStates): Promise<ReplyTo<SlotStates>> => {
      questions++;
      const heard = read(sentIn(version, request), { version, isAhead: false });
      assert(!(heard instanceof AtollError) && heard.type === "slot-states");
      if (version === 1) assert.equal(heard.partitions.length, 1);
      const reply = { type: "slot-states", ...await statesPage(catalog, replica, heard) } as const;
      return version === 1 ? answeredInVersion1(request, reply) : reply;
    };
    for await (const page of statesPages(ask, partitions)) {
      rows.push(...page.rows);
      floors.push(...page.floors);
    }
    return { rows, floors };
  };
  const now = await told(2);
  assert.deepEqual(
    now.rows.map(({ name }) => name).toSorted(),
    names.filter((name) => partitions.includes(partitionOf(name))).toSorted(),
  );
  const asNow = questions;
  assert.deepEqual(await told(1), now);
  assert(questions - asNow >= partitions.length && asNow < partitions.length, `${questions} and ${asNow}`);
});
