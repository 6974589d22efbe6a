/**
 * The public listener: HTTP/1.1 by node:http on both runtimes. Deno's own server ends the body of a request that was cut
 * off without an error in some cases; node:http, on Deno too, reports every one, and an upload must never be stored short.
 */
import { getRequestListener, RequestError } from "@hono/node-server";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { messageOf } from "../errors.ts";
import { ConnectionGuard, type ConnectionLimit, type ConnectionLimits } from "./connection-guard.ts";
import type { CertificateFiles } from "./certificate-files.ts";
import { HeldRequests } from "./held-requests.ts";
import { listen } from "./listener-port.ts";
import {
  newRequestId,
  type Refusal,
  refusalBody,
  refusalHeaders,
  refusalOf,
  refuseSocket,
  turnAway,
} from "./listener-refusal.ts";
import { headProblem, isUsualRead, valueOf } from "./request-head.ts";
import { StreamGuard } from "./stream-guard.ts";
import { openTlsFront, type TlsFront } from "./tls-front.ts";

export interface HttpEnv {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  /** To be called before the body is read: sends `100 Continue`, once, to a client that waits for it (RFC 9110 10.1.1). */
  readonly continueBody: () => void;
}

export interface HttpLimits extends ConnectionLimits {
  /** Request line and headers, bytes. */
  readonly maxHeaderBytes: number;
  readonly headersTimeoutMs: number;
  /** Of TLS. */
  readonly handshakeTimeoutMs: number;
  /** Without a byte in either direction; uploads as a whole may take hours. */
  readonly idleTimeoutMs: number;
  /** Between two requests. */
  readonly keepAliveTimeoutMs: number;
}

const LIMITS: HttpLimits = {
  maxHeaderBytes: 32 << 10,
  headersTimeoutMs: 60_000,
  handshakeTimeoutMs: 10_000,
  idleTimeoutMs: 120_000,
  keepAliveTimeoutMs: 75_000,
  maxConnections: 16_384,
  maxConnectionsPerClient: Infinity,
  minBytesPerSecond: 4 << 10,
  minRateGraceMs: 30_000,
};

const INTERNAL: Refusal = { status: 500, code: "internal", detail: "see the node's log for this request" };
const nobodyWaits = (): void => {};

/** Turned away or cut for a limit, by its name in the metrics. */
export type ListenerLimit = ConnectionLimit | "header-bytes" | "header-count" | "header-time" | "idle";

/** Asked before anything is made of a request: one too many gets 503 at as little cost as can be. */
export interface Overload {
  isFull(method: string, target: string): boolean;
  /** Whether those wait who come back before they were told to. */
  readonly isFlood: boolean;
  /** Notes one that is turned away. `givenId`: its client's own; the answer shall have the one that is returned. */
  turnAway(method: string, givenId: string | undefined): { requestId: string; retryAfterSeconds: number };
}

export interface HttpListenerOptions {
  readonly fetch: (request: Request, env: HttpEnv) => Response | Promise<Response>;
  /**
   * GET and HEAD over HTTP/1.1 in their usual form, which need no `Request`: what writes its answer to `outgoing`, at once
   * where it can. Undefined: it is `fetch`'s to answer.
   */
  readonly read?: (env: HttpEnv) => Response | Promise<Response> | undefined;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly limits?: Partial<HttpLimits>;
  readonly onLimit?: (limit: ListenerLimit) => void;
  /** With it TLS is spoken, and by ALPN HTTP/2. */
  readonly certificates?: CertificateFiles | undefined;
  /** Undefined, or nothing yet: the app has its say itself. */
  readonly overload?: () => Overload | undefined;
  /** Told of what was refused before the app saw it; may give the ID that the answer shall carry. */
  readonly onBadRequest?: (refusal: Refusal) => string | undefined;
}

export interface HttpListener {
  readonly port: number;
  /** Requests that wait because they came back too soon. */
  held(): number;
  /** Stops accepting, waits up to `graceMs` for the requests under way, then cuts them. */
  close(options: { graceMs: number }): Promise<void>;
}

