/**
 * What goes wrong in a run. Each seed draws its own mix (swarm testing: Groce et al., 2012): a run in which everything
 * fails at once hardly ever gets anywhere, and never meets what needs one thing often and another not at all.
 *
 * What destroys data hits only as many copies as was promised: one node, the victim, as a rule; two where there are five
 * copies; or two of which each loses other registers than the other, and none a whole disk. Everything else may hit anybody.
 * That messages overtake each other needs no fault of its own: each draws its own delay.
 *
 * A disk that acknowledges a sync and drops what was written is a bad disk, and a protocol of votes cannot notice every
 * such loss: an acceptor whose last promise or acceptance is silently gone, its row being an older one that fits its
 * checksum, votes as if it had never been asked. The promise is "as long as disks keep what they synced on a majority", and
 * that disk counts against the minority for every register it lost, which the others do not know. So of the catalog only
 * losses happen here that show: a row that does not fit its name or its checksum, or the whole of it. Of chunk files, whose
 * absence shows, any write may be lost, or land where another one was.
 */
import type { SeededRandom } from "../helpers/fake-random.ts";
import type { Fate, Message } from "../helpers/fake-network.ts";
import type { MemoryRing } from "../helpers/memory-ring.ts";
import type { PeerRequest } from "../../src/ports.ts";
import { type Losses, lossesAmong, PAUSE_MAX_MS, type Trouble, TROUBLES } from "./troubles.ts";

/** Of 1, how often a fault is part of a run. */
const OFTEN = 0.4;
const SLOWEST_MS = 5_000;
const AMBUSHES_MAX = 8;
/** Back before messages that were under way have arrived. */
const AT_ONCE_MS = 2;
/** No message takes longer: sent late by a paused node, slow, a copy that came after it, met late by another. */
export const LATEST_MS = 2 * SLOWEST_MS + 2 * PAUSE_MAX_MS;

export class Faults {
  readonly #ring: MemoryRing;
  readonly #ids: readonly string[];
  readonly #random: SeededRandom;
  readonly #victim: string;
  readonly #losses: Losses;
  /** The victim, and who else loses something. */
  readonly #victims: readonly string[];
  readonly #lossRandom: SeededRandom;
  readonly #loss: number;
  readonly #doubling: number;
  readonly #slowestMs: number;
  readonly #kinds: readonly Trouble[];
  readonly #everyMs: number;
  readonly #clocks = new Map<string, Skew>();
  readonly #struck = new Map<Trouble, number>();
  /** Ways from one node to another that are cut, by how many troubles. */
  readonly #cuts = new Map<string, number>();
  readonly #slow = new Set<string>();
  /** Nodes that crash as soon as they have answered a message of that kind, so many times. */
  readonly #ambushes = new Map<string, { readonly type: PeerRequest["type"]; times: number }>();
  readonly happened: string[] = [];
  /** Not there yet, or not any more: nobody starts them. */
  readonly gone = new Set<string>();
  #over = false;
  #fastestMs = 0;

