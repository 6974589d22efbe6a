import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConnectionEnv } from "../../src/http/answer.ts";
import { isFromOtherSite, isToOwnName } from "../../src/http/other-sites.ts";
import type { PublicRequest } from "../../src/http/request.ts";

const PUBLIC_URL = () => "https://files.example:8443/";

interface Case {
  readonly method?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly encrypted?: boolean;
}

function isForeign({ method = "POST", headers, encrypted = false }: Case): boolean {
  const env = { incoming: { socket: { encrypted } } } as unknown as ConnectionEnv;
  const request = { method, header: (name: string) => headers[name] } as unknown as PublicRequest;
  return isFromOtherSite({ env, raw: undefined, request }, PUBLIC_URL);
}

const host = "node.example:8080";
const evil = { host, origin: "https://evil.example" };
const CASES: readonly (readonly [what: string, given: Case, isForeign: boolean])[] = [
  ["no browser", { headers: { host } }, false],
  ["no browser, and no host", { headers: {} }, false],
  ["another site, by its own word", { headers: { host, "sec-fetch-site": "cross-site" } }, true],
  ["a neighbour", { headers: { host, "sec-fetch-site": "same-site" } }, true],
  ["a word that is none", { headers: { host, "sec-fetch-site": "" } }, true],
  ["the node's own page", { headers: { host, "sec-fetch-site": "same-origin" } }, false],
  ["the address bar", { headers: { host, "sec-fetch-site": "none" } }, false],
  ["the browser knows better than Origin", { headers: { ...evil, "sec-fetch-site": "same-origin" } }, false],
  ["another origin", { headers: evil }, true],
  ["an origin that is nobody's", { headers: { host, origin: "null" } }, true],
  ["an origin that is empty", { headers: { host, origin: "" } }, true],
  ["an origin without a host to compare", { headers: { origin: "http://undefined" } }, true],
  ["its own origin", { headers: { host, origin: "http://node.example:8080" } }, false],
  [
    "its own origin in other case",
    { headers: { host: "NODE.example:8080", origin: `http://${host}` } },
    false,
  ],
  ["its own origin by TLS before it", { headers: { host, origin: `https://${host}` } }, false],
  ["its own origin by TLS", { headers: { host, origin: `https://${host}` }, encrypted: true }, false],
  [
    "its own name without the TLS it has",
    { headers: { host, origin: `http://${host}` }, encrypted: true },
    true,
  ],
  ["its own origin by HTTP/2", {
    headers: { ":authority": host, origin: `https://${host}` },
    encrypted: true,
  }, false],
  ["another port", { headers: { host, origin: "http://node.example:3000" } }, true],
  ["what only begins like it", { headers: { host, origin: `http://${host}.evil.example` } }, true],
  ["its public origin", { headers: { host, origin: "https://files.example:8443" } }, false],
  ["its public name at another port", { headers: { host, origin: "https://files.example" } }, true],
  ...["GET", "HEAD", "OPTIONS"].map((method) =>
    [`${method}, which changes nothing`, { method, headers: evil }, false] as const
  ),
  ...["PUT", "DELETE", "PATCH", "get"].map((method) => [method, { method, headers: evil }, true] as const),
];

for (const [what, given, wanted] of CASES) {
  test(`from another site? ${what}: ${wanted}`, () => assert.equal(isForeign(given), wanted));
}

test("names that nobody else can have are the machine's own and the node's", () => {
  const own = [
    undefined,
    "localhost",
    "LocalHost:8080",
    "localhost.:1",
    "files.localhost:8080",
    "127.0.0.1",
    "127.0.0.1:8080",
    "127.8.9.10:8080",
    "127.1:8080",
    "[::1]",
    "[::1]:8080",
    "files.example",
    "Files.example:8443",
    "files.example:1",
  ];
  const others = [
    "",
    ":8080",
    "evil.example:8080",
    "localhost.evil.example",
    "evillocalhost",
    "127.0.0.1.evil.example",
    "127.evil.example",
    "evil.example:localhost",
    "files.example.evil.example",
    "[::2]",
    "[::1].evil.example",
    "10.0.0.1",
    "0.0.0.0:8080",
    "localhost@evil.example",
    "evil.example#localhost",
    "evil.example\nlocalhost",
  ];
  for (const name of own) assert.equal(isToOwnName(name, PUBLIC_URL), true, String(name));
  for (const name of others) assert.equal(isToOwnName(name, PUBLIC_URL), false, name);
});
