/**
 * What goes wrong in a run. Each seed draws its own mix (swarm testing: Groce et al., 2012): a run in which everything
 * fails at once hardly ever gets anywhere, and never meets what needs one thing often and another not at all.
 *
 * What destroys data hits one node only, the victim: more than that was never promised. Everything else may hit anybody.
 */
import type { SeededRandom } from "../helpers/fake-random.ts";
import type { Fate, Message } from "../helpers/fake-network.ts";
import type { MemoryRing } from "../helpers/memory-ring.ts";

/** Of 1, how often a fault is part of a run. */
const OFTEN = 0.4;

export class Faults {
  readonly #ring: MemoryRing;
  readonly #ids: readonly string[];
  readonly #random: SeededRandom;
  readonly #victim: string;
  readonly #loss: number;
  readonly #doubling: number;
  readonly #slowestMs: number;
  readonly #kinds: readonly Trouble[];
  readonly #everyMs: number;
  readonly #skews = new Map<string, number>();
  /** Ways from one node to another that are cut, by how many troubles. */
  readonly #cuts = new Map<string, number>();
  readonly #slow = new Set<string>();
  readonly happened: string[] = [];
  #over = false;

  constructor(ring: MemoryRing, ids: readonly string[], random: SeededRandom) {
    this.#ring = ring;
    this.#ids = ids;
    this.#random = random;
    this.#victim = random.pick(ids);
    const drawn = (most: number): number => random.chance(OFTEN) ? random.fraction() * most : 0;
    this.#loss = drawn(0.3);
    this.#doubling = drawn(0.3);
    this.#slowestMs = random.pick([5, 50, 500, 5_000]);
    this.#kinds = TROUBLES.filter(() => random.chance(OFTEN));
    this.#everyMs = random.pick([500, 2_000, 5_000]);
    ring.network.rule((message) => this.#fateOf(message));
  }

  skewMs(id: string): number {
    return this.#skews.get(id) ?? 0;
  }

  /** Until `endMs` on the ring's clock; then all that is wrong is put right but what lies on the victim's disk. */
  async run(endMs: number): Promise<void> {
    const { clock } = this.#ring;
    while (this.#kinds.length > 0) {
      await wait(this.#ring, this.#random.fraction() * this.#everyMs);
      if (clock.monotonicMs() >= endMs) break;
      const kind = this.#random.pick(this.#kinds);
      const id = kind.destroys ? this.#victim : this.#random.pick(this.#ids);
      this.happened.push(`${Math.round(clock.monotonicMs())} ${kind.name} ${id}`);
      void kind.strike(this, id);
    }
    await wait(this.#ring, Math.max(0, endMs - clock.monotonicMs()));
    this.#over = true;
    this.#cuts.clear();
    this.#slow.clear();
    this.#skews.clear();
    for (const id of this.#ids) {
      const site = this.#ring.site(id);
      site.disk.isFull = false;
      site.disk.readFails = () => false;
      site.heldUntilMs = 0;
      if (!this.#ring.isUp(id)) await this.restart(id);
    }
  }

  get ring(): MemoryRing {
    return this.#ring;
  }

  get random(): SeededRandom {
    return this.#random;
  }

  get over(): boolean {
    return this.#over;
  }

  get ids(): readonly string[] {
    return this.#ids;
  }

  /** As whoever supervises it would: again and again, until it stays up. */
  async restart(id: string): Promise<void> {
    while (!this.#ring.isUp(id)) {
      const { life } = this.#ring.site(id);
      try {
        await this.#ring.start(id);
      } catch (error) {
        if (this.#ring.site(id).life > life + 1) return; // somebody else did
        this.#ring.crash(id);
        this.happened.push(`${id} did not start: ${String(error)}`);
        await wait(this.#ring, 500);
      }
    }
  }

  async pause(mostMs: number): Promise<void> {
    await wait(this.#ring, this.#random.fraction() * mostMs);
  }

  cut(from: string, to: string): () => void {
    const way = `${from} ${to}`;
    this.#cuts.set(way, (this.#cuts.get(way) ?? 0) + 1);
    return () => void this.#cuts.set(way, Math.max(0, (this.#cuts.get(way) ?? 0) - 1));
  }

  slow(id: string): () => void {
    this.#slow.add(id);
    return () => void this.#slow.delete(id);
  }

  skew(id: string, ms: number): void {
    this.#skews.set(id, ms);
  }

  #fateOf({ from, to }: Message): Fate {
    const random = this.#random;
    const now = this.#ring.clock.monotonicMs();
    const heldMs = Math.max(
      0,
      this.#ring.site(to).heldUntilMs - now,
      this.#ring.site(from).heldUntilMs - now,
    );
    if (this.#over) return { delayMs: heldMs + 1 + random.fraction() * 3 };
    const slow = this.#slow.has(from) || this.#slow.has(to);
    return {
      lost: (this.#cuts.get(`${from} ${to}`) ?? 0) > 0 || random.chance(this.#loss),
      copies: random.chance(this.#doubling) ? 2 : 1,
      delayMs: heldMs + 1 + random.fraction() * (slow || random.chance(0.1) ? this.#slowestMs : 4),
    };
  }
}

interface Trouble {
  readonly name: string;
  /** Takes something away that was synced. */
  readonly destroys?: boolean;
  readonly strike: (faults: Faults, id: string) => void | Promise<void>;
}

const TROUBLES: readonly Trouble[] = [
  {
    name: "crash",
    async strike(faults, id) {
      if (!faults.ring.isUp(id)) return;
      faults.ring.crash(id);
      await faults.pause(5_000);
      if (!faults.over) await faults.restart(id);
    },
  },
  {
    name: "blip",
    async strike(faults, id) {
      if (!faults.ring.isUp(id)) return;
      faults.ring.crash(id);
      await faults.pause(50);
      await faults.restart(id);
    },
  },
  {
    name: "isolate",
    async strike(faults, id) {
      const ends = faults.ids.flatMap((other) => [faults.cut(id, other), faults.cut(other, id)]);
      await faults.pause(8_000);
      for (const end of ends) end();
    },
  },
  {
    name: "one-way cut",
    async strike(faults, id) {
      const ends = faults.ids.filter(() => faults.random.chance(0.5)).map((other) => faults.cut(id, other));
      await faults.pause(8_000);
      for (const end of ends) end();
    },
  },
  {
    name: "split",
    async strike(faults) {
      const here = faults.ids.filter(() => faults.random.chance(0.5));
      const there = faults.ids.filter((id) => !here.includes(id));
      const ends = here.flatMap((a) => there.flatMap((b) => [faults.cut(a, b), faults.cut(b, a)]));
      await faults.pause(8_000);
      for (const end of ends) end();
    },
  },
  {
    name: "slow links",
    async strike(faults, id) {
      const end = faults.slow(id);
      await faults.pause(10_000);
      end();
    },
  },
  {
    name: "pause",
    strike(faults, id) {
      const { clock } = faults.ring;
      faults.ring.site(id).heldUntilMs = clock.monotonicMs() + faults.random.fraction() * 8_000;
    },
  },
  {
    name: "clock jump",
    strike(faults, id) {
      faults.skew(id, (faults.random.fraction() - 0.5) * 600_000);
    },
  },
  {
    name: "disk full",
    async strike(faults, id) {
      const { disk } = faults.ring.site(id);
      disk.isFull = true;
      await faults.pause(8_000);
      disk.isFull = false;
    },
  },
  {
    name: "read errors",
    async strike(faults, id) {
      const { disk } = faults.ring.site(id);
      const often = faults.random.pick([0.02, 0.3]);
      disk.readFails = () => faults.random.chance(often);
      await faults.pause(4_000);
      disk.readFails = () => false;
    },
  },
  {
    name: "flipped bits",
    destroys: true,
    async strike(faults, id) {
      const { disk } = faults.ring.site(id);
      for (const { id: chunk } of await disk.chunkFiles.list("", 100)) {
        if (faults.random.chance(0.3)) disk.chunkFiles.flip(chunk);
      }
      for (const { id: chunk, sizeBytes } of await disk.catalog.listChunks("", 100)) {
        if (sizeBytes > 0 && faults.random.chance(0.3)) disk.rottenChunks.add(chunk);
      }
    },
  },
  {
    name: "damaged row",
    destroys: true,
    async strike(faults, id) {
      const { disk } = faults.ring.site(id);
      for (const { name } of await disk.catalog.scan({ prefix: "", after: "", limit: 100 })) {
        if (faults.random.chance(0.5)) disk.damagedRows.add(name);
      }
    },
  },
  {
    name: "wipe",
    destroys: true,
    async strike(faults, id) {
      if (!faults.ring.isUp(id)) return;
      faults.ring.wipe(id);
      await faults.pause(5_000);
      if (!faults.over) await faults.restart(id);
    },
  },
];

export function wait(ring: MemoryRing, ms: number): Promise<void> {
  return new Promise((resolve) => void ring.clock.after(ms, resolve));
}
