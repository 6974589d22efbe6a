/**
 * An in-process network of nodes by URL, with the contract of the real one (test/conformance/peers.ts holds both to it)
 * and switches for what networks do. Messages pass through the codec, so nobody shares memory with anybody.
 */
import { CHUNK_BYTES } from "../../src/core/manifest.ts";
import { assert, AtollError } from "../../src/errors.ts";
import {
  decodeReplies,
  decodeRequests,
  encodeReply,
  encodeRequest,
  errorReply,
  joinFrames,
  replyError,
} from "../../src/http/peer-codec.ts";
import type { PeerSelf } from "../../src/http/peer-headers.ts";
import type {
  CallOptions,
  Clock,
  PeerHandler,
  PeerReply,
  PeerRequest,
  Peers,
  ReplyTo,
} from "../../src/ports.ts";

export interface MemoryPeer {
  readonly self: () => PeerSelf;
  readonly handler: PeerHandler;
}

/** The way from one node to another; all switches off at first. */
export interface MemoryWay {
  /** Nothing gets through, and the caller is told so. */
  isCut: boolean;
  /** Requests get lost without a word. */
  hangs: boolean;
  /** Requests arrive, their replies do not. */
  dropsReplies: boolean;
  /** Requests arrive twice; the first reply counts. */
  duplicates: boolean;
  /** Ms, in each direction. */
  delayMs: number;
}

const WITHOUT_RING: readonly PeerRequest["type"][] = [
  "ping",
  "probe",
  "members",
  "layout",
  "decree-prepare",
  "decree-accept",
];

export class MemoryNetwork {
  readonly #clock: Clock;
  readonly #peers = new Map<string, MemoryPeer>();
  readonly #ways = new Map<string, MemoryWay>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  join(url: string, peer: MemoryPeer): void {
    this.#peers.set(url, peer);
  }

  leave(url: string): void {
    this.#peers.delete(url);
  }

  /** `from`: a node's ID. */
  way(from: string, toUrl: string): MemoryWay {
    const id = `${from} ${toUrl}`;
    let way = this.#ways.get(id);
    if (!way) {
      way = { isCut: false, hangs: false, dropsReplies: false, duplicates: false, delayMs: 0 };
      this.#ways.set(id, way);
    }
    return way;
  }

  /** What a node calls the others by. */
  peersOf(self: () => PeerSelf): Peers {
    const call = <R extends PeerRequest>(url: string, request: R, options: CallOptions) =>
      this.#call(self(), url, request, options) as Promise<ReplyTo<R>>;
    return { call };
  }

  #call(self: PeerSelf, url: string, request: PeerRequest, options: CallOptions): Promise<PeerReply> {
    return new Promise((resolve, reject) => {
      options.signal?.throwIfAborted();
      const message = copyRequest(request, options);
      const settle = () => {
        stop();
        options.signal?.removeEventListener("abort", abort);
      };
      const abort = () => {
        settle();
        reject(options.signal?.reason as Error);
      };
      const stop = this.#clock.after(options.timeoutMs, () => {
        settle();
        reject(
          new AtollError(
            "peer-timeout",
            `wanted an answer from ${url} within ${options.timeoutMs} ms, got none`,
          ),
        );
      });
      options.signal?.addEventListener("abort", abort);
      this.#deliver(self, url, message, options).then((reply) => {
        settle();
        if (reply.type === "chunk-get") options.onProgress?.();
        if (reply.type === "error") reject(replyError(url, reply));
        else resolve(reply);
      }, (error: unknown) => {
        settle();
        reject(error);
      });
    });
  }

  async #deliver(
    self: PeerSelf,
    url: string,
    { request, trace, layout }: Copied,
    { expect }: CallOptions,
  ): Promise<PeerReply> {
    const way = this.way(self.nodeId, url);
    await this.#pass(way);
    const peer = this.#peers.get(url);
    if (!peer || way.isCut) {
      throw new AtollError("peer-unreachable", `wanted a connection to ${url}, got none`);
    }
    if (way.hangs) await never();
    if (way.duplicates) void answer(peer, self, { request, trace, layout }, expect).catch(() => undefined);
    const reply = copyReply(await answer(peer, self, { request, trace, layout }, expect));
    if (way.dropsReplies || way.isCut) await never();
    await this.#pass(way);
    return reply;
  }

  /** Never within the same turn, as no network is. */
  #pass({ delayMs }: MemoryWay): Promise<void> {
    return delayMs === 0 ? Promise.resolve() : new Promise((resolve) => this.#clock.after(delayMs, resolve));
  }
}

interface Copied {
  readonly request: PeerRequest;
  readonly trace?: string | undefined;
  readonly layout?: number | undefined;
}

async function answer(
  peer: MemoryPeer,
  caller: PeerSelf,
  { request, trace, layout }: Copied,
  expect: string | undefined,
): Promise<PeerReply> {
  const { nodeId, ringId } = peer.self();
  if (expect !== undefined && expect !== nodeId) {
    throw new AtollError("wrong-node", `wanted ${expect}, got ${nodeId}`);
  }
  const both = ringId !== undefined && caller.ringId !== undefined;
  if (both ? ringId !== caller.ringId : !WITHOUT_RING.includes(request.type)) {
    throw new AtollError("wrong-ring", `wanted ring ${ringId}, got ring ${caller.ringId}`);
  }
  try {
    const reply = await peer.handler({ node: caller.nodeId, trace, layout }, request);
    const wanted = request.type === "ping" ? "pong" : request.type;
    if (reply.type === wanted || reply.type === "error") return reply;
    throw new Error(`${wanted} was answered with ${reply.type}`);
  } catch (error) {
    if (error instanceof AtollError) return errorReply(error);
    return { type: "error", code: "internal", message: "see that node's log" };
  }
}

function copyRequest(request: PeerRequest, { trace, layout }: CallOptions): Copied {
  if (request.type === "chunk-get") return { request: { ...request }, trace };
  if (request.type === "chunk-put") {
    const { bytes } = request;
    if (bytes.length > CHUNK_BYTES) {
      throw new AtollError("too-large", `wanted a chunk, got ${bytes.length} bytes`);
    }
    return { request: { ...request, bytes: bytes.slice() }, trace };
  }
  const [message] = decodeRequests(joinFrames([encodeRequest({ request, trace, layout })]));
  if (message instanceof AtollError) throw message;
  assert(message, "one message goes in");
  return message;
}

function copyReply(reply: PeerReply): PeerReply {
  if (reply.type === "chunk-put") return { ...reply };
  if (reply.type === "chunk-get") return { ...reply, bytes: reply.bytes?.slice() };
  const [copy] = decodeReplies(joinFrames([encodeReply(reply)]), 1);
  if (copy instanceof AtollError) throw copy;
  assert(copy, "one reply goes in");
  return copy;
}

function never(): Promise<never> {
  return new Promise(() => {});
}
