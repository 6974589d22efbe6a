/**
 * Clients that read, write, compare-and-swap and delete a few objects through several nodes while messages are late,
 * lost and repeated, links are cut, and nodes crash and come back: the history of each object, for the checker to judge.
 */
import { isAtollError } from "../../src/errors.ts";
import { createSeededRandom, type SeededRandom } from "./fake-random.ts";
import type { Operation } from "./linearizability.ts";
import { MemoryRing } from "./memory-ring.ts";
import { ask, type Input, type Output } from "./memory-ring-model.ts";

export interface History {
  readonly name: string;
  readonly operations: Operation<Input, Output>[];
  /** How operations ended, for counting. */
  readonly ends: Map<string, number>;
}

/** Objects in one world; each has its own clients, all have the same troubles. */
export const HISTORIES_PER_WORLD = 6;
/** Between two looks at whether an answer is there, or whoever owes it is gone. */
const POLL_MS = 5;

/** Everything follows from the seed. */
export async function playWorld(seed: number): Promise<History[]> {
  const random = createSeededRandom(seed);
  const { ring, ids } = await openRing(seed, random);
  const heal = makeUnreliable(ring, random);
  const worlds = Array.from(
    { length: HISTORIES_PER_WORLD },
    (_, n) => new World(ring, ids, random, `${seed} ${n}`),
  );
  const clients = worlds.flatMap((world) =>
    Array.from({ length: 2 + random.below(3) }, () => world.client())
  );
  await ring.run(Promise.all([...clients, makeTrouble(ring, ids, random)]), `seed ${seed}`, 600_000);

  // Quiet: every node answers, and says the same.
  heal();
  await ring.clock.advance(5_000);
  await ring.run(
    Promise.all(worlds.flatMap((world) => ids.map((id) => world.lastRead(id)))),
    `quiet ${seed}`,
  );
  ring.close();
  return worlds.map(({ history }) => history);
}

async function openRing(seed: number, random: SeededRandom) {
  const ids = random.pick([["a", "b", "c"], ["a", "b", "c", "d"], ["a", "b", "c", "d", "e"]]);
  const ring = await MemoryRing.open({
    ids,
    seed,
    replicas: ids.length === 5 && random.chance(0.5) ? 5 : 3,
    delayMs: (_, random) => 1 + random.fraction() * 4,
    diskMs: (random) => random.fraction() * 4,
    skewMs: (id) => 1_000 * (ids.indexOf(id) - 2),
  });
  return { ring, ids };
}

function makeUnreliable(ring: MemoryRing, random: SeededRandom): () => void {
  const lossy = random.pick([0, 0.02, 0.1]);
  const doubling = random.pick([0, 0.1, 0.3]);
  const slowestMs = random.pick([3, 30, 300]);
  return ring.network.rule(() => ({
    lost: random.chance(lossy),
    copies: random.chance(doubling) ? 2 : 1,
    delayMs: 1 + random.fraction() * (random.chance(0.2) ? slowestMs : 3),
  }));
}

/** One node at a time falls silent, is cut off, or crashes and comes back with what is on its disk. */
async function makeTrouble(ring: MemoryRing, ids: readonly string[], random: SeededRandom): Promise<void> {
  for (let count = random.below(6); count > 0; count--) {
    await wait(ring, random.fraction() * 300);
    const id = random.pick(ids);
    if (random.chance(0.5)) {
      const end = random.chance(0.5) ? ring.network.hang(id) : ring.network.refuse(id);
      await wait(ring, random.fraction() * 1_000);
      end();
    } else {
      ring.crash(id);
      await wait(ring, random.fraction() * 200);
      await ring.start(id);
    }
  }
}

class World {
  readonly history: History;
  readonly #ring: MemoryRing;
  readonly #ids: readonly string[];
  readonly #random: SeededRandom;
  /** Moments count up with each event: two events of one ms still have an order. */
  #moment = 0;
  #texts = 0;

  constructor(ring: MemoryRing, ids: readonly string[], random: SeededRandom, label: string) {
    this.#ring = ring;
    this.#ids = ids;
    this.#random = random;
    this.history = { name: `bucket\0${label}`, operations: [], ends: new Map() };
  }

  async client(): Promise<void> {
    const random = this.#random;
    let seen = 0;
    for (let count = 3 + random.below(4); count > 0; count--) {
      await wait(this.#ring, random.fraction() * random.pick([2, 20, 200]));
      const text = `${this.history.name} ${this.#texts++}`;
      const input: Input = random.pick<Input>([
        { kind: "read" },
        { kind: "read" },
        { kind: "put", text },
        { kind: "put", text },
        { kind: "create", text },
        { kind: "cas", text, ifVersion: seen },
        { kind: "cas", text, ifVersion: seen },
        { kind: "delete" },
      ]);
      seen = (await this.#perform(random.pick(this.#ids), input))?.version ?? seen;
    }
  }

  async lastRead(id: string): Promise<void> {
    if (!await this.#perform(id, { kind: "read" })) {
      throw new Error(`wanted an answer from ${id}, all is quiet`);
    }
  }

  async #perform(id: string, input: Input): Promise<Output | undefined> {
    if (!this.#ring.isUp(id)) return undefined;
    const calledAt = this.#moment++;
    const output = await this.#outcome(id, input);
    this.#count(typeof output === "string" ? output : output.kind);
    // `no-quorum` promises that it was not and will not be applied: then it is no part of the history at all.
    if (output === "no-quorum") return undefined;
    const known = output === "unknown" ? undefined : output;
    const returnedAt = known ? this.#moment++ : Infinity;
    this.history.operations.push({ input, output: known, calledAt, returnedAt });
    return known;
  }

  async #outcome(id: string, input: Input): Promise<Output | "unknown" | "no-quorum"> {
    const { life } = this.#ring.site(id);
    const progress = { answered: false };
    const answer = ask(this.#ring.node(id), this.history.name, input).finally(() => {
      progress.answered = true;
    });
    answer.catch(() => {}); // met below, unless the node crashed
    while (!progress.answered && this.#ring.site(id).life === life) await wait(this.#ring, POLL_MS);
    if (!progress.answered) return "unknown";
    try {
      return await answer;
    } catch (error) {
      if (isAtollError(error, "outcome-unknown")) return "unknown";
      if (isAtollError(error, "no-quorum")) return "no-quorum";
      throw error;
    }
  }

  #count(end: string): void {
    const { ends } = this.history;
    ends.set(end, (ends.get(end) ?? 0) + 1);
  }
}

function wait(ring: MemoryRing, ms: number): Promise<void> {
  return new Promise((resolve) => void ring.clock.after(ms, resolve));
}