/** Rejects with `config` when the port is taken or the host is not this machine's. */
export async function openHttpListener(options: HttpListenerOptions): Promise<HttpListener> {
  const { host, port } = options;
  const listener = new Listener(options);
  const { server } = listener.front ?? listener;
  await listen(server, host, port);
  return {
    port: (server.address() as AddressInfo).port,
    held: () => listener.held,
    close: ({ graceMs }) => listener.close(graceMs),
  };
}

class Listener {
  readonly server: Server;
  /** What listens, where TLS is spoken. */
  readonly front: TlsFront | undefined;
  readonly #limits: HttpLimits;
  readonly #onBadRequest: (refusal: Refusal) => string | undefined;
  readonly #answer: (incoming: IncomingMessage, outgoing: ServerResponse) => Promise<void>;
  readonly #read: HttpListenerOptions["read"];
  /** Of the requests whose client waits for leave to send the body. */
  readonly #leaves = new WeakMap<IncomingMessage, () => void>();
  readonly #underWay = new Map<Duplex, ServerResponse>();
  readonly #onLimit: (limit: ListenerLimit) => void;
  readonly #overload: () => Overload | undefined;
  readonly #held = new HeldRequests();
  readonly #guard: ConnectionGuard;
  readonly #streams: StreamGuard;
  /** One too many, told so and about to be closed: what else comes on them is nobody's. */
  readonly #turnedAway = new WeakSet<Duplex>();
  #isClosing = false;

