/** One connection's worth of bytes for the public listener: requests, most of them HTTP/1.1, then what ends it. */
import { Buffer } from "node:buffer";
import type { SeededRandom } from "../helpers/fake-random.ts";
import { HEADER_VALUES } from "./header-values.ts";
import { http2Script, requestFrames } from "./http2-script.ts";
import { bendBytes, bendText, numberText, randomBytes } from "./mutation.ts";
import type { Script } from "./script.ts";

const HEADER_NAMES = Object.keys(HEADER_VALUES);
const REQUESTS_MAX = 60;
/** So few that they meet each other, and the store stays small. */
const KEYS = 24;
const ODD_KEYS = [
  "%2e%2e/%2e%2e",
  "a//b/",
  "%F0%9F%98%80",
  "%",
  "%c3%28",
  "..",
  "a%00b",
  "k?x=1",
  "%2f",
  "x".repeat(1_030),
];
const PAGES = [
  "/_/ring",
  "/_/ring/plan",
  "/_/ring/apply",
  "/_/ring/force-recover",
  "/_/purge",
  "/_/route/fuzz-a/k1",
  "/_/route/",
  "/_/nothing",
  "/_/",
  "/_",
  "/_/keys",
  "/_/buckets/fuzz-a",
];
const JSON_BODIES = [
  '{"bucket":"fuzz-a","keys":["k1"]}',
  '{"bucket":"fuzz-a","prefix":"k","soft":true}',
  '{"bucket":"fuzz-b","tags":["a"]}',
  '{"drain":["x"]}',
  '{"base":7,"change":{"weight":{"x":2}}}',
  '{"__proto__":{"a":1}}',
  "[".repeat(5_000),
  "null",
];

export function publicScript(random: SeededRandom): Script {
  const requests = 1 + random.below(REQUESTS_MAX);
  const parts: Buffer[] = [];
  for (let left = requests; left > 0; left--) parts.push(request(random));
  return {
    bytes: Buffer.concat(parts),
    requests,
    tail: tailOf(random),
    cuts: random.chance(0.05),
    pieces: 1 + random.below(3),
  };
}

function tailOf(random: SeededRandom): Buffer | undefined {
  switch (random.below(6)) {
    case 0:
      return bendBytes(request(random), random);
    case 1:
      return randomBytes(random, random.below(400));
    case 2:
      return broken(random);
    case 3:
      return expecting(random);
    case 4:
      return request(random).subarray(0, random.below(200));
  }
  return undefined;
}

interface PublicRequest {
  readonly method: string;
  readonly target: string;
  readonly host: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer | undefined;
  /** The body as HTTP/1.1 sends it in pieces; undefined: whole. */
  readonly pieces: Buffer | undefined;
}

function makeRequest(random: SeededRandom): PublicRequest {
  const method = random.pick([
    "GET",
    "GET",
    "GET",
    "GET",
    "GET",
    "HEAD",
    "HEAD",
    "PUT",
    "DELETE",
    "POST",
    "OPTIONS",
    "PATCH",
  ]);
  const host = random.chance(0.002)
    ? bendText("localhost:80", random).replace(/[^\x21-\x7e]/g, "")
    : "localhost";
  const headers = Array.from({ length: random.below(5) }, () => header(random));
  const body = method === "PUT" || method === "POST" || random.chance(0.02)
    ? bodyOf(method, random)
    : undefined;
  const pieces = body && random.chance(0.3) ? chunked(body, random) : undefined;
  return { method, target: target(method, random), host, headers, body, pieces };
}

function request(random: SeededRandom): Buffer {
  const { method, target, host, headers, body, pieces } = makeRequest(random);
  const lines = [`${method} ${target} HTTP/1.1`, `Host: ${host}`];
  for (const [name, value] of headers) lines.push(`${name}: ${value}`);
  if (pieces) lines.push("Transfer-Encoding: chunked");
  else if (body) lines.push(`Content-Length: ${body.length}`);
  const head = Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  return Buffer.concat([head, pieces ?? body ?? Buffer.alloc(0)]);
}

/** The same requests over HTTP/2, each on a stream of its own. */
export function publicHttp2Script(random: SeededRandom): Script {
  const frames = (stream: number): Buffer[] => {
    const { method, target, host, headers, body, pieces } = makeRequest(random);
    const all: Record<string, string> = {
      ":method": method,
      ":scheme": "https",
      // Deno ends the connection for a path that does not begin with a slash: seldom, then, or little else would be reached.
      ":path": random.chance(0.05) ? target : target.replace(/^http:\/\/[^/]+/, ""),
      ":authority": host,
    };
    for (const [name, value] of headers) all[name.toLowerCase()] = value;
    if (body && !pieces) all["content-length"] = `${body.length}`;
    return requestFrames(stream, all, body, random);
  };
  return http2Script(random, frames, frames);
}

function header(random: SeededRandom): [name: string, value: string] {
  const name = random.pick(HEADER_NAMES);
  const value = HEADER_VALUES[name]!(random);
  return [name, random.chance(0.25) ? bendText(value, random) : value];
}

