/**
 * What web sites make browsers send to a node that asks nobody who they are, as it is started on a machine by default: they
 * know neither what is there nor that it is, and may not find out or change it.
 */
import type { Attempt } from "./doors-requests.ts";

const HOST = "127.0.0.1:8080";
const PURGE = { method: "POST", target: "/_/purge", body: '{"bucket":"docs","prefix":""}' };
/** All that a form or a simple request can be. */
const SIMPLE = "Content-Type: text/plain";
const EVIL = "Origin: https://evil.example";

const refused: readonly Omit<Attempt, "status">[] = [
  { what: "a page's form", host: HOST, ...PURGE, lines: [SIMPLE, EVIL, "Sec-Fetch-Site: cross-site"] },
  { what: "a page's form, to localhost", host: "localhost", ...PURGE, lines: [SIMPLE, EVIL] },
  { what: "a form of an old browser", host: HOST, ...PURGE, lines: [SIMPLE, EVIL] },
  { what: "a form of nobody's", host: HOST, ...PURGE, lines: [SIMPLE, "Origin: null"] },
  { what: "no origin, but another site", host: HOST, ...PURGE, lines: ["Sec-Fetch-Site: cross-site"] },
  { what: "another port of the machine", host: HOST, ...PURGE, lines: ["Origin: http://127.0.0.1:3000"] },
  { what: "a neighbour by name", host: HOST, ...PURGE, lines: ["Sec-Fetch-Site: same-site"] },
  {
    what: "a page that changes the ring",
    host: HOST,
    method: "POST",
    target: "/_/ring/apply",
    lines: [SIMPLE, EVIL, "Sec-Fetch-Site: cross-site"],
    body: "{}",
  },
  { what: "a page that scrubs", host: HOST, method: "POST", target: "/_/scrub", lines: [EVIL] },
  {
    what: "a page that sets a bucket's rules for itself",
    host: HOST,
    method: "PUT",
    target: "/_/buckets/docs",
    lines: [EVIL],
    body: '{"cors":[{"origins":["*"],"methods":["*"]}]}',
  },
  { what: "a page that stores", host: HOST, method: "PUT", target: "/docs/new", lines: [EVIL], body: "x" },
  { what: "a page that deletes", host: HOST, method: "DELETE", target: "/docs/a", lines: [EVIL] },
  {
    what: "a page that deletes where another origin may",
    host: HOST,
    method: "DELETE",
    target: "/shared/a",
    lines: [EVIL],
  },
  {
    what: "another method than its origin may",
    host: HOST,
    method: "DELETE",
    target: "/shared/a",
    lines: ["Origin: https://shop.example"],
  },
  { what: "a name that means this machine now", host: "evil.example:18082", target: "/docs/a" },
  { what: "such a name, HEAD", host: "evil.example", method: "HEAD", target: "/docs/a" },
  { what: "such a name, a listing", host: "evil.example", target: "/docs" },
  { what: "such a name, the ring", host: "evil.example", target: "/_/ring" },
  { what: "such a name, the metrics", host: "evil.example", target: "/metrics" },
  {
    what: "such a name, as its own origin",
    host: "evil.example:18082",
    method: "PUT",
    target: "/docs/new",
    lines: ["Origin: http://evil.example:18082", "Sec-Fetch-Site: same-origin"],
    body: "x",
  },
  { what: "a name that ends like an address", host: "127.0.0.1.evil.example", target: "/docs/a" },
  { what: "a name that begins like this machine's", host: "localhost.evil.example", target: "/docs/a" },
  { what: "such a name, absolute form", host: "evil.example", target: "http://127.0.0.1/docs/a" },
];
export const OTHER_SITES: readonly Attempt[] = refused.map((one) => ({ ...one, status: 403 }));

/** What must go on as before. */
export const LET_IN: readonly Attempt[] = [
  { what: "no browser", status: 200, host: HOST, ...PURGE },
  { what: "the node's own page", status: 200, host: HOST, ...PURGE, lines: [`Origin: http://${HOST}`] },
  {
    what: "an origin that a bucket's rules let write",
    status: 200,
    host: HOST,
    method: "PUT",
    target: "/shared/a",
    lines: ["Origin: https://shop.example", "Sec-Fetch-Site: cross-site"],
    body: "the content that nobody may see",
  },
  {
    what: "a read, which another page cannot read",
    status: 200,
    host: HOST,
    target: "/livez",
    lines: [EVIL],
  },
  { what: "localhost", status: 200, host: "localhost:8080", target: "/docs/a" },
  { what: "a name of localhost", status: 200, host: "files.localhost", target: "/docs/a" },
  { what: "loopback in six", status: 200, host: "[::1]:8080", target: "/docs/a" },
];
