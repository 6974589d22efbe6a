/** A request's line and headers as they came, before anything is made of them. */
import type { IncomingMessage } from "node:http";
import type { Refusal } from "./listener-refusal.ts";

/**
 * So many headers there may not be. Deno (2.9) says nothing of those after the first 1,000, be it the condition of a write
 * or a second Authorization; Node refuses the next one as it does too many bytes.
 */
export const HEADERS_MAX = 1_000;

/** Of what a Request could be made without a doubt; the rest is left to its making, which says what is wrong with it. */
const USUAL_TARGET = /^\/[!#-;=?-[\]_a-z~]*$/;
const USUAL_HOST = /^[a-z0-9._-]+(?::(?:[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}))?$/;

export function isUsualRead({ method, url, headers, rawHeaders }: IncomingMessage): boolean {
  return (method === "GET" || method === "HEAD") && USUAL_TARGET.test(url!) &&
    USUAL_HOST.test(headers.host ?? "") && rawHeaders.length < 2 * HEADERS_MAX &&
    countHosts(rawHeaders) === 1;
}

/** Names and values in turn; two Hosts are how one server is made to disagree with another about whose request it is. */
function countHosts(rawHeaders: readonly string[]): number {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length === 4 && name.toLowerCase() === "host") count++;
  }
  return count;
}

/** What is wrong with them beyond what a parser refuses; that of HTTP/2 tells only its client of a limit of bytes. */
export function headProblem(
  { httpVersion, headers, rawHeaders }: IncomingMessage,
  maxHeaderBytes: number,
): Refusal & { readonly limit?: "header-bytes" | "header-count" } | undefined {
  if (rawHeaders.length >= 2 * HEADERS_MAX) {
    const detail = `wanted fewer than ${HEADERS_MAX} headers, got as many or more`;
    return { status: 431, code: "headers-too-large", detail, limit: "header-count" };
  }
  let bytes = 0;
  for (const text of rawHeaders) bytes += text.length;
  if (bytes > maxHeaderBytes) {
    const detail = `wanted headers of at most ${maxHeaderBytes} bytes together, got ${bytes}`;
    return { status: 431, code: "headers-too-large", detail, limit: "header-bytes" };
  }
  const coding = headers["transfer-encoding"];
  if (coding !== undefined && coding.trim().toLowerCase() !== "chunked") {
    // As for those that a parser refuses itself; what it was coded with would be stored as the content.
    const detail = `wanted no transfer coding but chunked, got ${JSON.stringify(coding.slice(0, 80))}`;
    return { status: 400, code: "invalid-argument", detail };
  }
  const hosts = countHosts(rawHeaders);
  if (httpVersion === "1.1" ? hosts === 1 : hosts <= 1) return undefined;
  const detail = `wanted one Host header (RFC 9112 section 3.2), got ${hosts}`;
  return { status: 400, code: "invalid-argument", detail };
}

/** Node makes an object of all headers when it is asked for one; nobody needs it of a request that is turned away. */
export function valueOf(rawHeaders: readonly string[], wanted: string): string | undefined {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length === wanted.length && name.toLowerCase() === wanted) return rawHeaders[i + 1];
  }
  return undefined;
}
