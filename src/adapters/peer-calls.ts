/** Messages to a peer, and its replies, in the version in which it turns out to be spoken to. */
import type { Buffer } from "node:buffer";
import { AtollError } from "../errors.ts";
import {
  type CallMessage,
  type CallReply,
  decodeReplies,
  encodeRequest,
  type Frame,
  joinFrames,
} from "../http/peer-codec.ts";
import { answeredInVersion1 } from "../http/peer-neighbour.ts";
import type { Dialect } from "../http/peer-protocol.ts";

/** A message as it is in one version. */
export interface EncodedCall {
  readonly message: CallMessage;
  readonly version: number;
  readonly frame: Frame;
}

/** Throws what `encodeRequest` does. */
export function encodeCall(message: CallMessage, version: number): EncodedCall {
  return { message, version, frame: encodeRequest(message, { version }) };
}

/** What was learned of the peer since they were encoded may make it another version. */
export function callsBody(calls: readonly EncodedCall[], version: number): Buffer {
  return joinFrames(calls.map((call) => {
    return (call.version === version ? call : encodeCall(call.message, version)).frame;
  }));
}

/** Throws `peer-garbage` as `decodeReplies` does. */
export function callReplies(
  body: Uint8Array,
  calls: readonly EncodedCall[],
  dialect: Dialect,
): (CallReply | AtollError)[] {
  const replies = decodeReplies(body, calls.length, dialect);
  if (dialect.version !== 1) return replies;
  return replies.map((reply, index) => {
    return reply instanceof AtollError ? reply : answeredInVersion1(calls[index]!.message.request, reply);
  });
}
