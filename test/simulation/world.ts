/**
 * One run: nodes of production code on simulated disks, network, clocks and randomness, clients, and whatever the seed's
 * mix of faults does to them; then quiet, in which everything must come to rest. Everything follows from the seed, on
 * either runtime: the trace's hash tells whether it did.
 */
import { linearize } from "../helpers/linearizability.ts";
import type { Message } from "../helpers/fake-network.ts";
import { createSeededRandom } from "../helpers/fake-random.ts";
import { HASHING, MemoryRing } from "../helpers/memory-ring.ts";
import { CHUNK_SIZES } from "./bodies.ts";
import { ObjectClients } from "./clients.ts";
import { boundBroken, unrest } from "./convergence.ts";
import { Faults, LATEST_MS, wait } from "./faults.ts";
import { OBJECT_MODEL } from "./model.ts";
import { drawRingMix, RingChanges } from "./ring-changes.ts";
import type { Losses } from "./troubles.ts";

const OBJECTS = 3;
/** Where the ring changes: a change moves some of them, and costs the same for many. */
const OBJECTS_CHANGING = 8;
const OPERATIONS_PER_OBJECT_MAX = 40;
/** Of simulated time. */
const TROUBLE_MS = 30_000;
const QUIET_MAX_MS = 600_000;
const QUIET_STEP_MS = 2_500;
/** Where the ring changes some clients come later, so that there are some while it does. */
const LATER_MS = 20_000;
/** So that a run whose ring stays as it is draws what it would without these. */
const RING_SEED = 0x52494e47;
/** Likewise where one disk at most loses anything. */
const LOSS_SEED = 0x4c4f5353;
/** Of 1, how often two lose something, where that was promised to do no harm. */
const TOGETHER = 0.4;
/** Of the trace, hashed at once. */
const NOTES_CHARACTERS = 1 << 16;
/** Too little for all there is, so that caches let go. */
const MEMORY_CACHE_BYTES = 16 << 10;
const DISK_CACHE_BYTES = 64 << 10;

/** Short, so that everything there is to do in the background is done several times in a run. */
const REPAIR = {
  compareIntervalMs: 5_000,
  scrubCycleMs: 20_000,
  scrubShare: 1,
  garbageGraceMs: 8_000,
  garbageIntervalMs: 3_000,
  lateMessageMs: LATEST_MS + 1_000,
  tombstoneAgeMs: 5_000,
};

export interface Run {
  readonly seed: number;
  /** SHA-256 of every message, commit and answer, with its time. */
  readonly hash: string;
  readonly operations: number;
  /** How operations ended. */
  readonly ends: ReadonlyMap<string, number>;
  readonly troubles: readonly string[];
  /** Of simulated time, until all was at rest. */
  readonly quietMs: number;
}

/** Whether it is a run whose ring changes. */
export function isChanging(seed: number): boolean {
  return drawRingMix(createSeededRandom(seed ^ RING_SEED)) !== undefined;
}

/** Whether it is a run in which several disks lose something. */
export function losesTogether(seed: number): boolean {
  return drawRing(seed).losses !== "one";
}

/** `random`: for all else that is drawn. */
function drawRing(seed: number) {
  const random = createSeededRandom(seed);
  const ids = "abcdefg".slice(0, random.pick([3, 3, 3, 4, 5, 7])).split("");
  const ringSeed = random.below(2 ** 32);
  const replicas = ids.length >= 5 && random.chance(0.4) ? 5 : 3;
  const lossRandom = createSeededRandom(seed ^ LOSS_SEED);
  const isTogether = lossRandom.chance(TOGETHER) && !isChanging(seed);
  const losses: Losses = !isTogether ? "one" : replicas === 5 ? "two" : "apart";
  return { random, ids, ringSeed, replicas, losses, lossRandom };
}

