/** What every request between nodes says of its sender, and every answer of whoever answers. Shared by both ends. */
import { Buffer } from "node:buffer";
import { CHUNK_BYTES } from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import { AtollError } from "../errors.ts";
import type { PeerRequest } from "../ports.ts";
import type { SignedRequest } from "./peer-auth.ts";
import {
  commonProtocol,
  PEER_PROTOCOL,
  PROTOCOLS,
  type Protocols,
  protocolsText,
  readProtocols,
  readVersion,
  showProtocols,
} from "./peer-protocol.ts";

/** What a node says of itself with every message; it may come to belong to a ring while it runs. */
export interface PeerSelf {
  readonly nodeId: string;
  readonly ringId: string | undefined;
  readonly layoutNumber: number;
}

/** Stands for what there is not: no ring yet, no wish who should answer. */
export const NONE = "-";
export const CALL_PATH = "/v1/call";
export const CHUNK_PATH = "/v1/chunks/";
/** The version of this very message. */
export const PROTOCOL_HEADER = "atoll-protocol";
/** All that its sender understands. */
export const UNDERSTANDS_HEADER = "atoll-understands";
export const FROM_HEADER = "atoll-from";
export const TO_HEADER = "atoll-to";
export const RING_HEADER = "atoll-ring";
export const LAYOUT_HEADER = "atoll-layout";
/** With a chunk: the node in whose place it is to be held, and the object's name in base64url. */
const OWED_HEADER = "atoll-owed";
/**
 * With a question for a chunk, in the same header, which is signed as it is: bytes, `keep` or `pass`, whether it is only to be
 * warm, and the object's name.
 * Who does not know of it looks for the chunk at home, as always; to version 1 it is not said.
 */
const FOR_REGION = /^([1-9]\d{0,6}) (keep|pass)( warm)? ([\w-]{1,8192})$/;

/** Visible ASCII, as a header and a signed line can hold it. */
const WORD = /^[\x21-\x7e]{1,256}$/;
const LAYOUT_NUMBER = /^\d{1,15}$/;
/** Of a traceparent nothing but what is passed on. */
const TRACE = /^[\x21-\x7e]{1,512}$/;
const OWED = /^([\x21-\x7e]{1,256}) ([\w-]{1,8192})$/;

export interface OwedTo {
  readonly node: string;
  readonly name: Name;
}

/** What a node of the same region has to know to fetch a chunk. */
type ForRegion = NonNullable<Extract<PeerRequest, { type: "chunk-get" }>["forRegion"]>;

export function requestHeaders(
  self: PeerSelf,
  options: {
    readonly method: string;
    readonly path: string;
    readonly expect?: string | undefined;
    readonly trace?: string | undefined;
    readonly owed?: OwedTo | undefined;
    readonly forRegion?: ForRegion | undefined;
    readonly version?: number;
    readonly protocols?: Protocols;
  },
): { signed: SignedRequest; headers: Record<string, string> } {
  const ring = self.ringId ?? NONE;
  const layout = String(self.layoutNumber);
  const to = options.expect ?? NONE;
  const trace = options.trace !== undefined && TRACE.test(options.trace) ? options.trace : NONE;
  const { version = PEER_PROTOCOL, protocols = PROTOCOLS } = options;
  const protocol = String(version);
  const understands = protocolsText(protocols) ?? NONE;
  const headers: Record<string, string> = {
    ...versionHeaders(version, protocols),
    [FROM_HEADER]: self.nodeId,
    [RING_HEADER]: ring,
    [LAYOUT_HEADER]: layout,
  };
  if (to !== NONE) headers[TO_HEADER] = to;
  if (trace !== NONE) headers["traceparent"] = trace;
  const { forRegion } = options;
  const owed = options.owed
    ? owedText(options.owed)
    : forRegion && version > 1
    ? forRegionText(forRegion)
    : NONE;
  if (owed !== NONE) headers[OWED_HEADER] = owed;
  const { method, path } = options;
  const signed = { method, path, protocol, understands, from: self.nodeId, to, ring, layout, trace, owed };
  return { signed, headers };
}

export function versionHeaders(version: number, protocols: Protocols): Record<string, string> {
  const understands = protocolsText(protocols);
  return {
    [PROTOCOL_HEADER]: String(version),
    ...(understands !== undefined && { [UNDERSTANDS_HEADER]: understands }),
  };
}

