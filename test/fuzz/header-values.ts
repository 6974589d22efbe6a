/** Values of the headers that a node parses: mostly in their form, so that what is behind the form is reached. */
import { createHash } from "node:crypto";
import type { SeededRandom } from "../helpers/fake-random.ts";
import { numberText } from "./mutation.ts";

type Make = (random: SeededRandom) => string;

const some = (random: SeededRandom, max: number, make: Make, between = ", "): string =>
  Array.from({ length: 1 + random.below(max) }, () => make(random)).join(between);

const hash = (algorithm: string, text: string, encoding: "hex" | "base64"): string =>
  createHash(algorithm).update(text).digest(encoding);
/** Of the few contents that are stored. */
const SHA256 = Array.from({ length: 8 }, (_, i) => hash("sha256", `content ${i}`, "hex"));
const DIGESTS = Array.from({ length: 4 }, (_, i) => hash("sha256", `content ${i}`, "base64"));
const LONG_DIGEST = hash("sha512", "content 1", "base64");
const MD5 = hash("md5", "content 1", "base64");

const tag: Make = (random) =>
  random.pick([
    () => `"${random.pick(SHA256)}"`,
    () => `W/"${random.pick(SHA256)}"`,
    () => '""',
    () => `"${random.hex(random.below(40))}"`,
    () => random.pick(["*", "abc", "W/abc", '"', "W/"]),
  ])();

const rangeSpec: Make = (random) =>
  random.pick([
    () => `${numberText(random)}-${numberText(random)}`,
    () => `${random.below(12)}-${random.below(12)}`,
    () => `-${random.below(20)}`,
    () => `${random.below(20)}-`,
  ])();

const date: Make = (random) =>
  random.pick([
    () => new Date(1_700_000_000_000 + random.below(2 ** 31) * 100).toUTCString(),
    () => "Sunday, 06-Nov-94 08:49:37 GMT",
    () => "Sun Nov  6 08:49:37 1994",
    () => "Thu, 31 Feb 2026 25:61:61 GMT",
    () => numberText(random),
  ])();

const DIRECTIVES = [
  "max-age",
  "s-maxage",
  "max-stale",
  "min-fresh",
  "stale-while-revalidate",
  "stale-if-error",
  "no-cache",
  "no-store",
  "private",
  "must-revalidate",
  "only-if-cached",
  "immutable",
  "extension",
];
const cacheControl: Make = (random) =>
  some(random, 5, () => {
    const name = random.pick(DIRECTIVES);
    return random.pick([
      name,
      `${name}=${numberText(random)}`,
      `${name}="${numberText(random)}"`,
      `${name}="a, b"`,
      `${name}=`,
    ]);
  });

const digestField: Make = (random) =>
  some(random, 3, () =>
    random.pick([
      `sha-256=:${random.pick(DIGESTS)}:`,
      `sha-512=:${LONG_DIGEST}:`,
      `sha-256=:${random.hex(10)}:`,
      "sha-256=::",
      "md5=:AAAA:",
      "sha-256",
      "sha-256=1;q=2",
    ]));

const traceparent: Make = (random) =>
  `${random.pick(["00", "01", "ff", "0"])}-${random.hex(random.pick([16, 16, 15]))}-${
    random.hex(random.pick([8, 8, 9]))
  }-${random.hex(1)}${random.pick(["", "", "-x", "-"])}`;

const authorization: Make = (random) =>
  random.pick([
    () => `Bearer ${random.hex(8)}.${random.hex(16)}`,
    () => `Basic ${Buffer.from(`${random.hex(4)}:${random.hex(8)}`).toString("base64")}`,
    () => `Basic ${random.hex(5)}`,
    () => "Bearer",
    () => `AWS4-HMAC-SHA256 Credential=${random.hex(8)}/20260101/us-east-1/s3/aws4_request`,
  ])();

const address: Make = (random) =>
  random.pick([
    () => `10.${random.below(256)}.${random.below(256)}.${random.below(300)}`,
    () => `2001:db8::${random.hex(2)}`,
    () => "[::1]:80",
    () => "unknown",
  ])();

/** By the name that is sent. */
export const HEADER_VALUES: Readonly<Record<string, Make>> = {
  Range: (random) => `bytes=${some(random, 6, rangeSpec, random.pick([",", ", ", " ,"]))}`,
  "If-Range": (random) => random.pick([tag, date])(random),
  "If-Match": (random) => some(random, 4, tag),
  "If-None-Match": (random) => some(random, 4, tag),
  "If-Modified-Since": date,
  "If-Unmodified-Since": date,
  "Cache-Control": cacheControl,
  "CDN-Cache-Control": cacheControl,
  "Atoll-CDN-Cache-Control": cacheControl,
  "Surrogate-Control": cacheControl,
  Expires: date,
  "Content-Digest": digestField,
  "Repr-Digest": digestField,
  "Content-MD5": (random) => random.pick([MD5, "AAAA", random.hex(12)]),
  "Content-Range": (random) => `bytes ${rangeSpec(random)}/${numberText(random)}`,
  "Atoll-If-Version": numberText,
  "Atoll-TTL": numberText,
  "Atoll-Meta-Fuzz": (random) => random.hex(random.below(40)),
  "Content-Type": (random) =>
    random.pick([
      "text/html",
      "image/svg+xml",
      "text/plain; charset=x",
      "application/xhtml+xml;a",
      "/",
      "a/b/c",
    ]),
  "Content-Encoding": (random) => random.pick(["gzip", "identity", "gzip, br", "aws-chunked"]),
  "Cache-Tag": (random) => some(random, 5, () => random.hex(random.below(5)), ","),
  traceparent,
  tracestate: (random) => some(random, 4, () => `${random.hex(2)}=${random.hex(3)}`, ","),
  Authorization: authorization,
  Origin: (random) => random.pick(["https://a.example", "null", "https://b.example:8443", "file://", "*"]),
  "Access-Control-Request-Method": (random) => random.pick(["PUT", "GET", "DELETE", "PATCH", "x y"]),
  "Access-Control-Request-Headers": (random) =>
    some(random, 4, () => random.pick(["range", "atoll-ttl", "x"]), ","),
  "X-Forwarded-For": (random) => some(random, 4, address),
  "Fly-Client-IP": address,
  "X-Request-Id": (random) => random.hex(random.below(80)),
  Accept: (random) => random.pick(["*/*", "text/html;q=0.5, */*;q=0", ";;;"]),
  "Accept-Encoding": (random) => random.pick(["gzip", "br;q=1.0, gzip;q=0.8", "*"]),
};
