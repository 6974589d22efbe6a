/** How a request shows who sends it: `Authorization`, or the parameters of a presigned URL. */
import { Buffer } from "node:buffer";
import {
  isPresigned,
  parsePresigned,
  type Presigned,
  type PresignedMethod,
  presignedMethod,
} from "../core/presign.ts";

/** How somebody shows to have a key, less what shows it. */
export type Manner =
  | { readonly kind: "secret"; readonly scheme: "basic" | "bearer" }
  | { readonly kind: "presigned"; readonly method: PresignedMethod; readonly presigned: Presigned };

export type ShownCredentials =
  | { readonly manner: Manner & { kind: "secret" }; readonly id: string; readonly secret: string }
  | { readonly manner: Manner & { kind: "presigned" }; readonly signature: string };

interface UnreadableCredentials {
  /** As what they are refused. */
  readonly code: "invalid-argument" | "unauthorized" | "forbidden";
  readonly detail: string;
}

/** Schemes are of either case (RFC 9110 section 11.1); one or more spaces follow (section 11.4). */
const AUTHORIZATION = /^(bearer|basic) +(\S+) *$/i;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/** `authorizations`: each field of that name, as it came. Undefined where nothing is shown. */
export function credentialsOf(
  method: string,
  authorizations: readonly string[],
  query: string,
): ShownCredentials | UnreadableCredentials | undefined {
  const isSigned = isPresigned(query);
  const [authorization] = authorizations;
  // Two of them are how one server is made to disagree with another about who is asking.
  if (authorizations.length > 1) {
    const detail = `wanted one Authorization header, got ${authorizations.length}`;
    return { code: "invalid-argument", detail };
  }
  if (authorization === undefined) return isSigned ? presignedOf(method, query) : undefined;
  if (!isSigned) return secretOf(authorization);
  const detail = "wanted an Authorization header or a presigned URL, got both";
  return { code: "invalid-argument", detail };
}

function presignedOf(requestMethod: string, query: string): ShownCredentials | UnreadableCredentials {
  const method = presignedMethod(requestMethod);
  const parsed = method && parsePresigned(method, query);
  if (parsed) {
    const { presigned, signature } = parsed;
    return { manner: { kind: "presigned", method, presigned }, signature };
  }
  const detail =
    "wanted a presigned URL with its own parameters and no others, each once, got something else";
  return { code: "forbidden", detail };
}

function secretOf(authorization: string): ShownCredentials | UnreadableCredentials {
  const [, name, token] = AUTHORIZATION.exec(authorization) ?? [];
  const scheme = name?.toLowerCase() === "bearer" ? "bearer" : "basic";
  const text = token === undefined ? "" : scheme === "bearer" ? token : textOfBase64(token);
  // RFC 7617 section 2: an ID has no colon; ours have no dot either.
  const end = text.indexOf(scheme === "bearer" ? "." : ":");
  if (end > 0) {
    return { manner: { kind: "secret", scheme }, id: text.slice(0, end), secret: text.slice(end + 1) };
  }
  const detail = "wanted Authorization: Bearer ID.SECRET, or Basic with ID:SECRET, got something else";
  return { code: "unauthorized", detail };
}

/** "" for what is none; Buffer would pass over what does not belong there. */
function textOfBase64(text: string): string {
  return BASE64.test(text) ? Buffer.from(text, "base64").toString("utf8") : "";
}