function owedText({ node, name }: OwedTo): string {
  return `${node} ${Buffer.from(name).toString("base64url")}`;
}

/** Throws `peer-garbage` for what `owedText` does not make. */
export function readOwed({ owed }: SignedRequest): OwedTo | undefined {
  if (owed === NONE) return undefined;
  const [, node, encoded] = OWED.exec(owed) ?? [];
  if (node === undefined || encoded === undefined) throw missing(OWED_HEADER);
  const name = Buffer.from(encoded, "base64url").toString();
  if (owedText({ node, name }) !== owed) throw missing(OWED_HEADER);
  return { node, name };
}

function forRegionText({ name, sizeBytes, keep, warm }: ForRegion): string {
  return `${sizeBytes} ${keep ? "keep" : "pass"}${warm ? " warm" : ""} ${
    Buffer.from(name).toString("base64url")
  }`;
}

/** Throws `peer-garbage` for what `forRegionText` does not make. */
export function readForRegion({ owed }: SignedRequest): ForRegion | undefined {
  if (owed === NONE) return undefined;
  const [, size, keep, warm, encoded = ""] = FOR_REGION.exec(owed) ?? [];
  const sizeBytes = Number(size);
  const name = Buffer.from(encoded, "base64url").toString();
  const forRegion = { name, sizeBytes, keep: keep === "keep", ...(warm !== undefined && { warm: true }) };
  if (!(sizeBytes <= CHUNK_BYTES) || forRegionText(forRegion) !== owed) throw missing(OWED_HEADER);
  return forRegion;
}

/** A request's headers; `version` and `theirs` as read from `protocol` and `understands`. */
export interface ReadRequest {
  readonly signed: SignedRequest;
  readonly version: number;
  readonly theirs: Protocols;
}

/** What a request says of its sender. Throws `wrong-protocol`, or `peer-garbage` for what no node sends. */
export function readRequestHeaders(request: Request, path: string, mine: Protocols): ReadRequest {
  const { headers, method } = request;
  const protocol = headers.get(PROTOCOL_HEADER) ?? NONE;
  const version = readVersion(protocol);
  if (version === undefined || version < mine.min || version > mine.max) {
    throw new AtollError(
      "wrong-protocol",
      `wanted protocol ${showProtocols(mine)}, got ${protocol.slice(0, 64)}`,
    );
  }
  const understands = headers.get(UNDERSTANDS_HEADER) ?? NONE;
  const theirs = readProtocols(headers.get(UNDERSTANDS_HEADER) ?? undefined, version);
  if (!theirs) throw missing(UNDERSTANDS_HEADER);
  const from = word(headers, FROM_HEADER);
  const ring = word(headers, RING_HEADER);
  const layout = headers.get(LAYOUT_HEADER) ?? "";
  if (!LAYOUT_NUMBER.test(layout)) throw missing(LAYOUT_HEADER);
  const to = headers.has(TO_HEADER) ? word(headers, TO_HEADER) : NONE;
  const trace = headers.get("traceparent") ?? NONE;
  if (!TRACE.test(trace)) throw missing("traceparent");
  const owed = headers.get(OWED_HEADER) ?? NONE;
  const signed = { method, path, protocol, understands, from, to, ring, layout, trace, owed };
  return { signed, version, theirs };
}

/**
 * In which version a request that was not read is answered: its own where that is understood. `isNeighbour`: there is one
 * in which both could have spoken.
 */
export function answerVersion(
  { headers }: Request,
  mine: Protocols,
): { readonly version: number; readonly isNeighbour: boolean } {
  const version = readVersion(headers.get(PROTOCOL_HEADER) ?? NONE) ?? 0;
  const theirs = readProtocols(headers.get(UNDERSTANDS_HEADER) ?? undefined, version);
  const isUnderstood = version >= mine.min && version <= mine.max;
  return {
    version: isUnderstood ? version : mine.max,
    isNeighbour: theirs !== undefined && commonProtocol(mine, theirs) !== undefined,
  };
}

function word(headers: Headers, name: string): string {
  const value = headers.get(name);
  if (value === null || !WORD.test(value)) throw missing(name);
  return value;
}

function missing(name: string): AtollError {
  return new AtollError("peer-garbage", `wanted a well-formed ${name}, got none`);
}
