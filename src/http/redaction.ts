/** Request targets as they may stand in a log: presigned URLs carry what opens the door in their query. */

/** Parameters whose values are shown; whatever else stands there may be a secret, under whatever name. */
const SHOWN = new Set(["prefix", "delimiter", "limit", "after", "atoll-key", "atoll-expires"]);
const TARGET_CHARS_MAX = 8_192;

export function redactedTarget(target: string): string {
  const question = target.indexOf("?");
  if (question === -1 && target.startsWith("/")) return target;
  const path = question === -1 ? target : target.slice(0, question);
  if (question === -1) return withoutUser(path);
  const pairs = target.slice(question + 1, TARGET_CHARS_MAX).split("&").map((pair) => {
    const equals = pair.indexOf("=");
    if (equals === -1) return pair === "" || SHOWN.has(pair) ? pair : "***";
    const name = pair.slice(0, equals);
    return SHOWN.has(name) ? pair : `${name.slice(0, 40)}=***`;
  });
  return `${withoutUser(path)}?${pairs.join("&")}`;
}

/** `http://ID:SECRET@host/***`: some client may send that as it is. */
function withoutUser(path: string): string {
  return path.startsWith("/") ? path : path.replace(/^([^/]*:\/\/)[^/]*@/, "$1***@");
}
