/**
 * Requests between nodes are signed with the cluster secret (HMAC-SHA-256), and so are the answers: whoever has taken
 * over a peer's address must not be able to make promises in its name. Shared by both ends of the channel.
 *
 * What is signed: method, path, every header that a node acts upon, wall time, nonce and the digest of the body. The
 * digest is part of the signature's header, so that a stranger is refused before a byte of the body was read.
 *
 * Chunk routes sign no body digest: the chunk's id, which is its SHA-256, stands in the signed path, and the handler
 * refuses bytes that do not hash to it. So every chunk is hashed once at each end, not twice.
 */
import { Buffer } from "node:buffer";
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { AtollError } from "../errors.ts";
import type { Clock, Random } from "../ports.ts";
import { NonceMemory } from "./peer-nonces.ts";

/** How far the clocks of two nodes may differ; ms. */
export const CLOCK_WINDOW_MS = 5 * 60_000;
export const AUTH_HEADER = "atoll-auth";
/** Goes with version 1. */
export const VOUCH_HEADER = "atoll-understands-auth";
/** Stands where a body's digest would: nothing to sign, or the path says it. */
export const NO_DIGEST = "-";

/** What a signature speaks for; no part may hold a line break, and what is absent is "-". */
export interface SignedRequest {
  readonly method: string;
  readonly path: string;
  readonly protocol: string;
  /** See peer-protocol.ts. */
  readonly understands: string;
  readonly from: string;
  readonly to: string;
  readonly ring: string;
  readonly layout: string;
  readonly trace: string;
  /** In whose place a chunk is to be held; see peer-headers.ts. */
  readonly owed: string;
}

export interface SignedAnswer {
  readonly status: number;
  readonly protocol: string;
  readonly understands: string;
  readonly from: string;
  readonly ring: string;
}

/** `mac` ties the answer to its request. */
export interface Signature {
  readonly header: string;
  /** Of what the sender understands, where `header` does not speak for that. */
  readonly vouch: string | undefined;
  readonly mac: string;
}

export function bodyDigest(body: Uint8Array): string {
  return createHash("sha256").update(body).digest("hex");
}

/** Signs what this node sends; one per stream of requests to one peer, since the receiver expects rising nonces. */
export class PeerSigner {
  readonly #secret: string;
  readonly #clock: Clock;
  readonly #stream: string;
  #count = 0;

  constructor(deps: { secret: string; clock: Clock; random: Random }) {
    this.#secret = deps.secret;
    this.#clock = deps.clock;
    this.#stream = deps.random.hex(8);
  }

