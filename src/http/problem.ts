/** Errors as `application/problem+json` (RFC 9457). */
import { type AtollError, type ErrorCode, isAtollError } from "../errors.ts";
import type { Answer } from "./answer.ts";

const STATUS = {
  "invalid-key": 400,
  "invalid-bucket": 400,
  "invalid-argument": 400,
  "invalid-digest": 400,
  "digest-mismatch": 400,
  "incomplete-body": 400,
  "partial-put": 400,
  unauthorized: 401,
  forbidden: 403,
  "not-found": 404,
  "method-not-allowed": 405,
  "layout-changed": 409,
  "precondition-failed": 412,
  "too-large": 413,
  "range-not-satisfiable": 416,
  refused: 422,
  "too-many-requests": 429,
  "headers-too-large": 431,
  internal: 500,
  "no-quorum": 503,
  overloaded: 503,
  draining: 503,
  "origin-failed": 502,
  "origin-forbidden": 502,
  "outcome-unknown": 504,
  "origin-timeout": 504,
  "not-cached": 504,
  "storage-full": 507,
  "origin-loop": 508,
} as const satisfies Partial<Record<ErrorCode, number>>;

export type PublicCode = keyof typeof STATUS;

const TITLE: Record<PublicCode, string> = {
  "invalid-key": "The key is not valid",
  "invalid-bucket": "The bucket's name is not valid",
  "invalid-argument": "An argument is not valid",
  "invalid-digest": "A digest is malformed",
  "digest-mismatch": "The content does not match its digest",
  "incomplete-body": "The body ended early",
  "partial-put": "A part cannot be stored as the whole",
  unauthorized: "Credentials are needed",
  forbidden: "This is not allowed",
  "not-found": "There is no such object",
  "method-not-allowed": "The method is not allowed here",
  "layout-changed": "The ring has changed meanwhile",
  refused: "This is not done without further words",
  "precondition-failed": "The object is not in the state asked for",
  "too-large": "The content is too large",
  "range-not-satisfiable": "The range lies outside the object",
  "too-many-requests": "Too many requests",
  "headers-too-large": "The header is too large",
  internal: "Something went wrong here",
  "no-quorum": "Too few replicas answer",
  overloaded: "The node is busy",
  draining: "The node is shutting down",
  "outcome-unknown": "The change may or may not take effect",
  "not-cached": "Not in this node's cache",
  "storage-full": "There is no room left",
  "origin-failed": "The origin does not answer as it should",
  "origin-forbidden": "The origin is nowhere this node may connect to",
  "origin-timeout": "The origin does not answer in time",
  "origin-loop": "The request came back to where it had been",
};

/** Seconds after which trying again makes sense. */
const RETRY_AFTER: Partial<Record<PublicCode, string>> = { "no-quorum": "1", overloaded: "1", draining: "5" };

/** Both in one field (RFC 9110 section 11.6.1); the parameters before "Bearer" belong to Basic. */
const CHALLENGES = 'Basic realm="atoll", charset="UTF-8", Bearer realm="atoll"';

const ENCODER = new TextEncoder();

function problemBody(code: PublicCode, detail: string, requestId: string, members: object): string {
  return `${
    JSON.stringify({
      ...members,
      type: `urn:atoll:error:${code}`,
      title: TITLE[code],
      status: STATUS[code],
      detail,
      code,
      requestId,
    })
  }\n`;
}

/** `members`: beside those of the RFC, for programs. */
export function problem(
  code: PublicCode,
  detail: string,
  requestId: string,
  headers: Readonly<Record<string, string>> = {},
  members: object = {},
): Answer {
  const retryAfter = RETRY_AFTER[code];
  return {
    status: STATUS[code],
    headers: {
      "Content-Type": "application/problem+json",
      "Cache-Control": "no-store",
      ...(retryAfter !== undefined && { "Retry-After": retryAfter }),
      ...(code === "unauthorized" && { "WWW-Authenticate": CHALLENGES }),
      ...headers,
    },
    body: ENCODER.encode(problemBody(code, detail, requestId, members)),
    code,
  };
}

/** Faults between nodes are this node's own trouble: to a client they are `no-quorum` or `internal`. */
export function publicError(error: unknown): { code: PublicCode; detail: string; expected: boolean } {
  if (!isAtollError(error)) {
    return { code: "internal", detail: "see the node's log for this request", expected: false };
  }
  if (isPublic(error)) {
    return { code: error.code, detail: error.message, expected: error.code !== "internal" };
  }
  if (error.code.startsWith("peer-") || error.code.startsWith("wrong-")) {
    return { code: "no-quorum", detail: error.message, expected: true };
  }
  return { code: "internal", detail: "see the node's log for this request", expected: false };
}

function isPublic(error: AtollError): error is AtollError & { code: PublicCode } {
  return error.code in STATUS;
}
