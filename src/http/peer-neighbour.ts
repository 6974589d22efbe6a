/**
 * Version 1 of the protocol, in terms of version 2: all that is known here of how the neighbour speaks. It goes when the
 * minimum is raised (see peer-protocol.ts).
 *
 * Version 1 asks for the states of one partition, from a slot on to its end: `{ slot, after }`. Its answers have the form
 * they still have; `next` stays within the partition.
 */
import { z } from "zod";
import { SLOTS_PER_PARTITION } from "../core/partitions.ts";
import { AtollError } from "../errors.ts";
import type { PeerReply, PeerRequest } from "../ports.ts";
import { slotPlace } from "./peer-schemas.ts";

type SlotStates = Extract<PeerRequest, { type: "slot-states" }>;

const question = z.strictObject({ type: z.literal("slot-states"), ...slotPlace.shape });

/** The request as a peer of version 1 knows it; throws `peer-refused` for what it cannot be asked. */
export function toVersion1(request: { readonly type: string }): object {
  if (request.type === "purge") {
    throw new AtollError("peer-refused", "wanted a peer that can purge, it is older");
  }
  if (bringsChunk(request)) {
    throw new AtollError("peer-refused", "wanted a peer that stores a chunk as it accepts, it is older");
  }
  return isSlotStates(request) ? { type: request.type, ...placeOf(request) } : request;
}

/** What a peer of version 1 asks, unchecked, as this node knows it, to be checked still. */
export function fromVersion1(message: unknown): unknown {
  if (isPurge(message) || bringsChunk(message)) return undefined;
  if (!isSlotStates(message)) return message;
  const { success, data } = question.safeParse(message);
  // What version 1 does not know is no question in it, although it might be one in ours.
  if (!success) return undefined;
  const { type, ...from } = data;
  return { type, partitions: [partitionOf(from.slot)], from };
}

/** What this node answers, as a peer of version 1 knows it. */
export function replyInVersion1(reply: PeerReply): object {
  if (reply.type !== "moved") return reply;
  const { bytesLeft: _, ...progress } = reply.progress;
  return { ...reply, progress };
}

/** What a peer of version 1 answered, for whoever asked `request`: with its last page the next partition begins. */
export function answeredInVersion1<R extends PeerReply>(request: { readonly type: string }, reply: R): R {
  if (!isSlotStates(request) || reply.type !== "slot-states" || reply.next) return reply;
  const { partitions } = request;
  const following = partitions[partitions.indexOf(partitionOf(placeOf(request).slot)) + 1];
  if (following === undefined) return reply;
  return { ...reply, next: { slot: following * SLOTS_PER_PARTITION, after: "" } };
}

function placeOf({ partitions, from }: SlotStates): NonNullable<SlotStates["from"]> {
  const place = from ?? { slot: partitions[0]! * SLOTS_PER_PARTITION, after: "" };
  if (!partitions.includes(partitionOf(place.slot))) {
    throw new AtollError("peer-refused", "wanted a page from a slot of the partitions asked for");
  }
  return place;
}

function partitionOf(slot: number): number {
  return Math.floor(slot / SLOTS_PER_PARTITION);
}

/** In version 1 a chunk comes with a promise or alone. */
function bringsChunk(message: unknown): boolean {
  return typeof message === "object" && message !== null && "type" in message && message.type === "accept" &&
    "chunk" in message && message.chunk !== undefined;
}

/** Version 1 knows of none. */
function isPurge(message: unknown): boolean {
  return typeof message === "object" && message !== null && "type" in message && message.type === "purge";
}

function isSlotStates(message: unknown): message is SlotStates {
  return typeof message === "object" && message !== null && "type" in message &&
    message.type === "slot-states";
}
