/** Text and bytes, bent: what a fuzzer does to things that were right. */
import { Buffer } from "node:buffer";
import type { SeededRandom } from "../helpers/fake-random.ts";

/** What parsers stumble over, of what a header's value may hold. */
const PIECES = [
  "",
  " ",
  "\t",
  ",",
  ";",
  "=",
  '"',
  "\\",
  "-",
  "*",
  ":",
  "0",
  "-0",
  "00",
  "9007199254740993",
  "18446744073709551616",
  "1e9",
  "0x10",
  "NaN",
  "null",
  "__proto__",
  "constructor",
  "%00",
  "%",
  "%zz",
  "%ff",
  "%c0%af",
  "../",
  "{}",
  "[[",
  "\xe9",
  "\xff",
  "A".repeat(200),
  ",".repeat(300),
  '"a",'.repeat(100),
];

/** Of the last 2^31: boundaries more often than anything between them. */
export function numberText(random: SeededRandom): string {
  return random.pick([
    () => String(random.below(5)),
    () => String(random.below(100)),
    () => String(random.below(100_000)),
    () => String(2 ** random.below(64)),
    () => String(2 ** 53 - 1 + random.below(3)),
    () => `-${random.below(100)}`,
    () => `0${random.below(100)}`,
    () => "",
  ])();
}

/** Without line breaks or NUL: a header's value stays one. */
export function bendText(text: string, random: SeededRandom): string {
  let bent = text;
  for (let left = 1 + random.below(3); left > 0; left--) {
    const at = random.below(bent.length + 1);
    switch (random.below(5)) {
      case 0:
        bent = bent.slice(0, at) + random.pick(PIECES) + bent.slice(at);
        break;
      case 1:
        bent = bent.slice(0, at) + bent.slice(at + 1 + random.below(4));
        break;
      case 2:
        bent = bent.slice(0, at) + bent.slice(Math.max(0, at - random.below(20)));
        break;
      case 3:
        bent = bent.slice(0, at) + String.fromCharCode(0x21 + random.below(0x5e)) + bent.slice(at + 1);
        break;
      case 4:
        bent = bent.slice(0, at);
    }
  }
  return bent.slice(0, 2_000);
}

/** Any byte may come of it. */
export function bendBytes(bytes: Uint8Array, random: SeededRandom): Buffer {
  let bent = Buffer.from(bytes);
  for (let left = 1 + random.below(4); left > 0; left--) {
    const at = random.below(bent.length + 1);
    switch (random.below(5)) {
      case 0:
        if (at < bent.length) bent[at] = random.below(256);
        break;
      case 1:
        if (at < bent.length) bent[at] = bent[at]! ^ (1 << random.below(8));
        break;
      case 2:
        bent = Buffer.concat([bent.subarray(0, at), bent.subarray(at + random.below(16))]);
        break;
      case 3:
        bent = Buffer.concat([
          bent.subarray(0, at),
          randomBytes(random, random.below(16)),
          bent.subarray(at),
        ]);
        break;
      case 4:
        bent = bent.subarray(0, at);
    }
  }
  return bent;
}

export function randomBytes(random: SeededRandom, count: number): Buffer {
  const bytes = Buffer.allocUnsafe(count);
  for (let i = 0; i < count; i++) bytes[i] = random.below(256);
  return bytes;
}
