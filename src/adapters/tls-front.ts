/**
 * TLS before a listener of HTTP/1.1, and HTTP/2 beside it by ALPN (RFC 7301): a socket goes to whichever its client chose.
 * HTTP/1.1 is then served by the very server that serves it without TLS, with all its limits.
 */
import type { Server as Http1Server } from "node:http";
import {
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2";
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import type { Certificate, CertificateFiles } from "./certificate-files.ts";
import { keepGoawayFrom } from "./goaway-filter.ts";
import { HEADERS_MAX } from "./request-head.ts";
import { guardSession, type SessionLimits } from "./session-guard.ts";
import { StreamsUnderWay } from "./streams-under-way.ts";

export interface TlsFrontOptions extends SessionLimits {
  readonly certificates: CertificateFiles;
  readonly http1: Http1Server;
  readonly onHttp2Request: (incoming: Http2ServerRequest, outgoing: Http2ServerResponse) => Promise<void>;
  /** Of a connection on which nothing was said yet: to count them after their handshake would be to keep all that make none. */
  readonly mayStay: (socket: Socket) => boolean;
  /** Of a handshake, ms. */
  readonly handshakeTimeoutMs: number;
  readonly maxHeaderBytes: number;
  /** Of a connection of HTTP/2 that was cut in the midst of a request. */
  readonly onIdle: () => void;
}

export interface TlsFront {
  readonly server: Server;
  /** Takes no more connections, and ends those on which nothing is under way. */
  close(): Promise<void>;
  /** Ends the rest. */
  cut(): void;
}

/** Requests of one HTTP/2 connection at a time. */
const STREAMS_MAX = 128;
/** Not yet read of one upload, and of one connection; bytes. The standard's 64 KiB would be a hundredth of a fast line. */
const STREAM_WINDOW_BYTES = 512 << 10;
const SESSION_WINDOW_BYTES = 1 << 20;
/** That each header counts for beside its name and value (RFC 9113 section 6.5.2). */
const PAIR_BYTES = 32;

export function openTlsFront(options: TlsFrontOptions): TlsFront {
  const { certificates, http1, handshakeTimeoutMs, maxHeaderBytes } = options;
  const sessions = new Set<ServerHttp2Session>();
  const sockets = new Set<TLSSocket>();
  const underWay = new StreamsUnderWay();
  const http2 = createHttp2Server({
    // Beyond what is refused with an answer: more is reset without one.
    maxHeaderListPairs: 2 * HEADERS_MAX,
    settings: {
      initialWindowSize: STREAM_WINDOW_BYTES,
      maxConcurrentStreams: STREAMS_MAX,
      maxHeaderListSize: 2 * maxHeaderBytes + HEADERS_MAX * PAIR_BYTES,
    },
  });
  http2.on("session", (session: ServerHttp2Session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    // A client that goes away resets its connection; without a listener that would end this process.
    session.on("error", () => session.destroy());
    guardSession(session, options, options.onIdle);
    session.setLocalWindowSize(SESSION_WINDOW_BYTES);
  });
  http2.on("sessionError", (_error, session) => session?.destroy());
  http2.on("request", (incoming, outgoing) => {
    incoming.on("error", () => undefined);
    outgoing.on("error", () => undefined);
    // Answers are written as to HTTP/1.1, whose responses know that their connection is gone.
    Object.defineProperty(outgoing, "destroyed", { get: () => outgoing.stream.destroyed });
    underWay.add(incoming.stream, outgoing);
    void options.onHttp2Request(incoming, outgoing);
  });

  const secure = createTlsServer(
    {
      ...secured(certificates.current),
      ALPNProtocols: ["h2", "http/1.1"],
      handshakeTimeout: handshakeTimeoutMs,
    },
    (socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      socket.on("error", () => socket.destroy());
      if (socket.alpnProtocol === "h2") {
        keepGoawayFrom(socket, "server");
        http2.emit("connection", socket);
      } else http1.emit("connection", socket);
    },
  );
  secure.on("tlsClientError", (_error, socket) => socket.destroy());
  certificates.onChange((certificate) => secure.setSecureContext(secured(certificate)));
  const server = createServer((socket) => {
    if (options.mayStay(socket)) secure.emit("connection", socket);
    else socket.destroy();
  });
  // It listens by way of this server, and begins to look after its timeouts when it is told.
  server.on("listening", () => http1.emit("listening"));
  // On Deno (2.9) a server of HTTP that does not listen ends each connection after one answer, as one that closes would.
  Object.defineProperty(http1, "listening", { get: () => server.listening });
  return {
    server,
    close: async () => {
      // With GOAWAY, after which the requests under way end as they would.
      underWay.letGo();
      for (const session of sessions) session.close();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      underWay.stop();
    },
    cut: () => {
      for (const session of sessions) session.destroy();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function secured({ cert, key }: Certificate): { cert: string; key: string; minVersion: "TLSv1.2" } {
  return { cert, key, minVersion: "TLSv1.2" };
}
