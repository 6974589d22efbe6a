/** One connection's worth of bytes for a listener of HTTP/2: requests, then what ends it. */
import { Buffer } from "node:buffer";
import type { SeededRandom } from "../helpers/fake-random.ts";
import { dataFrames, END_HEADERS, END_STREAM, FRAME, frame, greeting, headerBlock } from "./h2-frames.ts";
import { bendBytes, randomBytes } from "./mutation.ts";
import type { Script } from "./script.ts";

/** Of one connection; the listeners let 128 be under way. */
const REQUESTS_MAX = 100;

/** The frames of one. */
export type MakeRequest = (stream: number, random: SeededRandom) => Buffer[];

/** `makeTail`: what is bent, or cut short, at the end. */
export function http2Script(random: SeededRandom, makeRequest: MakeRequest, makeTail: MakeRequest): Script {
  const parts = [greeting()];
  const streams = 1 + random.below(REQUESTS_MAX);
  let requests = streams;
  for (let stream = 1; stream < 2 * streams; stream += 2) {
    parts.push(...makeRequest(stream, random));
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
    tail: tailOf(2 * streams + 1, random, makeTail),
    cuts: random.chance(0.1),
    pieces: 1 + random.below(3),
  };
}

/** As frames: now and then its headers are bent, its body is, and that is cut in two. */
export function requestFrames(
  stream: number,
  headers: Readonly<Record<string, string>>,
  body: Buffer | undefined,
  random: SeededRandom,
): Buffer[] {
  let block = headerBlock(headers);
  if (random.chance(0.002)) block = bendBytes(block, random);
  if (!body) return [frame(FRAME.headers, END_HEADERS | END_STREAM, stream, block)];
  const sent = random.chance(0.02) ? bendBytes(body, random) : body;
  const cut = random.below(sent.length + 1);
  return [
    frame(FRAME.headers, END_HEADERS, stream, block),
    ...dataFrames(stream, sent.subarray(0, cut), 0),
    ...dataFrames(stream, sent.subarray(cut), END_STREAM),
  ];
}

function tailOf(stream: number, random: SeededRandom, makeTail: MakeRequest): Buffer | undefined {
  switch (random.below(5)) {
    case 0:
      return oddFrame(stream, random);
    case 1:
      return bendBytes(Buffer.concat(makeTail(stream, random)), random);
    case 2:
      return Buffer.concat(makeTail(stream, random)).subarray(0, random.below(300));
    case 3:
      return randomBytes(random, random.below(200));
  }
  return undefined;
}

/** Right in its form, wrong in its place. */
function oddFrame(stream: number, random: SeededRandom): Buffer {
  const type = random.below(12);
  const payload = randomBytes(random, random.pick([0, 4, 5, 6, 8, random.below(64)]));
  const at = random.pick([0, stream, 1, 2, 0x7fffffff, random.below(2 ** 31)]);
  const odd = frame(type, random.below(256), at, payload);
  return random.chance(0.3) ? Buffer.concat(Array.from({ length: 50 }, () => odd)) : odd;
}
