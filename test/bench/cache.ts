/**
 * `npm run bench:cache`: how much of the traffic the memory cache answers, beside a plain LRU of the same bytes. Objects are
 * asked for by Zipf's law; a share of the questions is a scan, each object of which is asked for once. `--requests N`.
 */
import { createHash } from "node:crypto";
import { parseArgs } from "node:util";
import { LRUCache } from "lru-cache";
import { ChunkMemory } from "../../src/node/chunk-memory.ts";
import { createSeededRandom, type SeededRandom } from "../helpers/fake-random.ts";

const OBJECTS = 20_000;
const SIZES = [1_000, 4_000, 16_000, 64_000, 256_000];
/** Of all objects' bytes. */
const CACHE_SHARES = [0.01, 0.05, 0.1];
const SCAN_SHARES = [0, 0.2, 0.5];
const EXPONENTS = [0.7, 0.9, 1.1];
const ENTRY_BYTES = 128;

const { values } = parseArgs({
  options: { requests: { type: "string", default: "300000" }, seed: { type: "string", default: "1" } },
});
const requests = Number(values.requests);
if (!Number.isSafeInteger(requests) || requests < 1) {
  console.error("wanted --requests as a whole number above 0");
  process.exit(2);
}

interface Cache {
  get(id: string): Uint8Array | undefined;
  missed?(id: string): void;
  keep(id: string, bytes: Uint8Array): void;
}

const sizes = Array.from({ length: OBJECTS }, (_, n) => SIZES[n % SIZES.length]!);
const ids = sizes.map((_, n) => idOf(`object ${n}`));
const allBytes = sizes.reduce((sum, size) => sum + size, 0);
/** One buffer for all: nothing looks into it. */
const content = new Uint8Array(Math.max(...SIZES));

console.log(
  `${OBJECTS} objects of ${SIZES.join(", ")} bytes, ${requests} questions, the first tenth not counted\n` +
    "hits among the questions that are no scan, in percent\n",
);
console.log("Zipf  scan  cache   LRU  memory cache  points more");
for (const exponent of EXPONENTS) {
  for (const scan of SCAN_SHARES) {
    for (const share of CACHE_SHARES) {
      const maxBytes = Math.floor(allBytes * share);
      const [plain, ours] = [plainLru(maxBytes), new ChunkMemory(maxBytes)].map((cache) =>
        100 * hitRatio(cache, exponent, scan)
      ) as [number, number];
      console.log(
        `${exponent.toFixed(1).padStart(4)} ${`${100 * scan} %`.padStart(5)} ${
          `${100 * share} %`.padStart(6)
        } ` +
          `${plain.toFixed(1).padStart(5)} ${ours.toFixed(1).padStart(13)} ${
            (ours - plain).toFixed(1).padStart(12)
          }`,
      );
    }
  }
}

function hitRatio(cache: Cache, exponent: number, scan: number): number {
  const random = createSeededRandom(Number(values.seed));
  const pick = zipf(exponent, random);
  let [hits, counted, scanned] = [0, 0, 0];
  for (let n = 0; n < requests; n++) {
    const isScan = random.chance(scan);
    const object = isScan ? undefined : pick();
    const id = object === undefined ? idOf(`scanned ${scanned++}`) : ids[object]!;
    const size = object === undefined ? SIZES[scanned % SIZES.length]! : sizes[object]!;
    const found = cache.get(id);
    if (!found) {
      cache.missed?.(id);
      cache.keep(id, content.subarray(0, size));
    }
    if (object === undefined || n < requests / 10) continue;
    counted++;
    if (found) hits++;
  }
  return hits / counted;
}

/** Object n with a probability in proportion to 1 / (n + 1) ** exponent, by its place in the running total. */
function zipf(exponent: number, random: SeededRandom): () => number {
  const totals = new Float64Array(OBJECTS);
  let total = 0;
  // The popular ones are of all sizes.
  for (let n = 0; n < OBJECTS; n++) totals[n] = total += (n + 1) ** -exponent;
  return () => {
    const wanted = random.fraction() * total;
    let [low, high] = [0, OBJECTS - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (totals[middle]! > wanted) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}

function plainLru(maxSize: number): Cache {
  const cache = new LRUCache<string, Uint8Array>({
    maxSize,
    sizeCalculation: (bytes) => bytes.length + ENTRY_BYTES,
  });
  return { get: (id) => cache.get(id), keep: (id, bytes) => void cache.set(id, bytes) };
}

function idOf(name: string): string {
  return createHash("sha256").update(name).digest("hex");
}