  constructor(
    {
      fetch,
      read,
      limits,
      certificates,
      onLimit = () => {},
      overload = () => undefined,
      onBadRequest = () => undefined,
    }: HttpListenerOptions,
  ) {
    this.#limits = { ...LIMITS, ...limits };
    this.#onBadRequest = onBadRequest;
    this.#onLimit = onLimit;
    this.#overload = overload;
    this.#guard = new ConnectionGuard(this.#limits, this.#underWay, onLimit);
    this.#streams = new StreamGuard(this.#limits, onLimit);
    this.#read = read;
    this.#answer = getRequestListener((request, env) => {
      const { incoming, outgoing } = env as HttpEnv;
      return fetch(request, this.#envOf(incoming, outgoing));
    }, {
      overrideGlobalObjects: false,
      // HTTP/1.0 knows no Host; that HTTP/1.1 sent one is checked before.
      hostname: "localhost",
      errorHandler: (error) => this.#failed(error),
    });
    this.server = this.#createServer();
    this.front = certificates && openTlsFront({
      certificates,
      http1: this.server,
      ...this.#limits,
      handshakeTimeoutMs: Math.min(this.#limits.handshakeTimeoutMs, this.#limits.headersTimeoutMs),
      mayStay: (socket) => this.#guard.opened(socket) === undefined,
      onIdle: () => onLimit("idle"),
      // Of what is used here they are alike. Connections end by GOAWAY, so nothing is kept of who is under way.
      onHttp2Request: async (http2Incoming, http2Outgoing) => {
        const incoming = http2Incoming as unknown as IncomingMessage;
        const outgoing = http2Outgoing as unknown as ServerResponse;
        const overload = this.#fullBy(incoming);
        this.#streams.watch(http2Incoming, http2Outgoing);
        if (overload) turnedAway(overload, incoming, outgoing);
        else if (!this.#refusesHead(incoming, outgoing)) await this.#answer(incoming, outgoing);
      },
    });
  }

  get held(): number {
    return this.#held.count;
  }

  #createServer(): Server {
    const { maxHeaderBytes, headersTimeoutMs, idleTimeoutMs, keepAliveTimeoutMs } = this.#limits;
    const server = createServer({
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: headersTimeoutMs,
      requestTimeout: 0,
      keepAliveTimeout: keepAliveTimeoutMs,
      connectionsCheckingInterval: Math.min(headersTimeoutMs, 10_000),
      requireHostHeader: false, // Node's own answer would be no problem document
    });
    server.setTimeout(idleTimeoutMs, (socket) => {
      if (this.#underWay.has(socket)) this.#onLimit("idle");
      socket.destroy();
    });
    server.on("connection", (socket) => this.#opened(socket));
    server.on("request", (incoming, outgoing) => this.#request(incoming, outgoing));
    server.on("checkContinue", (incoming, outgoing) => {
      this.#awaitLeave(incoming, outgoing);
      this.#request(incoming, outgoing);
    });
    server.on("checkExpectation", (incoming, outgoing) => {
      this.#refuse(outgoing, {
        status: 417,
        code: "invalid-argument",
        detail: `wanted no expectation but 100-continue, got ${JSON.stringify(incoming.headers.expect)}`,
      });
    });
    // Without somebody who listens for it Node closes the connection and says nothing.
    server.on("connect", (_, socket) => {
      const detail = "wanted a request for something here, got CONNECT: this is no proxy";
      const refusal: Refusal = { status: 405, code: "method-not-allowed", detail };
      refuseSocket(socket, refusal, this.#onBadRequest(refusal) ?? newRequestId());
    });
    server.on("clientError", (error, socket) => this.#clientError(error, socket));
    return server;
  }

  #opened(socket: Socket): void {
    if (this.front) return; // counted before its handshake
    const excess = this.#guard.opened(socket);
    if (!excess) return;
    this.#turnedAway.add(socket);
    const ofAll = excess.limit === "connections";
    const refusal: Refusal = {
      status: ofAll ? 503 : 429,
      code: ofAll ? "overloaded" : "too-many-requests",
      detail: `wanted at most ${excess.max} connections${ofAll ? "" : " of one client"}, got one more`,
    };
    refuseSocket(socket, refusal, this.#onBadRequest(refusal) ?? newRequestId());
  }

  #request(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { socket } = incoming;
    if (this.#turnedAway.has(socket)) return;
    if (this.#isClosing) outgoing.setHeader("Connection", "close");
    const overload = this.#fullBy(incoming);
    if (overload) {
      const again = () => this.#request(incoming, outgoing);
      const isHeld = overload.isFlood && !this.#isClosing && this.#held.hold(socket, outgoing, again);
      if (!isHeld) this.#held.told(socket, turnedAway(overload, incoming, outgoing));
      return;
    }
    if (isUsualRead(incoming)) {
      const isAnswered = this.#answersRead(incoming, outgoing);
      // As most of them: the system has all of the answer, and nothing is left to wait for or to cut.
      if (isAnswered && outgoing.writableEnded && outgoing.writableLength === 0) return;
      this.#begun(socket, outgoing);
      if (isAnswered) return;
    } else this.#begun(socket, outgoing);
    // A client that goes away while nobody reads its body would otherwise end the process.
    if (incoming.method !== "GET" && incoming.method !== "HEAD") incoming.on("error", () => {});
    if (!this.#refusesHead(incoming, outgoing)) void this.#answer(incoming, outgoing);
  }

  #fullBy({ method = "", url = "" }: IncomingMessage): Overload | undefined {
    const overload = this.#overload();
    return overload?.isFull(method, url) ? overload : undefined;
  }

  /** What is under way, until all of the answer was sent or nobody is left to have it. */
  #begun(socket: Duplex, outgoing: ServerResponse): void {
    this.#underWay.set(socket, outgoing);
    outgoing.on("close", () => {
      if (this.#underWay.get(socket) === outgoing) this.#underWay.delete(socket);
      // An answer that was begun before closing promised to keep the connection.
      if (this.#isClosing) this.server.closeIdleConnections();
    });
  }

  #envOf(incoming: IncomingMessage, outgoing: ServerResponse): HttpEnv {
    return { incoming, outgoing, continueBody: this.#leaves.get(incoming) ?? nobodyWaits };
  }

  /** False: nothing was done. */
  #answersRead(incoming: IncomingMessage, outgoing: ServerResponse): boolean {
    try {
      const answering = this.#read?.(this.#envOf(incoming, outgoing));
      if (answering instanceof Promise) answering.catch(() => this.#readFailed(outgoing));
      return answering !== undefined;
    } catch {
      this.#readFailed(outgoing);
      return true;
    }
  }

  /** What the app let through, and has told of. */
  #readFailed(outgoing: ServerResponse): void {
    if (outgoing.headersSent) outgoing.destroy();
    else this.#refuse(outgoing, INTERNAL);
  }

  #awaitLeave(incoming: IncomingMessage, outgoing: ServerResponse): void {
    // Without leave the client may or may not send its body: only a new connection makes sure what is one.
    outgoing.setHeader("Connection", "close");
    let isGiven = false;
    this.#leaves.set(incoming, () => {
      if (isGiven || outgoing.headersSent || outgoing.destroyed) return;
      isGiven = true;
      if (!this.#isClosing) outgoing.removeHeader("Connection");
      outgoing.writeContinue();
    });
  }

  /** Whether it was. */
  #refusesHead(incoming: IncomingMessage, outgoing: ServerResponse): boolean {
    const problem = headProblem(incoming, this.#limits.maxHeaderBytes);
    if (!problem) return false;
    if (problem.limit) this.#onLimit(problem.limit);
    this.#refuse(outgoing, problem);
    return true;
  }

  #refuse(outgoing: ServerResponse, refusal: Refusal): void {
    const requestId = this.#onBadRequest(refusal) ?? newRequestId();
    const { Connection, ...headers } = refusalHeaders(refusal, requestId);
    const isOfConnection = outgoing.req.httpVersionMajor < 2; // RFC 9113 section 8.2.2
    outgoing.writeHead(refusal.status, isOfConnection ? { ...headers, Connection } : headers);
    outgoing.end(refusalBody(refusal, requestId));
  }

  /** What the app let through, or what no Request can be made of. */
  #failed(error: unknown): Response {
    const refusal: Refusal = error instanceof RequestError
      ? {
        status: 400,
        code: "invalid-argument",
        detail: `wanted a request target and host, got ${messageOf(error)}`,
      }
      : INTERNAL;
    const requestId = this.#onBadRequest(refusal) ?? newRequestId();
    const { status } = refusal;
    return new Response(refusalBody(refusal, requestId), {
      status,
      headers: refusalHeaders(refusal, requestId),
    });
  }

