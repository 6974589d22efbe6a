/** What an origin is asked: its URL, the headers that go along, and whether the question has been there before. */
import type { OriginSettings } from "./bucket-settings.ts";
import type { Fields } from "./origin-answer.ts";

/** What answers are commonly chosen by. Cookies and credentials are not among them: they are this node's, or one client's. */
const FORWARDED = ["accept", "accept-encoding", "accept-language"];
/** Of a client that went elsewhere: not to be given to whoever an origin redirects to. */
const SAME_ORIGIN_ONLY = new Set(["authorization", "cookie"]);
/** What paths may bear as it is. A plus is not among it: some take that for a space. */
const PLAIN = /%(?:24|26|2C|3A|3B|3D|40)/g;

/** Undefined for a key that no URL can name: one with dots for segments would lead out of the origin's own path. */
export function originUrl(settings: OriginSettings, key: string): string | undefined {
  if (key.split("/").some((segment) => segment === "." || segment === "..")) return undefined;
  try {
    const path = key.split("/").map((segment) => encodeURIComponent(segment)).join("/");
    return `${settings.url}/${path.replace(PLAIN, (escape) => decodeURIComponent(escape))}`;
  } catch {
    return undefined; // half of a surrogate pair
  }
}

/** What of a request's headers the origin is shown; nothing else can an answer depend on. */
export function forwardedFields(
  settings: OriginSettings,
  header: (name: string) => string | undefined,
): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const name of [...FORWARDED, ...settings.forward ?? []]) {
    const value = header(name) as unknown;
    // Of a name like `constructor` a request that bears none says something else.
    if (typeof value === "string") fields[name] = value;
  }
  return fields;
}

/** RFC 9110 section 7.6.3, RFC 8586: what says that a request came through here. */
export function passedOn(header: (name: string) => string | undefined, id: string): Record<string, string> {
  const via = header("via");
  const loop = header("cdn-loop");
  return {
    via: via === undefined ? `1.1 ${id}` : `${via}, 1.1 ${id}`,
    "cdn-loop": loop === undefined ? id : `${loop}, ${id}`,
  };
}

/** Whether the request came through here before. */
export function isLoop(header: (name: string) => string | undefined, id: string): boolean {
  const members = (text: string | undefined) => (text ?? "").split(",").map((member) => member.trim());
  return members(header("cdn-loop")).some((member) => member.split(";")[0]!.trim() === id) ||
    members(header("via")).some((member) => member.split(/\s+/)[1] === id);
}

/** Where a redirect leads, or undefined where it is none that can be followed. */
export function redirectTarget(
  from: string,
  status: number,
  location: string | undefined,
): string | undefined {
  if (![301, 302, 303, 307, 308].includes(status) || location === undefined) return undefined;
  const url = URL.parse(location, from);
  if (!url || (url.protocol !== "http:" && url.protocol !== "https:")) return undefined;
  if (url.username + url.password !== "") return undefined;
  url.hash = "";
  return url.href;
}

/** What may go along to where a redirect leads. */
export function fieldsFor(from: string, to: string, fields: Fields): Fields {
  if (URL.parse(from)?.origin === URL.parse(to)?.origin) return fields;
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !SAME_ORIGIN_ONLY.has(name)));
}
