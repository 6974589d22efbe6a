/** Everything that goes to one peer: messages in batches, chunks and scans, each kind on a connection of its own. */
import { Buffer } from "node:buffer";
import type { LookupFunction } from "node:net";
import { CHUNK_BYTES } from "../core/manifest.ts";
import { assert, AtollError } from "../errors.ts";
import { AUTH_HEADER, bodyDigest, NO_DIGEST, PeerSigner } from "../http/peer-auth.ts";
import {
  ANSWER_BYTES_MAX,
  type CallReply,
  decodeReplies,
  encodeRequest,
  type Frame,
  joinFrames,
} from "../http/peer-codec.ts";
import { CALL_PATH, CHUNK_PATH, type OwedTo, type PeerSelf, requestHeaders } from "../http/peer-headers.ts";
import { storedSchema } from "../http/peer-schemas.ts";
import type { Clock, PeerReply, PeerRequest, Random } from "../ports.ts";
import { checkAnswer, type Expected, parseJson } from "./peer-answer.ts";
import { type BatchSending, PeerBatcher } from "./peer-batch.ts";
import { PeerLane, type Sending } from "./peer-lane.ts";

/** Requests under way at a time on each connection; what is beyond waits its turn. */
const CALL_STREAMS_MAX = 100;
/** Of up to 1 MiB each, in memory at both ends. */
const CHUNK_STREAMS_MAX = 32;
/** What answers a chunk that was stored. */
const STORED_BYTES_MAX = 64 << 10;

export interface PeerLinkDeps {
  readonly self: () => PeerSelf;
  readonly secret: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly lookup?: LookupFunction | undefined;
  readonly onRoundTrip: (url: string, seconds: number, ok: boolean) => void;
}

export interface LinkOptions {
  readonly expect?: string | undefined;
  readonly trace?: string | undefined;
  readonly layout?: number | undefined;
}

/** Nonces are expected to rise, so each connection has its own. */
interface Lane {
  readonly lane: PeerLane;
  readonly signer: PeerSigner | undefined;
}

/** A call on its way. */
export interface LinkCall extends Omit<Sending, "answer"> {
  readonly reply: Promise<PeerReply>;
}

type PutRequest = Extract<PeerRequest, { type: "chunk-put" }>;

interface Outgoing extends LinkOptions {
  readonly method: "GET" | "PUT" | "POST";
  readonly path: string;
  readonly body?: Buffer | undefined;
  readonly owed?: OwedTo | undefined;
  readonly answerBytesMax: number;
}

/** Their answers are long, or long in coming: they must not delay the others of a batch. */
const ALONE: ReadonlySet<PeerRequest["type"]> = new Set(["scan", "slot-entries", "slot-states"]);

export class PeerLink {
  readonly #url: string;
  readonly #deps: PeerLinkDeps;
  readonly #calls: Lane;
  /** Of this node's asking: what a reader waits for does not queue behind what is being stored. */
  readonly #reads: Lane;
  readonly #writes: Lane;
  readonly #batcher: PeerBatcher;
  #underWay = 0;

  constructor(url: string, deps: PeerLinkDeps) {
    this.#url = url;
    this.#deps = deps;
    const { clock, lookup, secret } = deps;
    const open = (streamsMax: number): Lane => ({
      lane: new PeerLane({ url, clock, streamsMax, lookup }),
      signer: secret === undefined ? undefined : new PeerSigner({ ...deps, secret }),
    });
    this.#calls = open(CALL_STREAMS_MAX);
    this.#reads = open(CHUNK_STREAMS_MAX);
    this.#writes = open(CHUNK_STREAMS_MAX);
    this.#batcher = new PeerBatcher((frames, expect) => this.#sendFrames(this.#calls, frames, expect));
  }

  get isIdle(): boolean {
    return this.#underWay === 0;
  }

