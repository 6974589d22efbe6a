/**
 * One HTTP/2 connection to a peer: how much may be under way on it, what waits, and when to give it up.
 *
 * A peer has several lanes: messages of a few hundred bytes must not queue behind megabytes of chunks, neither in the
 * socket's buffers nor, after a lost packet, in TCP.
 */
import type { LookupFunction } from "node:net";
import { buildConnector, errors, H2CClient } from "undici";
import type { Clock } from "../ports.ts";
import type { CertificateFiles } from "./certificate-files.ts";
import { keepGoawayFrom } from "./goaway-filter.ts";
import { Exchange, type ExchangeAnswer, type ExchangeRequest } from "./peer-exchange.ts";
import { tlsConnector } from "./peer-tls.ts";

/** Establishing a connection is given up after this; a call's own deadline may be shorter. */
const CONNECT_TIMEOUT_MS = 2_000;
/** A call that has not even been sent by then waits for a connection that nothing will come of. */
const STUCK_MS = 3 * CONNECT_TIMEOUT_MS;
/** Idle connections are kept: between nodes there is always a next call. */
const IDLE_TIMEOUT_MS = 10 * 60_000;
/** The whole of a chunk fits, so a stream never waits for its window. */
export const STREAM_WINDOW_BYTES = 2 << 20;
/** Of one connection, all of its streams together. */
export const SESSION_WINDOW_BYTES = 32 << 20;
/**
 * Bodies under way at a time. Node resets streams of a session that holds more than 10 MB (`maxSessionMemory`, which
 * undici does not let us choose), and whoever sent them could not tell what became of them.
 */
const BODY_BYTES_MAX = 8 << 20;

/**
 * How to leave a connection whose socket takes nothing more. Node (26) can go into an endless loop over a stream that was
 * reset half sent, so there the streams are left alone, and the connection is destroyed once their calls are over. Deno
 * (2.9) dies of a failed assertion in nghttp2 when such a connection is destroyed, so there they are reset and it closes.
 */
const RESETS_RETIRED = "Deno" in globalThis;

export interface LaneOptions {
  readonly url: string;
  readonly clock: Clock;
  /** Requests under way at a time; more wait in order. */
  readonly streamsMax: number;
  /** How a name becomes addresses; undefined: the system's way. */
  readonly lookup?: LookupFunction | undefined;
  /** With them TLS is spoken, and the peer must have one of the same authority. */
  readonly certificates?: CertificateFiles | undefined;
}

/** A request on its way. */
export interface Sending {
  /** Rejects with an AtollError. */
  readonly answer: Promise<ExchangeAnswer>;
  /** Whether it may have been carried out. */
  readonly sent: () => boolean;
  /** Nobody waits any longer: the stream is reset. */
  readonly cancel: () => void;
  /** Somebody's deadline has passed. */
  readonly late: () => void;
}

interface Waiting {
  readonly bodyBytes: number;
  readonly start: () => void;
}