/** Throws what was violated. */
export async function play(seed: number): Promise<Run> {
  const { random, ids, ringSeed, replicas, losses, lossRandom } = drawRing(seed);
  const ringRandom = createSeededRandom(seed ^ RING_SEED);
  const mix = drawRingMix(ringRandom);
  const all = [...ids, ...mix?.spares ?? []];
  let faults: Faults | undefined;
  const ring = new MemoryRing({
    ids,
    seed: ringSeed,
    replicas,
    diskMs: (own) => own.fraction() * 4,
    skewMs: (id) => faults?.skewMs(id) ?? 0,
    repair: REPAIR,
    // Every second run has no content in manifests: so small objects in chunks are as many as others.
    chunkSizes: seed % 2 === 0 ? CHUNK_SIZES : { ...CHUNK_SIZES, inlineBytes: 0 },
    memoryCacheBytes: MEMORY_CACHE_BYTES,
    diskCacheBytes: DISK_CACHE_BYTES,
    ...(mix && { joinAfterMs: mix.joinAfterMs }),
  });
  const trace = HASHING.running("sha256");
  let noted = "";
  const note = (text: string): void => {
    noted += text;
    if (noted.length < NOTES_CHARACTERS) return;
    trace.update(new TextEncoder().encode(noted));
    noted = "";
  };
  try {
    for (const id of ids) await ring.start(id);
    faults = new Faults(ring, ids, createSeededRandom(random.below(2 ** 32)), {
      spares: mix?.spares,
      destroys: mix?.isNarrow !== true,
      losses,
      lossRandom,
    });
    const { gone } = faults;
    const changes = mix && new RingChanges(ring, faults, mix, ringRandom);
    ring.network.rule((message) => {
      note(describe(ring, message));
      return undefined;
    });
    const endMs = ring.clock.monotonicMs() + TROUBLE_MS;
    const objects = Array.from(
      { length: mix ? OBJECTS_CHANGING : OBJECTS },
      (_, n) =>
        new ObjectClients(ring, all, createSeededRandom(random.below(2 ** 32)), `bucket\0${seed}-${n}`),
    );
    const clients = objects.flatMap((object) => {
      const count = 1 + random.below(4);
      const laterMs = mix ? LATER_MS : 0;
      return Array.from(
        { length: count },
        () => object.client(endMs, OPERATIONS_PER_OBJECT_MAX / count, laterMs),
      );
    });
    await ring.run(
      Promise.all([...clients, faults.run(endMs), changes?.run(endMs)]),
      "clients, faults and changes",
      10 * TROUBLE_MS,
    );
    const there = all.filter((id) => !gone.has(id));
    const quietMs = await rest(ring, there, changes);
    await ring.run(
      Promise.all(objects.flatMap((object) => there.map((id) => object.lastRead(id)))),
      "the last reads",
    );
    const broken = boundBroken(ring, there, {
      memoryCacheBytes: MEMORY_CACHE_BYTES,
      diskCacheBytes: DISK_CACHE_BYTES,
    });
    if (broken !== undefined) throw new Error(broken);
    for (const { name, operations } of objects) {
      note(`${name} ${JSON.stringify(operations)}\n`);
      if (!linearize(operations, OBJECT_MODEL)) {
        throw new Error(
          `no order explains ${name}:\n${operations.map((one) => JSON.stringify(one)).join("\n")}`,
        );
      }
    }
    trace.update(new TextEncoder().encode(noted));
    return {
      seed,
      hash: trace.digestHex(),
      operations: objects.reduce((sum, { operations }) => sum + operations.length, 0),
      ends: sum(objects.map(({ ends }) => ends)),
      troubles: faults.happened,
      quietMs,
    };
  } catch (error) {
    const reason = error instanceof Error ? error.stack ?? error.message : String(error);
    throw new Error(`${reason}\ntroubles: ${faults?.happened.join(", ")}`, { cause: error });
  } finally {
    ring.close();
  }
}

/** Resolves with how long it took until nothing was owed, missing, different or left over. */
async function rest(ring: MemoryRing, ids: readonly string[], changes?: RingChanges): Promise<number> {
  const begunMs = ring.clock.monotonicMs();
  let left = "";
  do {
    const stepped = wait(ring, QUIET_STEP_MS);
    await ring.run(stepped, "quiet", 2 * QUIET_STEP_MS);
    if (changes) await ring.run(changes.tend(), "the last change");
    left = await unrest(ring, ids) ?? "";
    if (left === "") return ring.clock.monotonicMs() - begunMs;
  } while (ring.clock.monotonicMs() - begunMs < QUIET_MAX_MS);
  throw new Error(`wanted rest within ${QUIET_MAX_MS} ms, got ${left}`);
}

function describe(ring: MemoryRing, { from, to, request, reply }: Message): string {
  return `${ring.clock.monotonicMs()} ${from} ${to} ${request.type} ${reply?.type ?? ""}\n`;
}

function sum(all: readonly ReadonlyMap<string, number>[]): Map<string, number> {
  const total = new Map<string, number>();
  for (const one of all) for (const [end, count] of one) total.set(end, (total.get(end) ?? 0) + count);
  return total;
}
