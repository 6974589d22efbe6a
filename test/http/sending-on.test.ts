/** SendingOn: who is sent where, and above all who is not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PublicRequest } from "../../src/http/request.ts";
import { SendingOn, type SendingOnSettings } from "../../src/http/sending-on.ts";
import type { AtollNode } from "../../src/node/node.ts";
import type { ObjectVersion } from "../../src/node/objects.ts";

const MIB = 1 << 20;
const PROXIED = { "fly-request-id": "01H" };

interface Case {
  readonly mode?: SendingOnSettings["mode"];
  readonly sizeBytes?: number;
  readonly target?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly isHere?: boolean;
  readonly isKeyed?: boolean;
  /** Nearest first; rttMs null: it does not answer. */
  readonly replicas?: readonly { node: string; rttMs: number | null }[];
  readonly cards?: Readonly<Record<string, { publicUrl: string; peerUrl: string }>>;
}

const PUBLIC = {
  self: { publicUrl: "http://self.example", peerUrl: "http://m0.vm.app.internal:8081" },
  a: { publicUrl: "https://a.example/", peerUrl: "http://m1.vm.app.internal:8081" },
  b: { publicUrl: "https://b.example:8443", peerUrl: "http://m2.vm.app.internal:8081" },
};
const LOOPBACK = "http://127.0.0.1:8080";

/** Where to; undefined: nowhere. */
function sent(given: Case): string | undefined {
  const { mode = "redirect", sizeBytes = 16 * MIB, target = "/bucket/a%20key", headers = {} } = given;
  const cards: Record<string, unknown> = given.cards ?? PUBLIC;
  const node = {
    routes: { of: () => ({ node: "self", replicas: given.replicas ?? [{ node: "a", rttMs: 5 }] }) },
    objects: { isHere: () => given.isHere ?? false },
    membership: { card: (id: string) => cards[id] },
    card: () => cards["self"],
  } as unknown as AtollNode;
  const request = {
    method: "GET",
    target,
    isKeyed: given.isKeyed,
    header: (name: string) => headers[name],
  } as unknown as PublicRequest;
  const object = { version: 7, manifest: { size: sizeBytes } } as unknown as ObjectVersion;
  const answer = new SendingOn(node, { mode, minBytes: 8 * MIB }).answer(request, "bucket\0a key", object);
  if (!answer) return undefined;
  assert.equal(answer.headers["Cache-Control"], "no-store");
  assert.equal(answer.headers["Atoll-Version"], "7");
  assert.equal(answer.body, undefined);
  assert.equal(answer.status, mode === "redirect" ? 307 : 409);
  return answer.headers["Location"] ?? answer.headers["fly-replay"];
}

const TO_A = "https://a.example/bucket/a%20key?atoll-sent=self";
const CASES: readonly (readonly [what: string, given: Case, to: string | undefined])[] = [
  ["to the nearest replica", {}, TO_A],
  ["not where a key let the reader in, which would not go along", { isKeyed: true }, undefined],
  [
    "by Fly.io's proxy with a key, which goes along",
    { isKeyed: true, mode: "fly-replay", headers: PROXIED },
    "instance=m1",
  ],
  [
    "with the query it came with",
    { target: "/bucket/k?x=1" },
    "https://a.example/bucket/k?x=1&atoll-sent=self",
  ],
  ["in absolute form", { target: "http://self.example/bucket/a%20key" }, TO_A],
  ["nowhere by default", { mode: "here" }, undefined],
  ["nowhere with what is small", { sizeBytes: 8 * MIB - 1 }, undefined],
  ["somewhere with what is large enough", { sizeBytes: 8 * MIB }, TO_A],
  ["nowhere for a small part", { headers: { range: "bytes=0-99" } }, undefined],
  ["somewhere for a large part", { headers: { range: "bytes=0-" } }, TO_A],
  ["nowhere for no part at all", { headers: { range: "bytes=99999999-" } }, undefined],
  ["nowhere twice", { target: "/bucket/a%20key?atoll-sent=b" }, undefined],
  ["nowhere twice, whatever else is asked", { target: "/bucket/k?x=1&atoll-sent=b" }, undefined],
  ["nowhere who does not want to be", { headers: { "atoll-route": "here" } }, undefined],
  ["nowhere with only-if-cached", { headers: { "cache-control": "only-if-cached" } }, undefined],
  ["nowhere from a replica", { replicas: [{ node: "self", rttMs: 0 }, { node: "a", rttMs: 5 }] }, undefined],
  ["nowhere with what is cached", { isHere: true }, undefined],
  ["past who does not answer", {
    replicas: [{ node: "b", rttMs: null }, { node: "a", rttMs: 5 }],
  }, TO_A],
  ["nowhere where nobody answers", { replicas: [{ node: "a", rttMs: null }] }, undefined],
  ["nowhere where nobody says where it is", { replicas: [{ node: "c", rttMs: 5 }] }, undefined],
  ["past who is on loopback, from elsewhere", {
    replicas: [{ node: "l", rttMs: 1 }, { node: "a", rttMs: 5 }],
    cards: { ...PUBLIC, l: { publicUrl: LOOPBACK, peerUrl: "http://10.0.0.1:8081" } },
  }, TO_A],
  ["past who says loopback and is not, though this node says so too", {
    replicas: [{ node: "l", rttMs: 1 }],
    cards: {
      self: { publicUrl: LOOPBACK, peerUrl: "http://10.0.0.2:8081" },
      l: { publicUrl: LOOPBACK, peerUrl: "http://10.0.0.1:8081" },
    },
  }, undefined],
  ["on one machine", {
    replicas: [{ node: "l", rttMs: 1 }],
    cards: {
      self: { publicUrl: "http://localhost:1", peerUrl: "http://[::1]:2" },
      l: { publicUrl: LOOPBACK, peerUrl: "http://127.0.0.1:8081" },
    },
  }, `${LOOPBACK}/bucket/a%20key?atoll-sent=self`],
  ["by the proxy", { mode: "fly-replay", headers: PROXIED }, "instance=m1"],
  ["by the proxy only what came through it", { mode: "fly-replay" }, undefined],
  ["by the proxy nothing that was replayed", {
    mode: "fly-replay",
    headers: { ...PROXIED, "fly-replay-src": "instance=m9;region=fra;t=1" },
  }, undefined],
  ["by the proxy nothing whose replay failed", {
    mode: "fly-replay",
    headers: { ...PROXIED, "fly-replay-failed": "instance=m1" },
  }, undefined],
  ["by the proxy past who is no machine", {
    mode: "fly-replay",
    headers: PROXIED,
    replicas: [{ node: "x", rttMs: 1 }, { node: "b", rttMs: 2 }],
    cards: { ...PUBLIC, x: { publicUrl: "https://x.example", peerUrl: "http://10.0.0.9:8081" } },
  }, "instance=m2"],
];

for (const [what, given, to] of CASES) {
  test(`SendingOn sends a reader ${what}`, () => assert.equal(sent(given), to));
}