function target(method: string, random: SeededRandom): string {
  const bucket = random.pick(["fuzz-a", "fuzz-b"]);
  switch (random.below(12)) {
    case 0:
      return `/${bucket}${random.pick(["", "/"])}?${query(random)}`;
    case 1:
      return `/?${query(random)}`;
    case 2:
      return random.pick(PAGES);
    case 3:
      return random.chance(0.05)
        ? "*"
        : random.pick(["/livez", "/readyz", "/readyz?x", `http://other.test/${bucket}/k1`]);
    case 4:
      return `/${bucket}/${random.pick(ODD_KEYS)}`;
    case 5:
      return `/${
        bendText(`${bucket}/k1`, random).replace(/[^\x21-\x5b\x5d-\x7e]/g, random.chance(0.01) ? "\\" : "_")
      }`;
    default:
      // Few are written, so that most reads find what they look for in memory.
      return `/${bucket}/k${random.below(method === "DELETE" ? 2 : KEYS)}`;
  }
}

function query(random: SeededRandom): string {
  return Array.from({ length: random.below(4) }, () => {
    const name = random.pick(["prefix", "delimiter", "limit", "after", "x"]);
    const value = random.pick(["k", "/", "%00", "%", "+", numberText(random), "%F4%8F%BF%BF", "k1"]);
    return `${name}=${value}`;
  }).join("&");
}

function bodyOf(method: string, random: SeededRandom): Buffer {
  if (method === "POST") {
    const text = random.pick(JSON_BODIES);
    return Buffer.from(random.chance(0.3) ? bendText(text, random) : text, "latin1");
  }
  if (random.chance(0.01)) return Buffer.alloc(random.below(200_000), "large");
  return Buffer.from(`content ${random.below(8)}`);
}

function chunked(body: Buffer, random: SeededRandom): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < body.length;) {
    const size = Math.min(body.length - at, 1 + random.below(body.length));
    const extension = random.chance(0.1) ? `;a="${random.hex(2)}"` : "";
    parts.push(
      Buffer.from(`${size.toString(16)}${extension}\r\n`),
      body.subarray(at, at + size),
      Buffer.from("\r\n"),
    );
    at += size;
  }
  parts.push(Buffer.from(random.chance(0.1) ? "0\r\nTrailer-Field: x\r\n\r\n" : "0\r\n\r\n"));
  return Buffer.concat(parts);
}

/** Heads that must be refused, or be waited for in vain. */
function broken(random: SeededRandom): Buffer {
  const lines = random.pick([
    () => ["GET /fuzz-a/k1 HTTP/1.1", "Host: localhost", "Host: b"],
    () => ["GET /fuzz-a/k1 HTTP/1.1"],
    () => ["GET /fuzz-a/k1 HTTP/1.0", `Range: bytes=${numberText(random)}-`],
    () => ["PUT /fuzz-a/k1 HTTP/1.1", "Host: localhost", "Content-Length: 5", "Content-Length: 6"],
    () => ["PUT /fuzz-a/k1 HTTP/1.1", "Host: localhost", "Content-Length: 5", "Transfer-Encoding: chunked"],
    () => ["PUT /fuzz-a/k1 HTTP/1.1", "Host: localhost", `Content-Length: ${numberText(random)}`],
    () => ["PUT /fuzz-a/k1 HTTP/1.1", "Host: localhost", "Transfer-Encoding: gzip, chunked"],
    () => [
      "PUT /fuzz-a/k1 HTTP/1.1",
      "Host: localhost",
      "Transfer-Encoding: chunked",
      "",
      `${random.hex(9)}\r\nabc`,
    ],
    () => ["GET /fuzz-a/k1 HTTP/1.1", "Host: localhost", " folded: line"],
    () => ["GET /fuzz-a/k1 HTTP/1.1", "Host: localhost", `X: ${"y".repeat(40_000)}`],
    () => [
      "GET /fuzz-a/k1 HTTP/1.1",
      "Host: localhost",
      ...Array.from({ length: 3_000 }, (_, i) => `X${i}: y`),
    ],
    () => [`GET /${"z".repeat(40_000)} HTTP/1.1`, "Host: localhost"],
    () => ["GET /fuzz-a/k1 HTTP/9.9", "Host: localhost"],
    () => ["BREW /fuzz-a/k1 HTTP/1.1", "Host: localhost"],
    () => ["CONNECT localhost:443 HTTP/1.1", "Host: localhost"],
    () => [
      "GET /fuzz-a/k1 HTTP/1.1",
      "Host: localhost",
      "Upgrade: h2c",
      "Connection: Upgrade, HTTP2-Settings",
      "HTTP2-Settings: AAMAAABk",
    ],
    () => ["GET /fuzz-a/k1 HTTP/1.1", "Host: localhost", "X: a\0b"],
    () => ["PRI * HTTP/2.0", "", "SM"],
  ])();
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

function expecting(random: SeededRandom): Buffer {
  const expectation = random.pick(["100-continue", "100-Continue", "200-ok", ""]);
  return Buffer.from(
    `PUT /fuzz-a/k1 HTTP/1.1\r\nHost: localhost\r\nExpect: ${expectation}\r\nContent-Length: 9\r\n\r\ncontent 1`,
  );
}
