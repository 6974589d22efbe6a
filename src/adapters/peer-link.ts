/** Everything that goes to one peer: messages in batches, chunks and scans, each kind on a connection of its own. */
import { Buffer } from "node:buffer";
import type { LookupFunction } from "node:net";
import { CHUNK_BYTES } from "../core/manifest.ts";
import { assert, AtollError } from "../errors.ts";
import { AUTH_HEADER, bodyDigest, NO_DIGEST, PeerSigner, VOUCH_HEADER } from "../http/peer-auth.ts";
import { ANSWER_BYTES_MAX, type CallReply } from "../http/peer-codec.ts";
import { CALL_PATH, CHUNK_PATH, type OwedTo, type PeerSelf, requestHeaders } from "../http/peer-headers.ts";
import { commonProtocol, type Dialect, dialectOf, type Protocols } from "../http/peer-protocol.ts";
import { storedSchema, storedSchemaAhead } from "../http/peer-schemas.ts";
import type { Clock, PeerReply, PeerRequest, Random } from "../ports.ts";
import type { CertificateFiles } from "./certificate-files.ts";
import { type AskAgain, checkAnswer, type Checked, type Expected, parseJson } from "./peer-answer.ts";
import { type BatchSending, PeerBatcher } from "./peer-batch.ts";
import { callReplies, callsBody, encodeCall, type EncodedCall } from "./peer-calls.ts";
import { PeerLane, type Sending } from "./peer-lane.ts";

/** Requests under way at a time on each connection; what is beyond waits its turn. */
const CALL_STREAMS_MAX = 100;
/** Of up to 1 MiB each, in memory at both ends. */
const CHUNK_STREAMS_MAX = 32;
/** What answers a chunk that was stored. */
const STORED_BYTES_MAX = 64 << 10;

export interface PeerLinkDeps {
  readonly self: () => PeerSelf;
  /** What this node understands. */
  readonly protocols: Protocols;
  readonly secret: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly lookup?: LookupFunction | undefined;
  readonly certificates?: CertificateFiles | undefined;
  readonly onRoundTrip: (url: string, seconds: number, ok: boolean) => void;
}

export interface LinkOptions {
  readonly expect?: string | undefined;
  readonly trace?: string | undefined;
  readonly layout?: number | undefined;
  readonly onProgress?: (() => void) | undefined;
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
type GetRequest = Extract<PeerRequest, { type: "chunk-get" }>;

interface Outgoing extends LinkOptions {
  readonly method: "GET" | "PUT" | "POST";
  readonly path: string;
  /** In that version. */
  readonly body?: ((version: number) => Buffer) | undefined;
  readonly owed?: OwedTo | undefined;
  readonly forRegion?: GetRequest["forRegion"];
  readonly answerBytesMax: number;
}

/** One request, and what was in its answer. */
interface Sent extends Omit<Sending, "answer"> {
  readonly answer: Promise<Checked | AskAgain>;
}

/** What came in the end; undefined: a 404. */
interface Received {
  readonly body: Uint8Array | undefined;
  readonly dialect: Dialect;
}

/** Their answers are long, or long in coming: they must not delay the others of a batch. */
const ALONE: ReadonlySet<PeerRequest["type"]> = new Set(["scan", "slot-entries", "slot-states", "purge"]);

export class PeerLink {
  readonly #url: string;
  readonly #deps: PeerLinkDeps;
  readonly #calls: Lane;
  /** Of this node's asking: what a reader waits for does not queue behind what is being stored. */
  readonly #reads: Lane;
  readonly #writes: Lane;
  readonly #batcher: PeerBatcher;
  /** What the peer understands, as it last said; undefined: it has not been heard yet. */
  #theirs: Protocols | undefined;
  #underWay = 0;

  constructor(url: string, deps: PeerLinkDeps) {
    this.#url = url;
    this.#deps = deps;
    const { clock, lookup, certificates, secret } = deps;
    const open = (streamsMax: number): Lane => ({
      lane: new PeerLane({ url, clock, streamsMax, lookup, certificates }),
      signer: secret === undefined ? undefined : new PeerSigner({ ...deps, secret }),
    });
    this.#calls = open(CALL_STREAMS_MAX);
    this.#reads = open(CHUNK_STREAMS_MAX);
    this.#writes = open(CHUNK_STREAMS_MAX);
    this.#batcher = new PeerBatcher({
      encode: (message) => encodeCall(message, this.#version),
      send: (calls, expect) => this.#sendCalls(this.#calls, calls, expect),
    });
  }

  get #version(): number {
    const { protocols } = this.#deps;
    return (this.#theirs && commonProtocol(protocols, this.#theirs)) ?? protocols.min;
  }

  get isIdle(): boolean {
    return this.#underWay === 0;
  }

