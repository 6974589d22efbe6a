/** What an answer of a peer must be before anybody reads on: of this protocol, of the right node, ring and secret. */
import { AtollError } from "../errors.ts";
import { AUTH_HEADER, bodyDigest, NO_DIGEST, type PeerSigner } from "../http/peer-auth.ts";
import { PEER_PROTOCOL, replyError } from "../http/peer-codec.ts";
import { FROM_HEADER, NONE, PROTOCOL_HEADER, RING_HEADER } from "../http/peer-headers.ts";
import { faultSchema } from "../http/peer-schemas.ts";
import type { ExchangeAnswer } from "./peer-exchange.ts";

export interface Expected {
  readonly url: string;
  readonly expect: string | undefined;
  /** Of the caller when it asked. */
  readonly ringId: string | undefined;
  /** With the request's own mac; undefined where there is no secret. */
  readonly signed: { readonly signer: PeerSigner; readonly mac: string } | undefined;
  /** Whether the path says what the bytes are, so that no digest is signed. */
  readonly byPath: boolean;
}

/** The body, or undefined for a 404. Throws what the peer named, or what is wrong with the answer. */
export function checkAnswer(answer: ExchangeAnswer, expected: Expected): Uint8Array | undefined {
  const { url, expect, ringId } = expected;
  const protocol = answer.header(PROTOCOL_HEADER);
  if (protocol === undefined) {
    throw new AtollError(
      "peer-garbage",
      `wanted an answer of a node from ${url}, got status ${answer.status}`,
    );
  }
  if (protocol !== String(PEER_PROTOCOL)) {
    throw new AtollError(
      "wrong-protocol",
      `wanted protocol ${PEER_PROTOCOL} from ${url}, got ${protocol.slice(0, 64)}`,
    );
  }
  const from = answer.header(FROM_HEADER) ?? NONE;
  const ring = answer.header(RING_HEADER) ?? NONE;
  const { status } = answer;
  // A refusal needs no signature: an impostor can say no, but then so could it by saying nothing.
  if (status !== 200 && status !== 404) throw refusal(url, answer);
  if (expected.signed) {
    const digest = expected.byPath ? NO_DIGEST : bodyDigest(answer.body);
    const { signer, mac } = expected.signed;
    signer.checkAnswer(mac, { status, from, ring }, digest, answer.header(AUTH_HEADER));
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
  return status === 404 ? undefined : answer.body;
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