export class PeerLane {
  readonly #options: LaneOptions;
  #client: H2CClient;
  /** Silent ones, until the last of their calls has ended. */
  readonly #retired = new Set<H2CClient>();
  readonly #underWay = new Map<H2CClient, number>();
  /** In the order in which they came. */
  readonly #waiting = new Set<Waiting>();
  #streams = 0;
  #bodyBytes = 0;
  #heardMs = -Infinity;
  /** Of the first call since then that was given up before it was sent; undefined: the last one went somewhere. */
  #stuckSinceMs: number | undefined;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.#client = openClient(options);
  }

  /** `makeRequest` is called when its turn has come. */
  send(bodyBytes: number, makeRequest: () => ExchangeRequest): Sending {
    let exchange: Exchange | undefined;
    let late = () => {};
    let cancel = () => {};
    const answer = new Promise<ExchangeAnswer>((resolve, reject) => {
      const waiting: Waiting = {
        bodyBytes,
        start: () => {
          const client = this.#client;
          const startedMs = this.#options.clock.monotonicMs();
          exchange = new Exchange(client, this.#options.url, makeRequest());
          let isGivenUp = false;
          cancel = () => {
            isGivenUp = true;
            exchange?.cancel(RESETS_RETIRED || !this.#retired.has(client));
          };
          late = () => {
            const isDead = exchange?.sent ? this.#heardMs < startedMs : this.#isStuck(startedMs);
            if (isDead) this.#retire(client);
          };
          exchange.answer.then(resolve, reject);
          const ended = (wasHeard: boolean) => {
            if (!isGivenUp) this.#stuckSinceMs = undefined;
            this.#ended(bodyBytes, wasHeard);
            this.#left(client);
          };
          this.#underWay.set(client, (this.#underWay.get(client) ?? 0) + 1);
          exchange.answer.then(() => ended(true), () => ended(false));
        },
      };
      cancel = () => {
        this.#waiting.delete(waiting);
        reject(new Error("given up")); // whoever gives up has an error of its own to tell
      };
      this.#waiting.add(waiting);
      this.#startWaiting();
    });
    return { answer, sent: () => exchange?.sent ?? false, cancel: () => cancel(), late: () => late() };
  }

  #startWaiting(): void {
    for (const next of this.#waiting) {
      const fits = this.#streams === 0 || this.#bodyBytes + next.bodyBytes <= BODY_BYTES_MAX;
      if (this.#streams >= this.#options.streamsMax || !fits) return;
      this.#waiting.delete(next);
      this.#streams++;
      this.#bodyBytes += next.bodyBytes;
      next.start();
    }
  }

  #ended(bodyBytes: number, wasHeard: boolean): void {
    if (wasHeard) this.#heardMs = this.#options.clock.monotonicMs();
    this.#streams--;
    this.#bodyBytes -= bodyBytes;
    // One that was given up may be the first of many whose time has come in this very turn: none of them is sent now.
    if (wasHeard) this.#startWaiting();
    else setImmediate(() => this.#startWaiting());
  }

  #isStuck(startedMs: number): boolean {
    this.#stuckSinceMs ??= startedMs;
    return this.#options.clock.monotonicMs() - this.#stuckSinceMs > STUCK_MS;
  }

  /**
   * A connection that was silent for the whole of a call's time is not trusted with the next: it may have died without
   * a word (a machine that is gone, a forgotten NAT entry), and TCP would take minutes to notice.
   */
  #retire(client: H2CClient): void {
    if (client !== this.#client) return;
    this.#client = openClient(this.#options);
    this.#stuckSinceMs = undefined;
    // Its other calls may still be answered, or run into their own deadlines.
    this.#retired.add(client);
    if (!RESETS_RETIRED) return; // it is destroyed with the last of them
    const gone = () => void this.#retired.delete(client);
    client.close().then(gone, gone);
  }

  #left(client: H2CClient): void {
    const left = this.#underWay.get(client)! - 1;
    if (left > 0) this.#underWay.set(client, left);
    else this.#underWay.delete(client);
    if (RESETS_RETIRED || left > 0 || !this.#retired.delete(client)) return;
    void client.destroy(new errors.SocketError("the connection was silent for the whole of a call's time"));
  }

  /** Calls that are under way fail, and so does what waits. */
  async close(): Promise<void> {
    // A socket's error, as the runtime's own are: on Deno it may come up where nobody listens any more, see main.ts.
    const closing = new errors.SocketError("this node closes its connections");
    await Promise.all([this.#client, ...this.#retired].map((client) => client.destroy(closing)));
  }
}

function openClient({ url, streamsMax, lookup, certificates }: LaneOptions): H2CClient {
  const connect = certificates
    ? tlsConnector(certificates, CONNECT_TIMEOUT_MS, lookup)
    : plainConnector(CONNECT_TIMEOUT_MS, lookup);
  const options: H2CClient.Options & {
    initialWindowSize: number;
    connectionWindowSize: number;
    pingInterval: number;
    connect: buildConnector.connector;
  } = {
    maxConcurrentStreams: streamsMax,
    pipelining: streamsMax,
    connect: (to, callback) =>
      connect(to, (...[error, socket]) => {
        if (error) return callback(error, null);
        keepGoawayFrom(socket, "client");
        callback(null, socket);
      }),
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

function plainConnector(timeoutMs: number, lookup: LookupFunction | undefined): buildConnector.connector {
  // That HTTP/2 is spoken without TLS is missing in its types.
  const options = { timeout: timeoutMs, useH2c: true, ...(lookup && { lookup }) };
  return buildConnector(options);
}
