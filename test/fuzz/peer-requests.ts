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
import { END_HEADERS, END_STREAM, FRAME, frame, greeting, headerBlock } from "./h2-frames.ts";
import { bendBytes, bendText, randomBytes } from "./mutation.ts";
import type { Script } from "./script.ts";

/** Of one connection; the listener lets 128 be under way. */
const REQUESTS_MAX = 100;
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
    let block = headerBlock(all);
    if (random.chance(0.002)) block = bendBytes(block, random);
    if (!body) return [frame(FRAME.headers, END_HEADERS | END_STREAM, stream, block)];
    const tail = random.chance(0.02) ? bendBytes(body, random) : body;
    const cut = random.below(tail.length + 1);
    return [
      frame(FRAME.headers, END_HEADERS, stream, block),
      frame(FRAME.data, 0, stream, tail.subarray(0, cut)),
      frame(FRAME.data, END_STREAM, stream, tail.subarray(cut)),
    ];
  }

  return (random) => {
    const parts = [greeting()];
    const streams = 1 + random.below(REQUESTS_MAX);
    let requests = streams;
    for (let stream = 1; stream < 2 * streams; stream += 2) {
      parts.push(...(random.chance(0.7) ? call(stream, random) : chunk(stream, random)));
      if (random.chance(0.02)) {
        parts.push(frame(FRAME.reset, 0, stream, Buffer.from([0, 0, 0, random.below(14)])));
        requests--;
      }
    }
    const bytes = Buffer.concat(parts);
    const isBent = random.chance(0.02);
    return {
      bytes: isBent ? bendBytes(bytes, random) : bytes,
      requests: isBent ? 0 : requests,
      tail: tailOf(2 * streams + 1, random),
      cuts: random.chance(0.1),
      pieces: 1 + random.below(3),
    };
  };

  function tailOf(stream: number, random: SeededRandom): Buffer | undefined {
    switch (random.below(5)) {
      case 0:
        return oddFrame(stream, random);
      case 1:
        return bendBytes(Buffer.concat(call(stream, random)), random);
      case 2:
        return Buffer.concat(call(stream, random)).subarray(0, random.below(300));
      case 3:
        return randomBytes(random, random.below(200));
    }
    return undefined;
  }
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

/** Right in its form, wrong in its place. */
function oddFrame(stream: number, random: SeededRandom): Buffer {
  const type = random.below(12);
  const payload = randomBytes(random, random.pick([0, 4, 5, 6, 8, random.below(64)]));
  const at = random.pick([0, stream, 1, 2, 0x7fffffff, random.below(2 ** 31)]);
  const odd = frame(type, random.below(256), at, payload);
  return random.chance(0.3) ? Buffer.concat(Array.from({ length: 50 }, () => odd)) : odd;
}