  /** `spares`: nodes that come later. `destroys`: whether a disk may lose what it synced; `lossRandom`: on which. */
  constructor(
    ring: MemoryRing,
    ids: readonly string[],
    random: SeededRandom,
    { spares = [], destroys = true, losses, lossRandom }: {
      spares?: readonly string[] | undefined;
      destroys?: boolean;
      losses: Losses;
      lossRandom: SeededRandom;
    },
  ) {
    this.#ring = ring;
    this.#ids = [...ids, ...spares];
    for (const id of spares) this.gone.add(id);
    this.#random = random;
    this.#victim = random.pick(this.#ids);
    const drawn = (most: number): number => random.chance(OFTEN) ? random.fraction() * most : 0;
    this.#loss = drawn(0.3);
    this.#doubling = drawn(0.3);
    this.#slowestMs = random.pick([5, 50, 500, SLOWEST_MS]);
    const kinds = TROUBLES.filter((kind) => random.chance(OFTEN) && (destroys || kind.destroys !== true));
    this.#losses = losses;
    this.#lossRandom = lossRandom;
    const others = this.#ids.filter((id) => id !== this.#victim);
    this.#victims = losses === "one" ? [this.#victim] : [this.#victim, lossRandom.pick(others)];
    this.#kinds = lossesAmong(kinds, losses);
    this.#everyMs = random.pick([500, 2_000, 5_000]);
    ring.network.rule((message) => this.#fateOf(message));
  }

  /** How far a node's wall clock is off. In the end all are put right: the right time is the furthest that any has shown. */
  skewMs(id: string): number {
    return this.#over ? this.#fastestMs : this.#skewMs(id);
  }

  #skewMs(id: string): number {
    const { sinceMs, ms, rate } = this.#clocks.get(id) ?? NO_SKEW;
    return ms + rate * (this.#ring.clock.monotonicMs() - sinceMs);
  }

  /** Until `endMs` on the ring's clock; then all that is wrong is put right but what lies on the victim's disk. */
  async run(endMs: number): Promise<void> {
    const { clock } = this.#ring;
    while (this.#kinds.length > 0) {
      await wait(this.#ring, this.#random.fraction() * this.#everyMs);
      if (clock.monotonicMs() >= endMs) break;
      const kind = this.#random.pick(this.#kinds);
      const struck = this.#struck.get(kind) ?? 0;
      if (struck >= (kind.most ?? Infinity)) continue;
      this.#struck.set(kind, struck + 1);
      const id = kind.destroys ? this.#lossRandom.pick(this.#victims) : this.#random.pick(this.#ids);
      this.happened.push(`${Math.round(clock.monotonicMs())} ${kind.name} ${id}`);
      void kind.strike(this, id);
    }
    await wait(this.#ring, Math.max(0, endMs - clock.monotonicMs()));
    this.#noteFastest();
    this.#over = true;
    this.#cuts.clear();
    this.#slow.clear();
    for (const id of this.#ids) {
      const site = this.#ring.site(id);
      site.disk.isFull = false;
      site.disk.readFails = () => false;
      site.heldUntilMs = 0;
      await this.restart(id);
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

  /** The node whose disk may lose what it synced. */
  get victim(): string {
    return this.#victim;
  }

  /** Whether its copy of that register may be lost: another's of the same may be already. */
  mayLose(id: string, name: string): boolean {
    if (this.#losses !== "apart") return true;
    return this.#victims[name.charCodeAt(name.length - 1) % 2] === id;
  }

  mayLoseChunks(id: string): boolean {
    return this.#losses !== "apart" || id === this.#victim;
  }

  /** As whoever supervises it would: again and again, until it stays up. */
  async restart(id: string): Promise<void> {
    while (!this.#ring.isUp(id) && !this.gone.has(id)) {
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

  /** From now on the clock is off by `byMs` more, and so much faster than time. */
  skew(id: string, byMs: number, rate = this.#clocks.get(id)?.rate ?? 0): void {
    this.#noteFastest();
    this.#clocks.set(id, { sinceMs: this.#ring.clock.monotonicMs(), ms: this.#skewMs(id) + byMs, rate });
    this.#noteFastest();
  }

  #noteFastest(): void {
    this.#fastestMs = Math.max(this.#fastestMs, ...this.#ids.map((id) => this.#skewMs(id)));
  }

  ambush(id: string, type: PeerRequest["type"]): void {
    this.#ambushes.set(id, { type, times: 1 + this.#random.below(AMBUSHES_MAX) });
  }

  async blip(id: string, mostMs: number): Promise<void> {
    if (this.#over || !this.#ring.isUp(id)) return;
    this.#ring.crash(id);
    await this.pause(mostMs);
    await this.restart(id);
  }

  #fateOf({ from, to, reply }: Message): Fate {
    const random = this.#random;
    const ambush = this.#ambushes.get(from);
    if (ambush && ambush.times > 0 && reply?.type === ambush.type) {
      ambush.times--;
      this.#ring.clock.after(0, () => void this.blip(from, AT_ONCE_MS));
    }
    if (this.#over) return { delayMs: 1 + random.fraction() * 3 };
    const slow = this.#slow.has(from) || this.#slow.has(to);
    return {
      lost: (this.#cuts.get(`${from} ${to}`) ?? 0) > 0 || random.chance(this.#loss),
      copies: random.chance(this.#doubling) ? 2 : 1,
      delayMs: 1 + random.fraction() * (slow || random.chance(0.1) ? this.#slowestMs : 4),
    };
  }
}

interface Skew {
  readonly sinceMs: number;
  readonly ms: number;
  readonly rate: number;
}

const NO_SKEW: Skew = { sinceMs: 0, ms: 0, rate: 0 };

export function wait(ring: MemoryRing, ms: number): Promise<void> {
  return new Promise((resolve) => void ring.clock.after(ms, resolve));
}
