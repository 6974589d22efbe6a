/**
 * Who may read an answer in a browser although it comes from elsewhere: CORS as in the Fetch standard. Credentials mode is
 * never allowed; a script that has a key sends it in `Authorization`, which a rule has to name.
 */
import type { CorsRule } from "../core/bucket-settings.ts";
import type { PublicRequest } from "./request.ts";

const HEADERS_ASKED_MAX = 100;
const TOKEN = /^[!#$%&'*+.^_`|~0-9a-z-]{1,128}$/;
/** Answers differ by it even where it is not sent. */
const VARY = "Origin";
const VARY_PREFLIGHT = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

/** For the answer to any request at a bucket that has rules. */
export function corsHeaders(rules: readonly CorsRule[], request: PublicRequest): Record<string, string> {
  const asked = request.header("access-control-request-method");
  if (request.method === "OPTIONS" && asked !== undefined) return preflightHeaders(rules, request, asked);
  const origin = request.header("origin");
  const rule = origin === undefined ? undefined : ruleFor(rules, origin, request.method);
  if (!rule) return { Vary: VARY };
  return {
    "Access-Control-Allow-Origin": allowed(rule, origin!),
    ...(rule.expose && rule.expose.length > 0 && { "Access-Control-Expose-Headers": rule.expose.join(", ") }),
    Vary: VARY,
  };
}

/** Whether pages of that origin may change what is stored. */
export function allowsWrite(rules: readonly CorsRule[], origin: string, method: string): boolean {
  return ruleFor(rules, origin, method) !== undefined;
}

/** Fetch standard section 4.8 (CORS-preflight fetch). Without a rule the answer allows nothing, and the browser stops. */
function preflightHeaders(
  rules: readonly CorsRule[],
  request: PublicRequest,
  method: string,
): Record<string, string> {
  const nothing = { Vary: VARY_PREFLIGHT };
  const origin = request.header("origin");
  if (origin === undefined) return nothing;
  const asked = (request.header("access-control-request-headers") ?? "").split(",")
    .map((name) => name.trim().toLowerCase()).filter((name) => name !== "");
  if (asked.length > HEADERS_ASKED_MAX || !asked.every((name) => TOKEN.test(name))) return nothing;
  const rule = rules.find((one) =>
    fitsOrigin(one, origin) && fitsMethod(one, method) && asked.every((name) => fitsHeader(one, name))
  );
  if (!rule) return nothing;
  return {
    "Access-Control-Allow-Origin": allowed(rule, origin),
    "Access-Control-Allow-Methods": method,
    ...(asked.length > 0 && { "Access-Control-Allow-Headers": asked.join(", ") }),
    ...(rule.maxAgeSeconds !== undefined && { "Access-Control-Max-Age": String(rule.maxAgeSeconds) }),
    ...nothing,
  };
}

function ruleFor(rules: readonly CorsRule[], origin: string, method: string): CorsRule | undefined {
  return rules.find((rule) => fitsOrigin(rule, origin) && fitsMethod(rule, method));
}

function fitsOrigin({ origins }: CorsRule, origin: string): boolean {
  return origins.includes("*") || origins.includes(origin);
}

/** A HEAD says nothing that a GET does not. */
function fitsMethod({ methods }: CorsRule, method: string): boolean {
  return methods.includes("*") || methods.includes(method) || (method === "HEAD" && methods.includes("GET"));
}

/** `*` does not stand for Authorization (Fetch standard, CORS non-wildcard request-header name). */
function fitsHeader({ headers = [] }: CorsRule, name: string): boolean {
  return headers.some((one) => one.toLowerCase() === name) ||
    (name !== "authorization" && headers.includes("*"));
}

/** Only an origin that a rule names itself is repeated: it may hold anything that a header may. */
function allowed({ origins }: CorsRule, origin: string): string {
  return origins.includes("*") ? "*" : origin;
}