  #clientError(error: Error, socket: Duplex): void {
    if (this.#turnedAway.has(socket)) return;
    const refusal = refusalOf(error, this.#limits.maxHeaderBytes);
    if (refusal?.status === 431) this.#onLimit("header-bytes");
    if (refusal?.status === 408) this.#onLimit("header-time");
    // In the midst of an answer another one would be taken for its content.
    if (!refusal || !socket.writable || this.#underWay.get(socket)?.headersSent) {
      socket.destroy();
      return;
    }
    refuseSocket(socket, refusal, this.#onBadRequest(refusal) ?? newRequestId());
  }

  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    this.#held.release();
    const closed = Promise.all([
      new Promise<void>((resolve) => this.server.close(() => resolve())),
      this.front?.close(),
    ]);
    for (const outgoing of this.#underWay.values()) {
      if (!outgoing.headersSent) outgoing.setHeader("Connection", "close");
    }
    this.server.closeIdleConnections();
    const cut = setTimeout(() => {
      this.server.closeAllConnections();
      this.front?.cut();
    }, graceMs);
    await closed;
    this.#guard.stop();
    this.#streams.stop();
    clearTimeout(cut);
  }
}

/** Seconds that it shall stay away. */
function turnedAway(overload: Overload, incoming: IncomingMessage, outgoing: ServerResponse): number {
  const told = overload.turnAway(incoming.method ?? "", valueOf(incoming.rawHeaders, "x-request-id"));
  turnAway(incoming, outgoing, told);
  return told.retryAfterSeconds;
}