  call(request: PeerRequest, options: LinkOptions): LinkCall {
    if (request.type === "chunk-put") return this.#putChunk(request, options);
    if (request.type === "chunk-get") return this.#getChunk(request, options);
    const message = { request, trace: options.trace, layout: options.layout };
    if (!ALONE.has(request.type)) return this.#batcher.add(message, options.expect);
    const call = encodeCall(message, this.#version);
    const { replies, ...sending } = this.#sendCalls(this.#reads, [call], options.expect);
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

  #sendCalls(lane: Lane, calls: readonly EncodedCall[], expect: string | undefined): BatchSending {
    const { answer, ...sending } = this.#send(lane, {
      method: "POST",
      path: CALL_PATH,
      body: (version) => callsBody(calls, version),
      expect,
      answerBytesMax: ANSWER_BYTES_MAX,
    });
    return {
      ...sending,
      replies: answer.then(({ body, dialect }): (CallReply | AtollError)[] => {
        if (!body) throw new AtollError("peer-garbage", `wanted replies from ${this.#url}, got status 404`);
        return callReplies(body, calls, dialect);
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
      body: () => body,
      owed,
      answerBytesMax: STORED_BYTES_MAX,
    });
    return {
      ...sending,
      reply: answer.then(({ body: found, dialect }) => {
        const schema = dialect.isAhead ? storedSchemaAhead : storedSchema;
        const parsed = schema.safeParse(found && parseJson(found));
        if (parsed.success) return parsed.data;
        throw new AtollError("peer-garbage", `wanted what ${this.#url} stored, got something else`);
      }),
    };
  }

  #getChunk({ id, forRegion }: GetRequest, options: LinkOptions): LinkCall {
    const { answer, ...sending } = this.#send(this.#reads, {
      ...options,
      method: "GET",
      path: CHUNK_PATH + id,
      forRegion,
      answerBytesMax: CHUNK_BYTES,
    });
    return { ...sending, reply: answer.then(({ body: bytes }) => ({ type: "chunk-get", bytes })) };
  }

  /** In the version that is known to be understood; where the peer refuses that one, once more in one that it named. */
  #send(lane: Lane, outgoing: Outgoing): Omit<Sending, "answer"> & { answer: Promise<Received> } {
    const { protocols } = this.#deps;
    const first = this.#version;
    let current = this.#sendIn(first, lane, outgoing);
    let isGivenUp = false;
    const received = (version: number, answer: Checked | AskAgain): Received => {
      if ("askAgainIn" in answer) {
        throw new AtollError(
          "wrong-protocol",
          `wanted one version from ${this.#url}, it refused ${version}, too`,
        );
      }
      this.#theirs = answer.theirs;
      return { body: answer.body, dialect: dialectOf(version, protocols, answer.theirs) };
    };
    const answer = current.answer.then(async (found) => {
      if (!("askAgainIn" in found)) return received(first, found);
      if (isGivenUp) throw new AtollError("peer-unreachable", "given up"); // whoever gives up has an error of its own
      current = this.#sendIn(found.askAgainIn, lane, outgoing);
      return received(found.askAgainIn, await current.answer);
    });
    return {
      answer,
      sent: () => current.sent(),
      late: () => current.late(),
      cancel: () => {
        isGivenUp = true;
        current.cancel();
      },
    };
  }

  #sendIn(version: number, lane: Lane, { method, path, body: bodyIn, ...options }: Outgoing): Sent {
    const { self, protocols, clock, onRoundTrip } = this.#deps;
    const { expect, answerBytesMax, onProgress, ...said } = options;
    const { signer } = lane;
    const body = bodyIn?.(version);
    let ringId: string | undefined;
    let signed: Expected["signed"];
    let startedMs = 0;
    // Made when its turn has come: a signature speaks of a time and, by its nonce, of an order.
    const sending = lane.lane.send(body?.length ?? 0, () => {
      const me = self();
      ringId = me.ringId;
      startedMs = clock.monotonicMs();
      const request = requestHeaders(me, { ...said, method, path, expect, version, protocols });
      if (signer) {
        const isChunk = path !== CALL_PATH;
        const digest = isChunk || !body ? NO_DIGEST : bodyDigest(body);
        const { header, vouch, mac } = signer.sign(request.signed, digest);
        request.headers[AUTH_HEADER] = header;
        if (vouch !== undefined) request.headers[VOUCH_HEADER] = vouch;
        signed = { signer, mac };
      }
      return { method, path, headers: request.headers, body, answerBytesMax, onProgress };
    });
    let isGivenUp = false;
    const tellTrip = (ok: boolean) => {
      if (!isGivenUp && startedMs > 0) onRoundTrip(this.#url, (clock.monotonicMs() - startedMs) / 1000, ok);
    };
    this.#underWay++;
    const answer = sending.answer.finally(() => this.#underWay--).then((found) => {
      tellTrip(true);
      const byPath = method === "GET";
      return checkAnswer(found, { url: this.#url, mine: protocols, version, expect, ringId, signed, byPath });
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
