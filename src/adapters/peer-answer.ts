/** What an answer of a peer must be before anybody reads on: of this protocol, of the right node, ring and secret. */
import { AtollError } from "../errors.ts";
import { AUTH_HEADER, bodyDigest, NO_DIGEST, type PeerSigner, VOUCH_HEADER } from "../http/peer-auth.ts";
import { replyError } from "../http/peer-codec.ts";
import { FROM_HEADER, NONE, PROTOCOL_HEADER, RING_HEADER, UNDERSTANDS_HEADER } from "../http/peer-headers.ts";
import {
  commonProtocol,
  type Protocols,
  readProtocols,
  readVersion,
  showProtocols,
} from "../http/peer-protocol.ts";
import { faultSchema } from "../http/peer-schemas.ts";
import type { ExchangeAnswer } from "./peer-exchange.ts";

export interface Expected {
  readonly url: string;
  /** What this node understands, and in which version of those it asked. */
  readonly mine: Protocols;
  readonly version: number;
  readonly expect: string | undefined;
  /** Of the caller when it asked. */
  readonly ringId: string | undefined;
  /** With the request's own mac; undefined where there is no secret. */
  readonly signed: { readonly signer: PeerSigner; readonly mac: string } | undefined;
  /** Whether the path says what the bytes are, so that no digest is signed. */
  readonly byPath: boolean;
}

export interface Checked {
  /** Undefined for a 404. */
  readonly body: Uint8Array | undefined;
  /** What whoever answered understands. */
  readonly theirs: Protocols;
}

/** The peer refused the version, surely before it did anything, and understands another one of this node's. */
export interface AskAgain {
  readonly theirs: Protocols;
  readonly askAgainIn: number;
}

/** Throws what the peer named, or what is wrong with the answer. */
export function checkAnswer(answer: ExchangeAnswer, expected: Expected): Checked | AskAgain {
  const { url, mine, version, expect, ringId } = expected;
  const protocol = answer.header(PROTOCOL_HEADER);
  if (protocol === undefined) {
    throw new AtollError(
      "peer-garbage",
      `wanted an answer of a node from ${url}, got status ${answer.status}`,
    );
  }
  const said = readVersion(protocol);
  const understands = answer.header(UNDERSTANDS_HEADER);
  const theirs = said === undefined ? undefined : readProtocols(understands, said);
  const common = theirs && commonProtocol(mine, theirs);
  if (theirs && common !== undefined && common !== version && answer.status === 426) {
    return { theirs, askAgainIn: common };
  }
  // A refusal need not be in the version of what it refuses, as long as it can be read.
  const isRefusal = answer.status !== 200 && answer.status !== 404;
  if (!theirs || common === undefined || (said !== version && !isRefusal)) {
    throw new AtollError(
      "wrong-protocol",
      `wanted protocol ${showProtocols(mine)} from ${url}, got ${protocol.slice(0, 64)}`,
    );
  }
  const from = answer.header(FROM_HEADER) ?? NONE;
  const ring = answer.header(RING_HEADER) ?? NONE;
  const { status } = answer;
  // A refusal needs no signature: an impostor can say no, but then so could it by saying nothing.
  if (isRefusal) throw refusal(url, answer);
  if (expected.signed) {
    const digest = expected.byPath ? NO_DIGEST : bodyDigest(answer.body);
    const { signer, mac } = expected.signed;
    const sealed = { status, protocol, understands: understands ?? NONE, from, ring };
    const seals = { header: answer.header(AUTH_HEADER), vouch: answer.header(VOUCH_HEADER) };
    signer.checkAnswer(mac, sealed, digest, seals);
  }
  if (expect !== undefined && from !== expect) {
    throw new AtollError("wrong-node", `wanted node ${expect} at ${url}, got ${from}`);
  }
  if (ringId !== undefined && ring !== NONE && ring !== ringId) {
    throw new AtollError(
      "wrong-ring",
      `wanted a member of ring ${ringId} at ${url}, got one of ring ${ring}`,
    );
  }
  return { body: status === 404 ? undefined : answer.body, theirs };
}

function refusal(url: string, { status, body }: ExchangeAnswer): AtollError {
  const parsed = faultSchema.safeParse(parseJson(body));
  if (parsed.success) return replyError(url, parsed.data);
  return new AtollError("peer-garbage", `wanted an answer or a reason from ${url}, got status ${status}`);
}

/** Undefined, which no schema takes, for what is not JSON. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