  call(request: PeerRequest, options: LinkOptions): LinkCall {
    if (request.type === "chunk-put") return this.#putChunk(request, options);
    if (request.type === "chunk-get") return this.#getChunk(request.id, options);
    const message = { request, trace: options.trace, layout: options.layout };
    if (!ALONE.has(request.type)) return this.#batcher.add(message, options.expect);
    const { replies, ...sending } = this.#sendFrames(this.#reads, [encodeRequest(message)], options.expect);
    return {
      ...sending,
      reply: replies.then(([reply]) => {
        if (reply instanceof AtollError) throw reply;
        assert(reply, "one message has one reply");
        return reply;
      }),
    };
  }

  async close(): Promise<void> {
    await Promise.all([this.#calls, this.#reads, this.#writes].map(({ lane }) => lane.close()));
  }

  #sendFrames(lane: Lane, frames: readonly Frame[], expect: string | undefined): BatchSending {
    const body = joinFrames(frames);
    const { answer, ...sending } = this.#send(lane, {
      method: "POST",
      path: CALL_PATH,
      body,
      expect,
      answerBytesMax: ANSWER_BYTES_MAX,
    });
    return {
      ...sending,
      replies: answer.then((bytes): (CallReply | AtollError)[] => {
        if (!bytes) throw new AtollError("peer-garbage", `wanted replies from ${this.#url}, got status 404`);
        return decodeReplies(bytes, frames.length);
      }),
    };
  }

  #putChunk({ id, bytes, owed }: PutRequest, options: LinkOptions): LinkCall {
    if (bytes.length > CHUNK_BYTES) {
      throw new AtollError(
        "too-large",
        `wanted a chunk of at most ${CHUNK_BYTES} bytes, got ${bytes.length}`,
      );
    }
    // A view, not a copy: the caller keeps its promise not to change the bytes.
    const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const path = CHUNK_PATH + id;
    const { answer, ...sending } = this.#send(this.#writes, {
      ...options,
      method: "PUT",
      path,
      body,
      owed,
      answerBytesMax: STORED_BYTES_MAX,
    });
    return {
      ...sending,
      reply: answer.then((found) => {
        const parsed = storedSchema.safeParse(found && parseJson(found));
        if (parsed.success) return parsed.data;
        throw new AtollError("peer-garbage", `wanted what ${this.#url} stored, got something else`);
      }),
    };
  }

  #getChunk(id: string, options: LinkOptions): LinkCall {
    const { answer, ...sending } = this.#send(this.#reads, {
      ...options,
      method: "GET",
      path: CHUNK_PATH + id,
      answerBytesMax: CHUNK_BYTES,
    });
    return { ...sending, reply: answer.then((bytes) => ({ type: "chunk-get", bytes })) };
  }

  #send(lane: Lane, { method, path, body, answerBytesMax, expect, trace, owed }: Outgoing) {
    const { self, clock, onRoundTrip } = this.#deps;
    const { signer } = lane;
    let ringId: string | undefined;
    let signed: Expected["signed"];
    let startedMs = 0;
    // Made when its turn has come: a signature speaks of a time and, by its nonce, of an order.
    const sending = lane.lane.send(body?.length ?? 0, () => {
      const me = self();
      ringId = me.ringId;
      startedMs = clock.monotonicMs();
      const request = requestHeaders(me, { method, path, expect, trace, owed });
      if (signer) {
        const isChunk = path !== CALL_PATH;
        const { header, mac } = signer.sign(request.signed, isChunk || !body ? NO_DIGEST : bodyDigest(body));
        request.headers[AUTH_HEADER] = header;
        signed = { signer, mac };
      }
      return { method, path, headers: request.headers, body, answerBytesMax };
    });
    let isGivenUp = false;
    const tellTrip = (ok: boolean) => {
      if (!isGivenUp && startedMs > 0) onRoundTrip(this.#url, (clock.monotonicMs() - startedMs) / 1000, ok);
    };
    this.#underWay++;
    const answer = sending.answer.finally(() => this.#underWay--).then((found) => {
      tellTrip(true);
      return checkAnswer(found, { url: this.#url, expect, ringId, signed, byPath: method === "GET" });
    }, (error: unknown) => {
      tellTrip(false);
      throw error;
    });
    const cancel = () => {
      isGivenUp = true;
      sending.cancel();
    };
    return { answer, sent: sending.sent, late: sending.late, cancel };
  }
}
