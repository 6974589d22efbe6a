/**
 * The wire format of calls between nodes, shared by both ends (adapters/undici-peers.ts and http/peer-app.ts): a body is
 * `u32 count`, then that many frames `u32 length, JSON, u32 length, bytes`, all numbers big-endian. Replies come in the
 * order of their requests.
 *
 * What does not fit the format or the schemas is `peer-garbage`: broken framing spoils the whole body, a message that
 * makes no sense only itself.
 */
import { Buffer } from "node:buffer";
import { CHUNK_BYTES } from "../core/manifest.ts";
import { AtollError, type ErrorCode } from "../errors.ts";
import type { PeerReply, PeerRequest } from "../ports.ts";
import { fromVersion1, replyInVersion1, toVersion1 } from "./peer-neighbour.ts";
import { type Dialect, OWN_DIALECT } from "./peer-protocol.ts";
import { replySchema, replySchemaAhead, requestSchema, requestSchemaAhead } from "./peer-schemas.ts";

/** Messages of one request. */
export const FRAMES_MAX = 64;
/** Bytes of a call's body; a notice of the longest names fits. */
export const CALL_BYTES_MAX = 8 << 20;
/** Bytes of an answer's body; a scan of the longest names fits. */
export const ANSWER_BYTES_MAX = 16 << 20;

/** What travels in calls; chunks have routes of their own. */
export type CallRequest = Exclude<PeerRequest, { type: "chunk-put" | "chunk-get" }>;
export type CallReply = Exclude<PeerReply, { type: "chunk-put" | "chunk-get" }>;

export interface CallMessage {
  readonly request: CallRequest;
  /** W3C traceparent. */
  readonly trace?: string | undefined;
  /** The layout by which the question was put. */
  readonly layout?: number | undefined;
}

