/** Answers as they may be seen by visitors who may not see all. */
import { AtollError, isAtollError } from "../errors.ts";
import type { Answer } from "./answer.ts";
import { problem } from "./problem.ts";

/**
 * For who wrote or deleted what they may not read: not what was there before, neither its content's digest nor its version
 * (by which it is known how often it was changed), nor its time (which what replaces it never goes before).
 */
export function veiled(answer: Answer, requestId: string): Answer {
  if (answer.status === 412) {
    return problem("precondition-failed", "the object is not in the state asked for", requestId);
  }
  if (answer.status >= 400) return answer;
  const { "Atoll-Version": _, "Last-Modified": __, ...headers } = answer.headers;
  return { ...answer, headers };
}

/** As an answer is veiled: how much a bucket holds is not for who may not list it. */
export function veiledError(error: unknown): unknown {
  if (!isAtollError(error, "storage-full")) return error;
  return new AtollError("storage-full", "wanted room for the object, got none", { cause: error });
}

/** A cache on the way knows nothing of an expiry in a query: it keeps nothing that came by a presigned URL. */
export function forPresigned(answer: Answer): Answer {
  const kept = answer.headers["Cache-Control"];
  if (answer.status >= 400 || kept === "no-store") return answer;
  const headers = untargeted(answer.headers);
  headers["Cache-Control"] = kept === undefined ? "private" : `private, ${kept}`;
  return headers === answer.headers ? answer : { ...answer, headers };
}

/** Without what would go before `Cache-Control`, and knows only what the object itself allows. */
function untargeted(headers: Answer["headers"]): Record<string, string> {
  if (headers["CDN-Cache-Control"] === undefined && headers["Atoll-CDN-Cache-Control"] === undefined) {
    return headers; // as nearly always: made for this request alone, what is to be changed is changed in place
  }
  const { "CDN-Cache-Control": _, "Atoll-CDN-Cache-Control": __, ...others } = headers;
  return others;
}
