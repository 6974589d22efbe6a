/** How a request shows who sends it: `Authorization`, or the parameters of a presigned URL. */
import { Buffer } from "node:buffer";
import {
  isPresigned,
  parsePresigned,
  type Presigned,
  type PresignedMethod,
  presignedMethod,
} from "../core/presign.ts";

export type Credentials =
  | { readonly kind: "none" }
  | {
    readonly kind: "secret";
    readonly scheme: "basic" | "bearer";
    readonly id: string;
    readonly secret: string;
  }
  | PresignedCredentials
  /** `code`: as what it is refused. */
  | {
    readonly kind: "unreadable";
    readonly code: "invalid-argument" | "unauthorized" | "forbidden";
    readonly detail: string;
  };

export interface PresignedCredentials {
  readonly kind: "presigned";
  readonly method: PresignedMethod;
  readonly presigned: Presigned;
  readonly signature: string;
}

const NONE: Credentials = { kind: "none" };
/** Schemes are of either case (RFC 9110 section 11.1); one or more spaces follow (section 11.4). */
const AUTHORIZATION = /^(bearer|basic) +(\S+) *$/i;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/** `authorizations`: each field of that name, as it came. */
export function credentialsOf(
  method: string,
  authorizations: readonly string[],
  query: string,
): Credentials {
  const isSigned = isPresigned(query);
  const [authorization] = authorizations;
  if (authorization === undefined && !isSigned) return NONE;
  // Two of them are how one server is made to disagree with another about who is asking.
  if (authorizations.length > 1) {
    return {
      kind: "unreadable",
      code: "invalid-argument",
      detail: `wanted one Authorization header, got ${authorizations.length}`,
    };
  }
  if (authorization === undefined) return presignedOf(method, query);
  if (isSigned) {
    return {
      kind: "unreadable",
      code: "invalid-argument",
      detail: "wanted an Authorization header or a presigned URL, got both",
    };
  }
  return secretOf(authorization);
}

function presignedOf(requestMethod: string, query: string): Credentials {
  const method = presignedMethod(requestMethod);
  const parsed = method && parsePresigned(method, query);
  if (parsed) return { kind: "presigned", method, ...parsed };
  return {
    kind: "unreadable",
    code: "forbidden",
    detail: "wanted a presigned URL with its own parameters and no others, each once, got something else",
  };
}

function secretOf(authorization: string): Credentials {
  const [, scheme, token] = AUTHORIZATION.exec(authorization) ?? [];
  const isBearer = scheme?.toLowerCase() === "bearer";
  const text = token === undefined ? "" : isBearer ? token : textOfBase64(token);
  // RFC 7617 section 2: an ID has no colon; ours have no dot either.
  const end = text.indexOf(isBearer ? "." : ":");
  if (end <= 0) {
    return {
      kind: "unreadable",
      code: "unauthorized",
      detail: "wanted Authorization: Bearer ID.SECRET, or Basic with ID:SECRET, got something else",
    };
  }
  return {
    kind: "secret",
    scheme: isBearer ? "bearer" : "basic",
    id: text.slice(0, end),
    secret: text.slice(end + 1),
  };
}

/** "" for what is none; Buffer would pass over what does not belong there. */
function textOfBase64(text: string): string {
  return BASE64.test(text) ? Buffer.from(text, "base64").toString("utf8") : "";
}