/** A message, encoded: its frame in parts that are written one after another. */
export interface Frame {
  readonly parts: readonly Uint8Array[];
  readonly sizeBytes: number;
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const NO_BYTES = new Uint8Array(0);
const TRACE_CHARS_MAX = 512;

/** Throws `too-large` for what no peer would take. */
export function encodeRequest(
  { request, trace, layout }: CallMessage,
  { version }: Pick<Dialect, "version"> = OWN_DIALECT,
): Frame {
  const said = version === 1 ? toVersion1(request) : request;
  const encoded = "chunk" in request && request.chunk
    ? frame({ trace, layout, message: { ...said, chunk: { id: request.chunk.id } } }, request.chunk.bytes)
    : frame({ trace, layout, message: said }, NO_BYTES);
  if (encoded.sizeBytes + 4 > CALL_BYTES_MAX) {
    throw new AtollError(
      "too-large",
      `wanted a call of at most ${CALL_BYTES_MAX} bytes, got ${encoded.sizeBytes}`,
    );
  }
  return encoded;
}

export function encodeReply(reply: CallReply, { version }: Pick<Dialect, "version"> = OWN_DIALECT): Frame {
  return frame({ message: version === 1 ? replyInVersion1(reply) : reply }, NO_BYTES);
}

function frame(header: unknown, blob: Uint8Array): Frame {
  const json = Buffer.from(JSON.stringify(header));
  const head = Buffer.allocUnsafe(8 + json.length);
  head.writeUInt32BE(json.length, 0);
  json.copy(head, 4);
  head.writeUInt32BE(blob.length, 4 + json.length);
  return { parts: blob.length === 0 ? [head] : [head, blob], sizeBytes: head.length + blob.length };
}

export function joinFrames(frames: readonly Frame[]): Buffer {
  const count = Buffer.allocUnsafe(4);
  count.writeUInt32BE(frames.length, 0);
  return Buffer.concat([count, ...frames.flatMap((one) => one.parts)]);
}

/** Throws `peer-garbage` for broken framing; for a message that makes no sense an error stands in its place. */
export function decodeRequests(body: Uint8Array, dialect = OWN_DIALECT): (CallMessage | AtollError)[] {
  return splitFrames(body).map(({ json, blob }) => {
    try {
      return decodeRequest(parseJson(json), { blob, bodyBytes: body.length, dialect });
    } catch (error) {
      if (error instanceof AtollError) return error;
      throw error;
    }
  });
}

function decodeRequest(
  header: JsonHeader,
  { blob, bodyBytes, dialect }: { blob: Uint8Array; bodyBytes: number; dialect: Dialect },
): CallMessage {
  const { trace, layout } = header;
  if (layout !== undefined && (typeof layout !== "number" || !Number.isSafeInteger(layout) || layout < 1)) {
    throw garbage("a layout's number");
  }
  if (trace !== undefined && (typeof trace !== "string" || trace.length > TRACE_CHARS_MAX)) {
    throw garbage("a traceparent");
  }
  const message = dialect.version === 1 ? fromVersion1(header.message) : header.message;
  const parsed = (dialect.isAhead ? requestSchemaAhead : requestSchema).safeParse(message);
  if (!parsed.success) throw garbage("a request", parsed.error);
  const request = parsed.data;
  if (request.type !== "prepare" && request.type !== "accept") {
    if (blob.length > 0) throw garbage(`a ${request.type} without bytes`);
    return { request, trace, layout };
  }
  const { chunk, ...rest } = request;
  if (!chunk) {
    if (blob.length > 0) throw garbage("bytes only with the chunk they are of");
    return { request: rest, trace, layout };
  }
  if (blob.length > CHUNK_BYTES) throw garbage(`a chunk of at most ${CHUNK_BYTES} bytes`);
  return { request: { ...rest, chunk: { id: chunk.id, bytes: ownBytes(blob, bodyBytes) } }, trace, layout };
}

/**
 * As above. `wanted`: how many replies there must be. An error reply is a reply: whoever called decides what it is. What
 * they mean in another version depends on what was asked: see peer-neighbour.ts.
 */
export function decodeReplies(
  body: Uint8Array,
  wanted: number,
  { isAhead }: Pick<Dialect, "isAhead"> = OWN_DIALECT,
): (CallReply | AtollError)[] {
  const frames = splitFrames(body);
  if (frames.length !== wanted) throw garbage(`${wanted} replies, got ${frames.length}`);
  return frames.map(({ json, blob }) => {
    try {
      const parsed = (isAhead ? replySchemaAhead : replySchema).safeParse(parseJson(json).message);
      if (!parsed.success) throw garbage("a reply", parsed.error);
      if (blob.length > 0) throw garbage("a reply without bytes");
      return parsed.data;
    } catch (error) {
      if (error instanceof AtollError) return error;
      throw error;
    }
  });
}

interface JsonHeader {
  readonly trace?: unknown;
  readonly layout?: unknown;
  readonly message?: unknown;
}

function parseJson(json: Uint8Array): JsonHeader {
  try {
    const header: unknown = JSON.parse(UTF8.decode(json));
    if (typeof header === "object" && header !== null) return header;
  } catch (cause) {
    throw new AtollError("peer-garbage", "wanted a header of JSON, got something else", { cause });
  }
  throw garbage("a header that is an object");
}

function splitFrames(body: Uint8Array): { json: Uint8Array; blob: Uint8Array }[] {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  let at = 0;
  const number = (): number => {
    if (at + 4 > body.length) throw garbage("a length, got the end");
    at += 4;
    return view.getUint32(at - 4);
  };
  const bytes = (): Uint8Array => {
    const length = number();
    if (length > body.length - at) throw garbage(`${length} bytes, got ${body.length - at}`);
    at += length;
    return body.subarray(at - length, at);
  };
  const count = number();
  if (count < 1 || count > FRAMES_MAX) throw garbage(`1 to ${FRAMES_MAX} messages, got ${count}`);
  const frames = Array.from({ length: count }, () => ({ json: bytes(), blob: bytes() }));
  if (at !== body.length) {
    throw garbage(`the end after ${count} messages, got ${body.length - at} bytes more`);
  }
  return frames;
}

/** Plain bytes; copied where a view would keep a much larger body alive for as long as somebody caches the chunk. */
function ownBytes(blob: Uint8Array, bodyBytes: number): Uint8Array {
  return blob.length * 2 < bodyBytes
    ? new Uint8Array(blob)
    : new Uint8Array(blob.buffer, blob.byteOffset, blob.byteLength);
}

function garbage(wanted: string, cause?: unknown): AtollError {
  const detail = cause instanceof Error ? `: ${cause.message.replace(/\s+/g, " ").slice(0, 500)}` : "";
  return new AtollError("peer-garbage", `wanted ${wanted}${detail}`, { cause });
}

/** The reply that a fault becomes; a peer must take a refusal of ours for what it is, not for one of its own calls. */
export function errorReply(error: AtollError): Extract<PeerReply, { type: "error" }> {
  // To whoever called us these would say that *this* call was not carried out, or not answered: we cannot know that.
  const ours = error.code === "peer-unreachable" || error.code === "peer-timeout";
  return { type: "error", code: ours ? "internal" : error.code, message: error.message.slice(0, 4_096) };
}

/** The fault that an error reply stands for. */
export function replyError(url: string, { code, message }: { code: string; message: string }): AtollError {
  return Object.hasOwn(CODES, code) ? new AtollError(code as ErrorCode, message) : new AtollError(
    "peer-garbage",
    `wanted a known error code from ${url}, got ${JSON.stringify(code)}: ${message}`,
  );
}

const CODES = {
  "invalid-key": true,
  "invalid-bucket": true,
  "invalid-argument": true,
  "invalid-digest": true,
  "digest-mismatch": true,
  "incomplete-body": true,
  "partial-put": true,
  unauthorized: true,
  forbidden: true,
  "not-found": true,
  "method-not-allowed": true,
  "precondition-failed": true,
  "too-large": true,
  "range-not-satisfiable": true,
  "too-many-requests": true,
  "headers-too-large": true,
  internal: true,
  "no-quorum": true,
  overloaded: true,
  draining: true,
  "outcome-unknown": true,
  "not-cached": true,
  "storage-full": true,
  "layout-changed": true,
  refused: true,
  "origin-failed": true,
  "origin-timeout": true,
  "origin-forbidden": true,
  "origin-loop": true,
  "peer-unreachable": true,
  "peer-timeout": true,
  "peer-garbage": true,
  "peer-refused": true,
  "wrong-ring": true,
  "wrong-node": true,
  "id-taken": true,
  "wrong-protocol": true,
  "wrong-layout": true,
  damaged: true,
  config: true,
  "data-dir": true,
} as const satisfies Record<ErrorCode, true>;
