/**
 * One HTTP/2 connection to a peer, and when to give it up. A peer has two: messages of a few hundred bytes must not
 * queue behind megabytes of chunks, neither in the socket's buffers nor, after a lost packet, in TCP.
 */
import { H2CClient } from "undici";
import type { Clock } from "../ports.ts";
import type { PeerSigner } from "../http/peer-auth.ts";
import { Exchange, type ExchangeRequest } from "./peer-exchange.ts";

/** Establishing a connection is given up after this; a call's own deadline may be shorter. */
const CONNECT_TIMEOUT_MS = 2_000;
/** Idle connections are kept: between nodes there is always a next call. */
const IDLE_TIMEOUT_MS = 10 * 60_000;
/** The whole of a chunk fits, so a stream never waits for its window. */
export const STREAM_WINDOW_BYTES = 2 << 20;
/** Bytes that may be on the way in one connection: bandwidth times round trip, 1 Gbit/s over 250 ms. */
export const SESSION_WINDOW_BYTES = 32 << 20;

export interface LaneOptions {
  readonly url: string;
  readonly clock: Clock;
  readonly signer: PeerSigner | undefined;
  /** Requests under way at a time; more wait in order. */
  readonly streamsMax: number;
}

export class PeerLane {
  readonly signer: PeerSigner | undefined;
  readonly #options: LaneOptions;
  #client: H2CClient;
  readonly #retired = new Set<H2CClient>();
  #heardMs = -Infinity;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.signer = options.signer;
    this.#client = openClient(options);
  }

  send(request: ExchangeRequest): Exchange {
    const exchange = new Exchange(this.#client, this.#options.url, request);
    const heard = () => {
      this.#heardMs = this.#options.clock.monotonicMs();
    };
    exchange.answer.then(heard, () => undefined);
    return exchange;
  }

  /**
   * A connection that was silent for the whole of a call's time is not trusted with the next: it may have died without
   * a word (a machine that is gone, a forgotten NAT entry), and TCP would take minutes to notice.
   */
  missedDeadline(client: H2CClient, sentMs: number): void {
    if (client !== this.#client || this.#heardMs >= sentMs) return;
    this.#client = openClient(this.#options);
    this.#retired.add(client);
    // Its other calls may still be answered, or run into their own deadlines.
    client.close().then(() => this.#retired.delete(client), () => this.#retired.delete(client));
  }

  get client(): H2CClient {
    return this.#client;
  }

  async close(): Promise<void> {
    const closing = new Error("this node is closing its connections");
    await Promise.all([this.#client, ...this.#retired].map((client) => client.destroy(closing)));
  }
}

function openClient({ url, streamsMax }: LaneOptions): H2CClient {
  const options: H2CClient.Options & { initialWindowSize: number; connectionWindowSize: number; pingInterval: number } = {
    maxConcurrentStreams: streamsMax,
    pipelining: streamsMax,
    connectTimeout: CONNECT_TIMEOUT_MS,
    keepAliveTimeout: IDLE_TIMEOUT_MS,
    headersTimeout: 0,
    bodyTimeout: 0,
    initialWindowSize: STREAM_WINDOW_BYTES,
    connectionWindowSize: SESSION_WINDOW_BYTES,
    // undici's pings report a failure to nobody; deadlines are what finds a dead connection.
    pingInterval: 0,
  };
  return new H2CClient(url, options);
}
