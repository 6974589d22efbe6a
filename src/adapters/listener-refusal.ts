/**
 * Answers to what never becomes a request, by hand: the parser gave up, so there is no response object to write with.
 * They are problems (RFC 9457) like every other error.
 */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { type IncomingMessage, METHODS, type ServerResponse, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";

export interface Refusal {
  readonly status: 400 | 405 | 408 | 417 | 429 | 431 | 500 | 503;
  readonly code:
    | "invalid-argument"
    | "method-not-allowed"
    | "too-many-requests"
    | "headers-too-large"
    | "internal"
    | "overloaded";
  readonly detail: string;
}

/** What the public interface knows, in any of its paths. */
const ALLOW = "GET, HEAD, PUT, DELETE";
/** Once refused, a client may take so long to read why. */
const LINGER_MS = 2_000;
/** Of a body whose request was turned away: closing at once would reset the connection, and the answer might be lost. */
const DRAIN_BYTES_MAX = 8 << 20;

/** What a parser's error means; undefined when nobody is left who could read an answer. */
export function refusalOf(error: Error, maxHeaderBytes: number): Refusal | undefined {
  const code = "code" in error ? String(error.code) : "";
  if (code === "ECONNRESET" || code === "EPIPE") return undefined;
  if (code === "HPE_HEADER_OVERFLOW") {
    const detail =
      `wanted a request line and fewer than 1000 headers of at most ${maxHeaderBytes} bytes together, got more`;
    return { status: 431, code: "headers-too-large", detail };
  }
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") {
    return {
      status: 408,
      code: "invalid-argument",
      detail: "wanted the headers in time, got only a part of them",
    };
  }
  if (hasUnknownMethod(error)) {
    return {
      status: 405,
      code: "method-not-allowed",
      detail: `wanted one of ${ALLOW}, got no method of HTTP`,
    };
  }
  const reason = "reason" in error && typeof error.reason === "string" ? error.reason : error.message;
  return {
    status: 400,
    code: "invalid-argument",
    detail: `wanted a request of HTTP/1.1, got something else: ${reason}`,
  };
}

/**
 * A request line as in RFC 9112 section 3, but for a method nobody knows. By what was read: Deno's parser has one code for
 * nearly everything, and Node's calls a TLS greeting a method too.
 */
function hasUnknownMethod(error: Error): boolean {
  if (!("rawPacket" in error) || !(error.rawPacket instanceof Uint8Array)) return false;
  const line = new TextDecoder("latin1").decode(error.rawPacket.subarray(0, 256));
  const method = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+) [^ \r\n]/.exec(line)?.[1];
  return method !== undefined && !METHODS.includes(method);
}

export function newRequestId(): string {
  return randomBytes(8).toString("hex");
}

export function refusalHeaders({ status }: Refusal, requestId: string): Record<string, string> {
  return {
    "Content-Type": "application/problem+json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Request-Id": requestId,
    ...(status === 405 && { Allow: ALLOW }),
    ...((status === 429 || status === 503) && { "Retry-After": "1" }),
    Connection: "close",
  };
}

export function refusalBody({ status, code, detail }: Refusal, requestId: string): string {
  const title = STATUS_CODES[status];
  return `${JSON.stringify({ type: `urn:atoll:error:${code}`, title, status, detail, code, requestId })}\n`;
}

/** A whole problem document, but for the request's ID. */
const TOO_MANY = refusalBody({
  status: 503,
  code: "overloaded",
  detail: "wanted fewer requests under way, got one more",
}, "").slice(0, -4);

/** A whole overload of these must cost less than the work that they are turned away from. */
export function turnAway(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  { requestId, retryAfterSeconds }: { requestId: string; retryAfterSeconds: number },
): void {
  const body = `${TOO_MANY}"${requestId}"}\n`;
  outgoing.writeHead(503, {
    "Content-Type": "application/problem+json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Retry-After": retryAfterSeconds,
    // draft-ietf-httpapi-ratelimit-headers: nothing is left, and when there may be something again.
    RateLimit: `"load";r=0;t=${retryAfterSeconds}`,
    "X-Request-Id": requestId,
    "Content-Length": body.length,
  });
  outgoing.end(body, "latin1"); // in one piece with the headers
  incoming.on("error", () => {}); // whoever was turned away may go
  let leftBytes = DRAIN_BYTES_MAX;
  incoming.on("data", (part: Uint8Array) => {
    leftBytes -= part.length;
    if (leftBytes < 0) incoming.destroy();
  });
}

/** Writes the answer and closes; the client gets a moment to read it. */
export function refuseSocket(socket: Duplex, refusal: Refusal, requestId: string): void {
  const body = refusalBody(refusal, requestId);
  const lines = Object.entries({
    ...refusalHeaders(refusal, requestId),
    "Content-Length": String(Buffer.byteLength(body)),
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.on("error", () => socket.destroy());
  socket.end(`HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}\r\n${lines.join("")}\r\n${body}`);
  // What it still sends must be taken, or closing would reset the connection and throw the answer away.
  socket.resume();
  const cut = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.on("close", () => clearTimeout(cut));
}
