/** The peer listener: HTTP/2 for the peer app, without TLS or with it on both sides, on both runtimes by node:http2. */
import { getRequestListener, type Http2Bindings } from "@hono/node-server";
import {
  constants,
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type Http2Session,
  type ServerOptions,
} from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { CertificateFiles } from "./certificate-files.ts";
import { keepGoawayFrom } from "./goaway-filter.ts";
import { PeerGuard, type PeerLimit, type PeerListenerLimits } from "./peer-guard.ts";
import { SESSION_WINDOW_BYTES, STREAM_WINDOW_BYTES } from "./peer-lane.ts";
import { handshakeRefusal, mutual } from "./peer-tls.ts";
import { listen } from "./listener-port.ts";
import { StreamsUnderWay } from "./streams-under-way.ts";

const { NGHTTP2_ENHANCE_YOUR_CALM } = constants;
/** Requests of one connection at a time: a bound on the bodies in memory, above what our own clients use. */
const STREAMS_MAX = 128;
/** Node resets streams above it; its default of 10 MB is less than one connection may have on the way. */
const SESSION_MEMORY_MB = 256;
/**
 * Requests of one connection that may be given up by their asker, at once and then a second. Of a slow node every chunk is
 * asked for elsewhere too, and given up there; by Node's defaults of 1,000 and 33 its connections would end with all calls
 * on them. Whoever means harm gains nothing by resets: whole requests cost more.
 */
const STREAM_RESET_BURST = 10_000;
const STREAM_RESET_RATE = 1_000;

/**
 * Nobody says GOAWAY to a peer: a node that stopped took its peers on Deno (2.9) with it, and who has a build without
 * goaway-filter.ts may still die of it. So connections are ended by their sockets, at a moment when nothing is under way;
 * whoever asks sees the connection end instead of being told.
 */
const SAYS_NOTHING = (): void => {};

export interface PeerListener {
  readonly port: number;
  /** At the first moment when nothing is under way, after `graceMs` at the latest: ends all connections, takes no more. */
  close(options: { graceMs: number }): Promise<void>;
}

export interface PeerListenerOptions {
  readonly fetch: (request: Request, env: Http2Bindings) => Response | Promise<Response>;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** With them TLS is spoken, and whoever connects must have one of the same authority. */
  readonly certificates?: CertificateFiles | undefined;
  /** Told of whose certificate is none of the authority's, or who has no TLS to speak. */
  readonly onRefused?: ((address: string, why: string) => void) | undefined;
  readonly limits?: Partial<PeerListenerLimits> | undefined;
  readonly onLimit?: ((limit: PeerLimit) => void) | undefined;
}

const LIMITS: PeerListenerLimits = {
  maxConnections: 1_024,
  maxHeaderBytes: 32 << 10,
  firstRequestMs: 30_000,
  idleTimeoutMs: 15 * 60_000,
  requestTimeoutMs: 60_000,
};

/** Rejects with `config` when the port is taken or the host is not this machine's. */
export async function openPeerListener(options: PeerListenerOptions): Promise<PeerListener> {
  const { fetch, host, port, certificates } = options;
  const answer = getRequestListener((request, env) => fetch(request, env as Http2Bindings), {
    overrideGlobalObjects: false,
  });
  const underWay = new StreamsUnderWay();
  const sockets = new Set<Socket>();
  let onIdle: () => void = () => {};
  const limits = { ...LIMITS, ...options.limits };
  const guard = new PeerGuard(limits, options.onLimit ?? (() => {}));
  const serverOptions = {
    maxSessionMemory: SESSION_MEMORY_MB,
    streamResetBurst: STREAM_RESET_BURST,
    streamResetRate: STREAM_RESET_RATE,
    settings: {
      initialWindowSize: STREAM_WINDOW_BYTES,
      maxConcurrentStreams: STREAMS_MAX,
      maxHeaderListSize: limits.maxHeaderBytes,
    },
  };
  const server = certificates
    ? secureServer(certificates, serverOptions, options.onRefused)
    : createServer(serverOptions);
  server.on("request", (incoming: Http2ServerRequest, outgoing: Http2ServerResponse) => {
    // A stream that was reset: whoever asked is gone, and the handler hears of it from the body.
    incoming.on("error", () => undefined);
    outgoing.on("error", () => undefined);
    underWay.add(incoming.stream, outgoing, () => onIdle());
    guard.asked(incoming.stream.session, incoming.stream);
    if (guard.isTooLarge(incoming.rawHeaders)) incoming.stream.close(NGHTTP2_ENHANCE_YOUR_CALM);
    else void answer(incoming, outgoing);
  });
  server.prependListener(certificates ? "secureConnection" : "connection", (socket: Socket) => {
    keepGoawayFrom(socket, "server");
  });
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    guard.opened(socket);
  });
  server.on("session", (session) => {
    session.goaway = SAYS_NOTHING;
    // A peer that was killed resets its connections; without a listener that would end this process.
    session.on("error", () => session.destroy());
    widen(session);
  });
  server.on("sessionError", (_error, session) => session?.destroy());
  await listen(server, host, port);
  return {
    port: (server.address() as AddressInfo).port,
    close: async ({ graceMs }) => {
      guard.stop();
      underWay.letGo();
      if (underWay.size > 0) {
        await new Promise<void>((resolve) => {
          const late = setTimeout(resolve, graceMs);
          onIdle = () => {
            clearTimeout(late);
            resolve();
          };
        });
      }
      underWay.stop();
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function secureServer(
  certificates: CertificateFiles,
  limits: ServerOptions,
  onRefused: PeerListenerOptions["onRefused"],
): Http2SecureServer {
  const server = createSecureServer({ ...limits, ...mutual(certificates), ALPNProtocols: ["h2"] });
  certificates.onChange(() => server.setSecureContext(mutual(certificates)));
  server.on("tlsClientError", (error: Error, socket: TLSSocket) => {
    const refusal = handshakeRefusal(error, socket);
    if (refusal) onRefused?.(refusal.address, refusal.why);
    socket.destroy();
  });
  return server;
}

/** The connection's own window starts at 64 KiB whatever the settings say (RFC 9113 section 6.9.2). */
function widen(session: Http2Session): void {
  session.setLocalWindowSize(SESSION_WINDOW_BYTES);
}
