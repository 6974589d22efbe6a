/** An answer before it is sent, and the sending of it. */
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { Buffer } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import { messageOf } from "../errors.ts";
import type { Log } from "../ports.ts";
import { sendingTurns } from "./sending-turns.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** A stream is pulled no faster than the client reads, and closed when the client goes away. */
  readonly body?: Uint8Array | AsyncIterable<Uint8Array> | undefined;
  /** Of an error, for the log. */
  readonly code?: string | undefined;
}

/** What the listener passes beside the request; absent where the app is called in process. */
export interface ConnectionEnv {
  readonly incoming?: IncomingMessage;
  readonly outgoing?: ServerResponse;
  /** Sends `100 Continue` where the client waits for it. */
  readonly continueBody?: () => void;
}

const ENCODER = new TextEncoder();
/** Up to here Node joins headers and a body of text into one write, which costs less than two pieces do. */
const MERGED_BYTES_MAX = 4 << 10;
/** What is larger is sent as it is taken. TLS encrypts a whole write at once, and keeps all of it for who reads nothing. */
const SLICE_BYTES = 64 << 10;

export function jsonAnswer(
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  const body = ENCODER.encode(`${JSON.stringify(value)}\n`);
  return {
    status,
    headers: { "Content-Type": "application/json", "Cache-Control": "no-store", ...headers },
    body,
  };
}

export function textAnswer(status: number, text: string, contentType = "text/plain; charset=utf-8"): Answer {
  return {
    status,
    headers: { "Content-Type": contentType, "Cache-Control": "no-store" },
    body: ENCODER.encode(text),
  };
}

/** How the sending ended: bytes of body passed on, and whether all of them were. */
export type Sent = (bytes: number, complete: boolean) => void;

/**
 * Writes to the connection itself where there is one, which spares the hot path a Response and a stream of its own, and
 * gives back-pressure its natural form; otherwise makes a Response.
 */
export function send(env: ConnectionEnv, answer: Answer, isHead: boolean, log: Log, sent: Sent): Response {
  const { outgoing } = env;
  const { body } = answer;
  if (!outgoing) return asResponse(answer, isHead, sent);
  if (body === undefined || body instanceof Uint8Array) {
    const bytes = body?.length ?? 0;
    // An answer was made for one request alone, so that what is missing can be added in place.
    const headers = answer.headers as Record<string, string>;
    if (answer.status !== 204 && answer.status !== 304) headers["Content-Length"] ??= String(bytes);
    outgoing.writeHead(answer.status, headers);
    if (isHead || !body) outgoing.end();
    else if (bytes <= MERGED_BYTES_MAX) outgoing.end(latin1(body), "latin1");
    else if (bytes > SLICE_BYTES) {
      void pump(outgoing, [body], log, sent);
      return RESPONSE_ALREADY_SENT;
    } else {
      outgoing.end(body);
      if (waitingBytes(outgoing) > 0) {
        void taken(outgoing).then((complete) => sent(bytes, complete));
        return RESPONSE_ALREADY_SENT;
      }
    }
    sent(isHead ? 0 : bytes, true);
    return RESPONSE_ALREADY_SENT;
  }
  outgoing.writeHead(answer.status, { ...answer.headers });
  if (isHead) {
    outgoing.end();
    sent(0, true);
  } else void pump(outgoing, body, log, sent);
  return RESPONSE_ALREADY_SENT;
}

/** One character per byte: what Node writes as latin1 are the bytes again. */
function latin1({ buffer, byteOffset, length }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, length).toString("latin1");
}

async function pump(
  outgoing: ServerResponse,
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  log: Log,
  sent: Sent,
): Promise<void> {
  const sliceBytes = isEncrypted(outgoing) ? SLICE_BYTES : Infinity;
  let bytes = 0;
  let complete = false;
  try {
    for await (const part of body) {
      for (let at = 0; at < part.length && !outgoing.destroyed;) {
        const granted = sendingTurns.take(Math.min(sliceBytes, part.length - at), bytes === 0);
        const size = typeof granted === "number" ? granted : await granted;
        if (outgoing.destroyed) break;
        // Views of bytes that all readers share: nothing is copied here.
        const isDrained = outgoing.write(part.subarray(at, at + size));
        at += size;
        bytes += size;
        if (!isDrained) await drained(outgoing);
      }
      if (outgoing.destroyed) break;
    }
    complete = !outgoing.destroyed;
    outgoing.end();
    if (complete && waitingBytes(outgoing) > 0) complete = await taken(outgoing);
  } catch (error) {
    // The status is long gone: a cut connection is the only way left to say that this is not the whole.
    log.error("an answer broke off", { reason: messageOf(error), bytes });
    outgoing.destroy();
  } finally {
    sent(bytes, complete);
  }
}

/** Until more may be written, or never will be. */
function drained(outgoing: ServerResponse): Promise<void> {
  if (outgoing.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      outgoing.off("drain", done);
      outgoing.off("close", done);
      resolve();
    };
    outgoing.on("drain", done);
    outgoing.on("close", done);
  });
}

/** Until the system has all of an answer that was ended (true), or nobody is left to take it. */
function taken(outgoing: ServerResponse): Promise<boolean> {
  if (outgoing.destroyed) return Promise.resolve(false);
  return new Promise((resolve) => {
    // A response of HTTP/2 finishes in any case, and its stream then knows how.
    outgoing.on("finish", () => resolve(streamOf(outgoing)?.writableFinished ?? true));
    outgoing.on("close", () => resolve(false));
  });
}

function waitingBytes(outgoing: ServerResponse): number {
  return (streamOf(outgoing) ?? outgoing).writableLength;
}

function isEncrypted(outgoing: ServerResponse): boolean {
  return streamOf(outgoing) !== undefined || "encrypted" in outgoing.req.socket;
}

/** Of a response of HTTP/2. */
function streamOf(outgoing: ServerResponse): ServerHttp2Stream | undefined {
  return "stream" in outgoing ? outgoing.stream as ServerHttp2Stream : undefined;
}

function asResponse(answer: Answer, isHead: boolean, sent: Sent): Response {
  const headers = new Headers(answer.headers);
  const { body } = answer;
  if (isHead || body === undefined) {
    sent(0, true);
    return new Response(null, { status: answer.status, headers });
  }
  if (body instanceof Uint8Array) {
    headers.set("Content-Length", String(body.length));
    sent(body.length, true);
    return new Response(new Uint8Array(body), { status: answer.status, headers });
  }
  const parts = body[Symbol.asyncIterator]();
  let bytes = 0;
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await parts.next();
      if (!done) {
        bytes += value.length;
        return controller.enqueue(value);
      }
      sent(bytes, true);
      controller.close();
    },
    async cancel() {
      sent(bytes, false);
      await parts.return?.();
    },
  }, { highWaterMark: 0 });
  return new Response(stream, { status: answer.status, headers });
}
