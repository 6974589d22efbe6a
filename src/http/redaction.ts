/** Request targets as they may stand in a log: presigned URLs carry what opens the door in their query. */

/** Parameters whose values are shown; whatever else stands there may be a secret, under whatever name. */
const SHOWN = new Set(["prefix", "delimiter", "limit", "after", "atoll-key", "atoll-expires"]);
const TARGET_CHARS_MAX = 8_192;

export function redactedTarget(target: string): string {
  const question = target.indexOf("?");
  if (question === -1) return withoutUser(target);
  let shown = withoutUser(target.slice(0, question));
  const query = target.slice(question + 1, TARGET_CHARS_MAX);
  // Pair by pair: by a presigned URL each request comes here.
  for (let at = 0, end; at <= query.length; at = end + 1) {
    const and = query.indexOf("&", at);
    end = and === -1 ? query.length : and;
    shown += (at === 0 ? "?" : "&") + redactedPair(query.slice(at, end));
  }
  return shown;
}

function redactedPair(pair: string): string {
  const equals = pair.indexOf("=");
  if (equals === -1) return pair === "" || SHOWN.has(pair) ? pair : "***";
  const name = pair.slice(0, equals);
  return SHOWN.has(name) ? pair : `${name.slice(0, 40)}=***`;
}

/** `http://ID:SECRET@host/***`: some client may send that as it is. */
function withoutUser(path: string): string {
  return path.startsWith("/") ? path : path.replace(/^([^/]*:\/\/)[^/]*@/, "$1***@");
}
