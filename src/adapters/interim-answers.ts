/**
 * `100 Continue` that nobody asked for is to be ignored (RFC 9110 section 15.2.1). undici takes it for a bad answer and drops
 * the connection, so it never comes to see one.
 */
import { Buffer } from "node:buffer";
import type { Socket } from "node:net";

/** Of interim answers; what goes on for longer is left to whoever reads the answer. */
const HEAD_BYTES_MAX = 16 << 10;
const CONTINUE = /^HTTP\/1\.[01] 100[ \r\n]/;
/** Of the longest that may yet become one. */
const BEGINNINGS = ["HTTP/1.0 100", "HTTP/1.1 100"];
const HEAD_END = "\r\n\r\n";

/** Each write begins a request, and what is read after it an answer: no body is sent, and requests are not pipelined. */
export function withoutContinue<S extends Socket>(socket: S): S {
  const read = socket.read.bind(socket);
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  /** What came of an answer of which it is not clear yet what it is; undefined: it is the answer proper. */
  let held: Buffer | undefined = Buffer.alloc(0);
  socket.write = (...args: unknown[]) => {
    held ??= Buffer.alloc(0);
    return write(...args);
  };
  socket.read = (size?: number) => {
    for (;;) {
      const part = read(size) as Buffer | null;
      if (held === undefined || part === null) return part;
      held = withoutInterim(Buffer.concat([held, part]));
      if (mayBeInterim(held)) continue;
      const proper = held;
      held = undefined;
      return proper;
    }
  };
  return socket;
}

function withoutInterim(bytes: Buffer): Buffer {
  let rest = bytes;
  while (CONTINUE.test(rest.toString("latin1", 0, 16))) {
    const end = rest.indexOf(HEAD_END);
    if (end === -1) return rest;
    rest = rest.subarray(end + HEAD_END.length);
  }
  return rest;
}

function mayBeInterim(bytes: Buffer): boolean {
  const begin = bytes.toString("latin1", 0, BEGINNINGS[0]!.length);
  return bytes.length < HEAD_BYTES_MAX && BEGINNINGS.some((one) => one.startsWith(begin));
}
