/** One connection's worth of bytes for the peer listener: HTTP/2 requests, signed well, badly or not, then what ends it. */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { bodyDigest, NO_DIGEST, PeerSigner } from "../../src/http/peer-auth.ts";
import { type CallRequest, encodeRequest, type Frame, joinFrames } from "../../src/http/peer-codec.ts";
import { CALL_PATH, CHUNK_PATH, type PeerSelf, requestHeaders } from "../../src/http/peer-headers.ts";
import type { Clock, PeerRequest } from "../../src/ports.ts";
import { createSeededRandom, type SeededRandom } from "../helpers/fake-random.ts";
import { exchanges } from "../helpers/peer-messages.ts";
import { http2Script, requestFrames } from "./http2-script.ts";
import { bendBytes, bendText } from "./mutation.ts";
import type { Script } from "./script.ts";

const MESSAGES_OF_A_KIND = 60;
/** Each holds tables of a thousand rows. */
const LAYOUTS = 3;
const SIGNED_HEADERS = [
  "atoll-auth",
  "atoll-from",
  "atoll-to",
  "atoll-ring",
  "atoll-layout",
  "atoll-protocol",
  "atoll-understands",
  "atoll-owed",
  "traceparent",
];

export interface PeerTarget {
  readonly secret: string;
  /** Of the node that is asked. */
  readonly nodeId: string;
  readonly ringId: string;
  readonly clock: Clock;
}

/** Makes scripts; the messages in them are few, made once, so that what is stored of them stays small. */
export function createPeerScripts(target: PeerTarget, seed: number): (random: SeededRandom) => Script {
  const self: PeerSelf = { nodeId: "fuzzer", ringId: target.ringId, layoutNumber: 1 };
  const signers = Array.from(
    { length: 4 },
    (_, i) =>
      new PeerSigner({
        secret: target.secret,
        clock: target.clock,
        random: createSeededRandom(seed + i + Date.now()),
      }),
  );
  const liar = new PeerSigner({
    secret: "not the secret at all",
    clock: target.clock,
    random: createSeededRandom(seed),
  });
  const messages = pool(seed);
  let turn = 0;

  function call(stream: number, random: SeededRandom): Buffer[] {
    const frames = Array.from({ length: 1 + random.below(3) }, () => random.pick(messages));
    let body: Buffer = joinFrames(frames);
    if (random.chance(0.4)) body = bendBytes(body, random);
    return sent(stream, "POST", CALL_PATH, body, bodyDigest(body), random);
  }

  function chunk(stream: number, random: SeededRandom): Buffer[] {
    const bytes = Buffer.from(`chunk ${random.below(50)}`);
    let id = createHash("sha256").update(bytes).digest("hex");
    if (random.chance(0.2)) id = random.chance(0.5) ? random.hex(32) : bendText(id, random);
    const reads = random.chance(0.5);
    return sent(stream, reads ? "GET" : "PUT", CHUNK_PATH + id, reads ? undefined : bytes, NO_DIGEST, random);
  }

  function sent(
    stream: number,
    method: string,
    path: string,
    body: Buffer | undefined,
    digest: string,
    random: SeededRandom,
  ): Buffer[] {
    const options = { method, path, expect: random.chance(0.3) ? target.nodeId : undefined };
    const { signed, headers } = requestHeaders(self, options);
    const fate = random.below(10);
    if (fate < 8) {
      // In the order in which they are sent: a nonce that is overtaken by too many is one too old.
      const signature = (fate === 7 ? liar : signers[turn++ % signers.length]!).sign(signed, digest);
      headers["atoll-auth"] = signature.header;
    }
    if (random.chance(0.1)) {
      const name = random.pick(SIGNED_HEADERS);
      headers[name] = bendText(headers[name] ?? "1", random).replace(/[^\x20-\x7e]/g, "").trim();
    }
    const all = {
      ":method": method,
      ":path": path,
      ":scheme": "http",
      ":authority": "fuzz.test",
      ...headers,
    };
    return requestFrames(stream, all, body, random);
  }

  return (random) =>
    http2Script(random, (stream) => (random.chance(0.7) ? call : chunk)(stream, random), call);
}

/** Encoded; every third speaks of a layout that is not the ring's. */
function pool(seed: number): Frame[] {
  return (Object.keys(exchanges) as PeerRequest["type"][])
    .filter((type) => type !== "chunk-put" && type !== "chunk-get")
    .flatMap((type) =>
      fc.sample(exchanges[type], { seed, numRuns: type === "decree-accept" ? LAYOUTS : MESSAGES_OF_A_KIND })
    )
    .map(({ request }, i) => encodeRequest({ request: request as CallRequest, layout: i % 3 === 0 ? 2 : 1 }));
}
