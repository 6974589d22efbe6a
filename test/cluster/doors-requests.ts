/**
 * Attempts to get in by the public door with credentials that are none, or not enough, and by paths and headers that look
 * like others. What is stored: CONTENT as docs/a, docs/in/a and other/a.
 */
import { createHash } from "node:crypto";
import { basic, bearer, CLUSTER_SECRET, KEYS, presigned } from "../helpers/credentials.ts";

const { admin, reader, dropper } = KEYS;
/** Stands in what is stored and may not be seen. */
export const CONTENT = "the content that nobody may see";
export const CONTENT_SHA256 = createHash("sha256").update(CONTENT).digest("hex");

export interface Attempt {
  readonly what: string;
  readonly status: number;
  readonly method?: string;
  readonly target: string | (() => string);
  /** Header lines beside Host, as they go onto the wire. */
  readonly lines?: readonly string[];
  readonly host?: string;
  readonly body?: string;
}

export const auth = (value: string) => `Authorization: ${value}`;
const base64 = (text: string) => Buffer.from(text).toString("base64");

export const REQUESTS: readonly Attempt[] = [
  // Without credentials, or with ones that are none.
  { what: "read without credentials", status: 401, target: "/docs/a" },
  { what: "HEAD without credentials", status: 401, method: "HEAD", target: "/docs/a" },
  { what: "what is not there looks the same", status: 401, target: "/docs/none" },
  { what: "write without credentials", status: 401, method: "PUT", target: "/docs/new", body: "x" },
  { what: "delete without credentials", status: 401, method: "DELETE", target: "/docs/a" },
  { what: "list without credentials", status: 401, target: "/docs?prefix=" },
  { what: "list buckets without credentials", status: 401, target: "/" },
  { what: "an unknown ID", status: 401, target: "/docs/a", lines: [auth(`Bearer nobody.${admin.secret}`)] },
  { what: "a wrong secret", status: 401, target: "/docs/a", lines: [auth(`Bearer root.${reader.secret}`)] },
  { what: "a secret that is cut", status: 401, target: "/docs/a", lines: [auth(bearer(admin).slice(0, -1))] },
  {
    what: "a secret with more behind it",
    status: 401,
    target: "/docs/a",
    lines: [auth(`${bearer(admin)}0`)],
  },
  {
    what: "a secret in other case",
    status: 401,
    target: "/docs/a",
    lines: [auth(`Bearer root.${admin.secret.toUpperCase()}`)],
  },
  { what: "an empty secret", status: 401, target: "/docs/a", lines: [auth("Bearer root.")] },
  { what: "no secret", status: 401, target: "/docs/a", lines: [auth("Bearer root")] },
  { what: "no ID", status: 401, target: "/docs/a", lines: [auth(`Bearer .${admin.secret}`)] },
  {
    what: "an ID of the language's own",
    status: 401,
    target: "/docs/a",
    lines: [auth("Bearer __proto__.undefined")],
  },
  {
    what: "a scheme that is none",
    status: 401,
    target: "/docs/a",
    lines: [auth(`Token root.${admin.secret}`)],
  },
  { what: "no scheme", status: 401, target: "/docs/a", lines: [auth(`root.${admin.secret}`)] },
  {
    what: "Basic that is no base64",
    status: 401,
    target: "/docs/a",
    lines: [auth(`Basic root:${admin.secret}`)],
  },
  {
    what: "Basic with the dot of Bearer",
    status: 401,
    target: "/docs/a",
    lines: [auth(`Basic ${base64(`root.${admin.secret}`)}`)],
  },
  {
    what: "Bearer with what belongs to Basic",
    status: 401,
    target: "/docs/a",
    lines: [auth(basic(admin).replace("Basic", "Bearer"))],
  },
  {
    what: "Basic with a wrong secret",
    status: 401,
    target: "/docs/a",
    lines: [auth(basic({ ...admin, secret: "wrong" }))],
  },
  { what: "two schemes in one", status: 401, target: "/docs/a", lines: [auth(`Basic x, ${bearer(admin)}`)] },
  {
    what: "a cookie instead",
    status: 401,
    target: "/docs/a",
    lines: [`Cookie: Authorization=${bearer(admin)}`],
  },
  {
    what: "a proxy's credentials",
    status: 401,
    target: "/docs/a",
    lines: [`Proxy-Authorization: ${bearer(admin)}`],
  },
  {
    what: "who a proxy says it is",
    status: 401,
    target: "/docs/a",
    lines: ["X-Forwarded-User: root", "X-Forwarded-For: 127.0.0.1"],
  },
  {
    what: "the cluster's secret",
    status: 401,
    target: "/docs/a",
    lines: [auth(`Bearer root.${CLUSTER_SECRET}`)],
  },
  { what: "credentials in the target", status: 401, target: `http://root:${admin.secret}@atoll.test/docs/a` },

  // With a key that may do other things.
  { what: "another bucket", status: 403, target: "/other/a", lines: [auth(bearer(reader))] },
  { what: "another bucket, absent", status: 403, target: "/other/none", lines: [auth(bearer(reader))] },
  {
    what: "another action",
    status: 403,
    method: "PUT",
    target: "/docs/new",
    lines: [auth(bearer(reader))],
    body: "x",
  },
  {
    what: "delete with a reader's key",
    status: 403,
    method: "DELETE",
    target: "/docs/a",
    lines: [auth(bearer(reader))],
  },
  {
    what: "out of the prefix",
    status: 403,
    method: "PUT",
    target: "/docs/new",
    lines: [auth(bearer(dropper))],
    body: "x",
  },
  {
    what: "out of the prefix by its like",
    status: 403,
    method: "PUT",
    target: "/docs/in",
    lines: [auth(bearer(dropper))],
    body: "x",
  },
  {
    what: "out of the prefix by case",
    status: 403,
    method: "PUT",
    target: "/docs/IN/new",
    lines: [auth(bearer(dropper))],
    body: "x",
  },
  {
    what: "out of the prefix by a slash",
    status: 403,
    method: "PUT",
    target: "/docs//in/new",
    lines: [auth(bearer(dropper))],
    body: "x",
  },
  {
    what: "out of the prefix by escaping twice",
    status: 403,
    method: "PUT",
    target: "/docs/%2569n/new",
    lines: [auth(bearer(dropper))],
    body: "x",
  },
  {
    what: "read what may only be written",
    status: 403,
    target: "/docs/in/a",
    lines: [auth(bearer(dropper))],
  },
  {
    what: "ask by a condition",
    status: 403,
    method: "PUT",
    target: "/docs/in/a",
    lines: [auth(bearer(dropper)), `If-Match: "${CONTENT_SHA256}"`],
    body: "x",
  },
  { what: "list above the prefix", status: 403, target: "/docs?prefix=i", lines: [auth(bearer(dropper))] },
  { what: "the ring", status: 403, target: "/_/ring", lines: [auth(bearer(reader))] },
  {
    what: "an origin in the machine's own network",
    status: 403,
    method: "PUT",
    target: "/_/buckets/docs",
    lines: [auth(bearer(reader))],
    body: '{"origin":{"url":"http://169.254.169.254/latest"}}',
  },
  { what: "keys by a reader", status: 403, target: "/_/keys", lines: [auth(bearer(reader))] },
  {
    what: "make oneself an admin",
    status: 403,
    method: "POST",
    target: "/_/keys",
    lines: [auth(bearer(reader))],
    body: '{"id":"mine","grants":[{"actions":["admin"]}]}',
  },
  {
    what: "purge",
    status: 403,
    method: "POST",
    target: "/_/purge",
    lines: [auth(bearer(reader))],
    body: '{"bucket":"docs","prefix":""}',
  },
  {
    what: "the route of what may not be read",
    status: 403,
    target: "/_/route/other/a",
    lines: [auth(bearer(reader))],
  },
  { what: "the metrics", status: 401, target: "/metrics" },
  {
    what: "sign what may not be done",
    status: 403,
    method: "POST",
    target: "/_/presign",
    lines: [auth(bearer(reader))],
    body: '{"method":"PUT","bucket":"docs","key":"a"}',
  },
  {
    what: "another site's form",
    status: 403,
    method: "POST",
    target: "/_/purge",
    lines: [auth(basic(admin)), "Sec-Fetch-Site: cross-site"],
    body: '{"bucket":"docs","prefix":""}',
  },
  {
    what: "another site's form by an old browser",
    status: 403,
    method: "POST",
    target: "/_/purge",
    lines: [auth(basic(admin)), "Origin: https://evil.example"],
    body: '{"bucket":"docs","prefix":""}',
  },
  {
    what: "another site's form that hides where it is from",
    status: 403,
    method: "POST",
    target: "/_/purge",
    lines: [auth(basic(admin)), "Origin: null"],
    body: '{"bucket":"docs","prefix":""}',
  },
  {
    what: "a neighbouring site's page",
    status: 403,
    method: "DELETE",
    target: "/docs/a",
    lines: [auth(basic(admin)), "Origin: http://atoll.test:3000", "Sec-Fetch-Site: same-site"],
  },

  // Paths and methods that look like others.
  { what: "the ring's own bucket", status: 401, target: "/_/../_/keys/0" },
  {
    what: "the ring's own bucket, escaped",
    status: 400,
    target: "/%5f/keys/0",
    lines: [auth(bearer(admin))],
  },
  { what: "a page by an escape", status: 400, target: "/%5F/ring", lines: [auth(bearer(reader))] },
  {
    what: "a page behind the route page",
    status: 400,
    target: "/_/route/../ring",
    lines: [auth(bearer(reader))],
  },
  { what: "dots out of a public-looking path", status: 400, target: "/livez/../docs/a" },
  { what: "a probe with more behind it", status: 400, target: "/livez/docs/a" },
  {
    what: "a method in a header",
    status: 403,
    method: "POST",
    target: "/_/scrub",
    lines: [auth(bearer(reader)), "X-HTTP-Method-Override: GET"],
  },
  {
    what: "PUT by way of a GET",
    status: 401,
    target: "/docs/new",
    lines: ["X-HTTP-Method-Override: PUT", "X-Original-URL: /livez"],
  },
  {
    what: "another path in a header",
    status: 401,
    target: "/docs/a",
    lines: ["X-Original-URL: /livez", "X-Rewrite-URL: /livez"],
  },
  { what: "absolute form", status: 401, target: "http://127.0.0.1/docs/a" },
  { what: "absolute form of another host", status: 401, target: "http://evil.test/docs/a" },
  { what: "another host", status: 401, target: "/docs/a", host: "localhost" },
  { what: "a host that is a path", status: 400, target: "/docs/a", host: "x/livez?" },
  { what: "two hosts", status: 400, target: "/docs/a", lines: ["Host: other.test"] },
  { what: "an unknown method", status: 405, method: "PATCH", target: "/docs/a", body: "x" },
  {
    what: "TRACE, which would echo credentials",
    status: 405,
    method: "TRACE",
    target: "/docs/a",
    lines: [auth(bearer(admin))],
  },

  // Headers that two servers would understand differently.
  {
    what: "two Authorization headers, the right one first",
    status: 400,
    target: "/docs/a",
    lines: [auth(bearer(admin)), auth("Bearer x.y")],
  },
  {
    what: "two Authorization headers, the right one last",
    status: 400,
    target: "/docs/a",
    lines: [auth("Bearer x.y"), auth(bearer(admin))],
  },
  {
    what: "the same Authorization twice",
    status: 400,
    target: "/docs/a",
    lines: [auth(bearer(admin)), auth(bearer(admin))],
  },
  {
    what: "a header and a presigned URL",
    status: 400,
    target: () => presigned(reader, "/docs/a"),
    lines: [auth(bearer(reader))],
  },
  {
    what: "a space before the colon",
    status: 400,
    target: "/docs/a",
    lines: [`Authorization : ${bearer(admin)}`],
  },
  { what: "a folded line", status: 400, target: "/docs/a", lines: ["X-A: b", ` ${auth(bearer(admin))}`] },
  { what: "a line feed alone", status: 400, target: "/docs/a", lines: [`X-A: b\n${auth(bearer(admin))}`] },
  {
    what: "a carriage return alone",
    status: 400,
    target: "/docs/a",
    lines: [`X-A: b\r${auth(bearer(admin))}`],
  },
  { what: "a NUL in a header", status: 400, target: "/docs/a", lines: [auth(`${bearer(admin)}\0`)] },
  {
    what: "length and chunks",
    status: 400,
    method: "PUT",
    target: "/docs/in/new",
    lines: [auth(bearer(dropper)), "Transfer-Encoding: chunked"],
    body: "0\r\n\r\n",
  },
  {
    what: "two lengths",
    status: 400,
    method: "PUT",
    target: "/docs/in/new",
    lines: [auth(bearer(dropper)), "Content-Length: 5"],
    body: "x",
  },
  {
    what: "a header of 40 KiB",
    status: 431,
    target: "/docs/a",
    lines: [auth(`Bearer root.${"x".repeat(40_000)}`)],
  },
];
