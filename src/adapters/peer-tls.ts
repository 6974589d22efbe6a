/**
 * Mutual TLS between nodes, beneath the signatures: the ring has an authority of its own, and whoever has a certificate of
 * its is one of the ring's machines. Names are not compared, since who answers says by its signature which node it is, and
 * addresses change. Peers' URLs stay as they are: whether TLS is spoken is a setting that is the same at every node.
 */
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from "node:tls";
import type { LookupFunction, Socket } from "node:net";
import type { buildConnector } from "undici";
import type { CertificateFiles } from "./certificate-files.ts";

/** What a server asks of whoever connects. */
export function mutual(certificates: CertificateFiles) {
  const { cert, key, ca } = certificates.current;
  return { cert, key, ca, requestCert: true, rejectUnauthorized: true, minVersion: "TLSv1.3" } as const;
}

/** Of a handshake that failed; undefined where the other end only went away. */
export function handshakeRefusal(
  error: Error & { readonly code?: string },
  socket: TLSSocket,
): { readonly address: string; readonly why: string } | undefined {
  // Node's types say an error, both runtimes give its code.
  const unverified = socket.authorizationError as unknown as string | null;
  if (!unverified && !error.code?.startsWith("ERR_SSL_")) return undefined;
  // The socket below: the secure one does not know any more, once it was destroyed.
  const { remoteAddress } = (socket as { _parent?: Socket | null })._parent ?? socket;
  return { address: remoteAddress ?? "unknown", why: unverified ?? error.code! };
}

/** How undici connects; with the certificate of that moment. */
export function tlsConnector(
  certificates: CertificateFiles,
  timeoutMs: number,
  lookup: LookupFunction | undefined,
): buildConnector.connector {
  return ({ hostname, port }, callback) => {
    const options: ConnectionOptions = {
      ...mutual(certificates),
      host: hostname.replace(/^\[|\]$/g, ""),
      port: Number(port),
      ALPNProtocols: ["h2"],
      checkServerIdentity: () => undefined,
      ...(lookup && { lookup }),
    };
    const socket: TLSSocket = connectTls(options);
    let isSettled = false;
    const settle = (error: Error | undefined): void => {
      if (isSettled) return;
      isSettled = true;
      clearTimeout(late);
      if (error) {
        socket.destroy();
        callback(error, null);
      } else callback(null, socket);
    };
    const late = setTimeout(() => settle(new Error(`no TLS within ${timeoutMs} ms`)), timeoutMs);
    socket.once(
      "secureConnect",
      () =>
        settle(
          socket.alpnProtocol === "h2" ? undefined : new Error("wanted HTTP/2 by ALPN, got something else"),
        ),
    );
    socket.once("error", settle);
    socket.once("close", () => settle(new Error("the connection was closed during the handshake")));
  };
}