  /** To be called when the request is sent, not when it is queued: see NonceMemory. */
  sign(request: SignedRequest, digest: string): Signature {
    const nonce = this.#stream + (this.#count++).toString(16).padStart(16, "0");
    const timeMs = String(Math.round(this.#clock.wallMs()));
    const mac = requestMac(this.#secret, request, timeMs, nonce, digest);
    const vouch = vouchMac(this.#secret, mac, "request", request);
    return { header: `v1 ${timeMs} ${nonce} ${digest} ${mac}`, vouch, mac };
  }

  /** Throws `peer-refused` unless the answer was made with the secret, for this very request. */
  checkAnswer(
    mac: string,
    answer: SignedAnswer,
    digest: string,
    { header, vouch }: { readonly header: string | undefined; readonly vouch: string | undefined },
  ): void {
    if (header === undefined) throw refused("an answer signed with the cluster secret, got none");
    const wanted = vouchMac(this.#secret, mac, "answer", answer);
    const isVouched = wanted === undefined || sameText(vouch ?? "", wanted);
    if (!isVouched || !sameText(header, answerMac(this.#secret, mac, answer, digest))) {
      throw refused("an answer signed with the cluster secret, got one signed with another");
    }
  }
}

const AUTH = /^v1 (\d{1,16}) ([0-9a-f]{32}) ([0-9a-f]{64}|-) ([0-9a-f]{64})$/;

/** Checks what other nodes send to this one. */
export class PeerVerifier {
  readonly #secret: string;
  readonly #clock: Clock;
  readonly #nonces = new NonceMemory(CLOCK_WINDOW_MS);

  constructor(deps: { secret: string; clock: Clock }) {
    this.#secret = deps.secret;
    this.#clock = deps.clock;
  }

  /** The digest that the body must have, once it was read. Throws `peer-refused`. */
  check(
    request: SignedRequest,
    header: string | undefined,
    vouch?: string,
  ): { readonly digest: string; readonly mac: string } {
    if (header === undefined) throw refused("a request signed with the cluster secret, got none");
    const [, timeMs, nonce, digest, mac] = AUTH.exec(header) ?? [];
    if (timeMs === undefined || nonce === undefined || digest === undefined || mac === undefined) {
      throw refused("a signature of version 1, got something else");
    }
    const wanted = vouchMac(this.#secret, mac, "request", request);
    const isVouched = wanted === undefined || sameText(vouch ?? "", wanted);
    if (!isVouched || !sameText(mac, requestMac(this.#secret, request, timeMs, nonce, digest))) {
      throw refused("a request signed with the cluster secret, got one signed with another");
    }
    const nowMs = this.#clock.wallMs();
    const aheadMs = Number(timeMs) - nowMs;
    if (Math.abs(aheadMs) > CLOCK_WINDOW_MS) {
      const direction = aheadMs > 0 ? "ahead" : "behind";
      throw refused(
        `a clock within ${CLOCK_WINDOW_MS / 1000} s, got one ${
          Math.round(Math.abs(aheadMs) / 1000)
        } s ${direction}`,
      );
    }
    // Last: only holders of the secret may leave a trace in the memory of nonces.
    const fault = this.#nonces.use(nonce, Number(timeMs), nowMs);
    if (fault) throw refused(fault);
    return { digest, mac };
  }

  signAnswer(mac: string, answer: SignedAnswer, digest: string): Omit<Signature, "mac"> {
    return {
      header: answerMac(this.#secret, mac, answer, digest),
      vouch: vouchMac(this.#secret, mac, "answer", answer),
    };
  }
}

function requestMac(
  secret: string,
  of: SignedRequest,
  timeMs: string,
  nonce: string,
  digest: string,
): string {
  const { method, path, protocol, understands, from, to, ring, layout, trace, owed } = of;
  const parts = ["request", method, path, protocol, from, to, ring, layout, trace, owed];
  if (protocol !== "1") parts.push(understands);
  return createHmac("sha256", secret).update([...parts, timeMs, nonce, digest].join("\n")).digest("hex");
}

function answerMac(secret: string, mac: string, answer: SignedAnswer, digest: string): string {
  const { status, protocol, understands, from, ring } = answer;
  const parts = ["answer", mac, status, from, ring];
  if (protocol !== "1") parts.push(protocol, understands);
  return createHmac("sha256", secret).update([...parts, digest].join("\n")).digest("hex");
}

/**
 * The signatures of version 1 know nothing of what their sender understands, and a node of version 1 would not take
 * others: so there that has a signature beside, which ties it to the message's own.
 */
function vouchMac(
  secret: string,
  mac: string,
  kind: "request" | "answer",
  { protocol, understands }: Pick<SignedRequest, "protocol" | "understands">,
): string | undefined {
  if (protocol !== "1" || understands === "-") return undefined;
  return createHmac("sha256", secret).update(["understands", kind, mac, understands].join("\n")).digest(
    "hex",
  );
}

/** In time that does not tell how much of it was right. */
function sameText(given: string, wanted: string): boolean {
  const a = Buffer.from(given);
  const b = Buffer.from(wanted);
  return a.length === b.length && timingSafeEqual(a, b);
}

function refused(wantedAndGot: string): AtollError {
  return new AtollError("peer-refused", `wanted ${wantedAndGot}`);
}
