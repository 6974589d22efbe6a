/** Answers as they may be seen by visitors who may not see all. */
import type { Answer } from "./answer.ts";
import { problem } from "./problem.ts";

/** For who wrote or deleted what they may not read: not what was there before, neither its content's digest nor its version. */
export function veiled(answer: Answer, requestId: string): Answer {
  if (answer.status === 412) {
    return problem("precondition-failed", "the object is not in the state asked for", requestId);
  }
  if (answer.status !== 204) return answer;
  const { "Atoll-Version": _, ...headers } = answer.headers;
  return { ...answer, headers };
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
