/**
 * Operators who change the ring while everything else goes wrong: nodes join, are drained, removed and replaced, weights,
 * zones and the number of copies change, before the last change has settled, by two operators at once, looked at by an
 * older layout than the one in use, through nodes that crash in the middle.
 *
 * What was promised stays promised: at most a minority of any set of replicas is gone for good. So in a run whose disks
 * may lose what they synced no set is ever smaller than three, and who is gone for good is the very node whose disk does
 * that; in a run that goes down to one copy no disk loses anything, and nobody is gone before the others have it all.
 */
import type { Layout } from "../../src/core/layout.ts";
import { isAtollError, messageOf } from "../../src/errors.ts";
import type { RingChange } from "../../src/node/layout/administration.ts";
import type { SeededRandom } from "../helpers/fake-random.ts";
import type { MemoryRing } from "../helpers/memory-ring.ts";
import { type Faults, wait } from "./faults.ts";
import { defer } from "../../src/node/waiting.ts";

/** Of 1, how often a run has operators. */
const OFTEN = 0.4;
const JOIN_AFTER_MS = 2_000;
/** Any change has an answer by then, whatever happens. */
const STUCK_MS = 60_000;
const SPARES = ["s", "t", "u"];
const ZONES = ["zone-a", "zone-b", "zone-s", "zone-x"];
/** What may come of a change but "applied": nobody has promised that it goes through. */
const EXPECTED = ["no-quorum", "invalid-argument", "storage-full", "internal"] as const;

export interface RingMix {
  /** Nodes that are there, and no members at first. */
  readonly spares: readonly string[];
  /** Down to one copy and one node. */
  readonly isNarrow: boolean;
  /** Undefined: nobody joins unasked. */
  readonly joinAfterMs: number | undefined;
}

/** Undefined for a run whose ring stays as it is. */
export function drawRingMix(random: SeededRandom): RingMix | undefined {
  if (!random.chance(OFTEN)) return undefined;
  return {
    spares: SPARES.slice(0, random.below(SPARES.length + 1)),
    isNarrow: random.chance(0.3),
    joinAfterMs: random.chance(0.4) ? JOIN_AFTER_MS : undefined,
  };
}

type Kind = "join" | "drain" | "remove" | "replace" | "weight" | "zone" | "replicas";
const KINDS: readonly Kind[] = ["join", "drain", "remove", "replace", "weight", "zone", "replicas"];

export class RingChanges {
  readonly #ring: MemoryRing;
  readonly #faults: Faults;
  readonly #mix: RingMix;
  readonly #random: SeededRandom;
  readonly #kinds: readonly Kind[];
  readonly #everyMs: number;
  readonly #mayDie: boolean;
  /** Asked to join by an operator: such a change may come true later than its answer said. */
  readonly #invited = new Set<string>();
  readonly #removed = new Set<string>();
  #most: number;
  #isDead = false;
  #looked = 0;

  constructor(ring: MemoryRing, faults: Faults, mix: RingMix, random: SeededRandom) {
    this.#ring = ring;
    this.#faults = faults;
    this.#mix = mix;
    this.#random = random;
    this.#kinds = [...KINDS.filter(() => random.chance(0.6)), random.pick(KINDS)];
    this.#everyMs = random.pick([1_000, 4_000, 8_000]);
    this.#most = random.pick([1, 2, 4, 6]);
    this.#mayDie = !mix.isNarrow && random.chance(0.4);
  }

  async run(endMs: number): Promise<void> {
    const operators = this.#random.pick([1, 1, 2]);
    await Promise.all([
      ...this.#mix.spares.map((id) => this.#bring(id)),
      ...Array.from({ length: operators }, () => this.#operate(endMs)),
    ]);
  }

  /** What is left to an operator when all else is quiet: who is gone for good is said to be. */
  async tend(): Promise<void> {
    const { victim } = this.#faults;
    const at = this.#newest();
    if (!this.#isDead || at === undefined) return;
    const layout = this.#layoutOf(at)!;
    if (!isNamed(layout, victim) || layout.leaving?.includes(victim)) return;
    await this.#apply(at, layout.number, { remove: [victim] });
  }

  async #bring(id: string): Promise<void> {
    await this.#faults.pause(10_000);
    if (this.#isDead && id === this.#faults.victim) return;
    this.#faults.gone.delete(id);
    await this.#faults.restart(id);
  }

  async #operate(endMs: number): Promise<void> {
    const { clock } = this.#ring;
    // Both at once, now and then.
    const seenTogether = this.#random.chance(0.3);
    for (;;) {
      const waitMs = seenTogether ? this.#everyMs : this.#random.fraction() * this.#everyMs;
      await wait(this.#ring, waitMs);
      if (clock.monotonicMs() >= endMs || this.#most <= 0) return;
      const at = this.#random.pick(this.#faults.ids);
      const layout = this.#ring.isUp(at) ? this.#layoutOf(at) : undefined;
      if (!layout) continue;
      if (this.#mayDie && !this.#isDead && this.#random.chance(0.3)) this.#die();
      else if (this.#random.chance(0.1)) this.#retire();
      const change = this.#ring.isUp(at) ? this.#draw(layout, at) : undefined;
      if (!change) continue;
      this.#most--;
      if (this.#random.chance(0.2)) await this.#faults.pause(4_000);
      if (this.#ring.isUp(at)) await this.#apply(at, layout.number, change);
    }
  }

  /** Resolves when there is an answer, or nobody who could give one. */
  async #apply(at: string, base: number, change: RingChange): Promise<void> {
    for (const id of change.join ?? []) this.#invited.add(id);
    for (const { to } of change.replace ?? []) this.#invited.add(to);
    const number = ++this.#looked;
    this.#note(`ring change`, `${number}:at-${at}-on-${base}:${JSON.stringify(change)}`);
    const asked = this.#answer(at, base, change);
    if (!this.#faults.over && this.#random.chance(0.15)) void this.#crashSoon(at);
    const stuck = defer<never>();
    const cancel = this.#ring.clock.after(
      STUCK_MS,
      () => stuck.reject(new Error(`wanted an answer to change ${number} from ${at}`)),
    );
    const ended = this.#ring.site(at).ended.promise.then(() => "crashed");
    const end = await Promise.race([asked, ended, stuck.promise]).finally(cancel);
    this.#note(`ring change ${end.split(" ")[0]}`, `${number}:${end}`);
  }

  async #answer(at: string, base: number, change: RingChange): Promise<string> {
    const { administration } = this.#ring.node(at);
    try {
      let answer = await administration.apply(base, change);
      if (answer.kind === "refused" && answer.confirm !== undefined) {
        answer = await administration.apply(base, { ...change, confirm: answer.confirm });
      }
      if (answer.kind !== "applied") return answer.kind;
      for (const id of [...change.remove ?? [], ...(change.replace ?? []).map(({ from }) => from)]) {
        this.#removed.add(id);
      }
      return `applied ${answer.layout}`;
    } catch (error) {
      if (!isAtollError(error, ...EXPECTED)) throw error;
      return `${error.code} ${messageOf(error)}`;
    }
  }

  async #crashSoon(id: string): Promise<void> {
    const { life } = this.#ring.site(id);
    await this.#faults.pause(200);
    if (this.#faults.over || !this.#ring.isUp(id) || this.#ring.site(id).life !== life) return;
    this.#note("crash proposer", id);
    this.#ring.crash(id);
    await this.#faults.pause(3_000);
    if (!this.#faults.over) await this.#faults.restart(id);
  }

  /** For good. */
  #die(): void {
    const { victim } = this.#faults;
    this.#isDead = true;
    this.#note("gone for good", victim);
    this.#faults.gone.add(victim);
    if (this.#ring.isUp(victim)) this.#ring.crash(victim);
  }

  /** Switches off a node that was removed, once the others have what it had. */
  #retire(): void {
    const at = this.#newest();
    const layout = at === undefined ? undefined : this.#layoutOf(at)!;
    if (!layout || layout.from || this.#mix.joinAfterMs !== undefined) return;
    const id = [...this.#removed].find((one) =>
      one !== at && this.#ring.isUp(one) && !this.#invited.has(one) && !isNamed(layout, one)
    );
    if (id === undefined) return;
    this.#note("retire", id);
    this.#faults.gone.add(id);
    this.#ring.crash(id);
  }

  /** Undefined where the kind drawn has nobody to do it to, or would go below what the run may go down to. */
  #draw(layout: Layout, at: string): RingChange | undefined {
    const { victim } = this.#faults;
    if (this.#isDead && isNamed(layout, victim) && this.#random.chance(0.5)) {
      const [to] = this.#candidates(layout, at);
      return to !== undefined && this.#random.chance(0.4)
        ? { replace: [{ from: victim, to }] }
        : { remove: [victim] };
    }
    let change = this.#drawOne(layout, at);
    if (change && this.#random.chance(0.2)) change = { ...this.#drawOne(layout, at), ...change };
    return change && this.#mayBe(layout, change) ? change : undefined;
  }

  #drawOne(layout: Layout, at: string): RingChange | undefined {
    const random = this.#random;
    const { id } = random.pick(layout.nodes);
    const candidates = this.#candidates(layout, at);
    switch (random.pick(this.#kinds)) {
      case "join":
        return candidates.length > 0 ? { join: candidates.slice(0, 1 + random.below(2)) } : undefined;
      case "drain":
        return { drain: [id] };
      case "remove":
        return { remove: [id] };
      case "replace":
        return candidates.length > 0 ? { replace: [{ from: id, to: random.pick(candidates) }] } : undefined;
      case "weight":
        return { weight: { [id]: random.pick([0.5, 1, 2, 5]) } };
      case "zone":
        return { zone: { [id]: random.pick(ZONES) } };
      case "replicas":
        return { replicas: random.pick(this.#mix.isNarrow ? [1, 1, 3, 5] : [3, 5]) };
    }
  }

  /** Who could join, as far as the node that is asked knows. */
  #candidates(layout: Layout, at: string): string[] {
    return this.#faults.ids.filter((id) =>
      !isNamed(layout, id) && this.#ring.isUp(id) &&
      (id === at || this.#ring.node(at).membership.card(id) !== undefined)
    );
  }

  /** Whether enough nodes hold data afterwards. */
  #mayBe(layout: Layout, change: RingChange): boolean {
    const { victim } = this.#faults;
    const replaced = change.replace ?? [];
    const emptied = [...change.drain ?? [], ...change.remove ?? [], ...replaced.map(({ from }) => from)];
    const holding = layout.nodes
      .filter(({ id, weight }) => !emptied.includes(id) && (change.weight?.[id] ?? weight) > 0)
      .map(({ id }) => id);
    holding.push(...change.join ?? [], ...replaced.map(({ to }) => to));
    if (!this.#isDead) return holding.length >= (this.#mix.isNarrow ? 1 : 3);
    const living = holding.filter((id) => id !== victim).length;
    return living >= (living < holding.length ? 2 : 1);
  }

  /** Of those that are up, one that goes by the newest layout. */
  #newest(): string | undefined {
    const number = (id: string): number => this.#layoutOf(id)?.number ?? 0;
    return this.#faults.ids.filter((id) => this.#ring.isUp(id) && number(id) > 0)
      .sort((a, b) => number(b) - number(a))[0];
  }

  #layoutOf(id: string): Layout | undefined {
    return this.#ring.node(id).layout();
  }

  #note(what: string, details: string): void {
    this.#faults.happened.push(
      `${Math.round(this.#ring.clock.monotonicMs())} ${what} ${details.replaceAll(" ", "_")}`,
    );
  }
}

function isNamed(layout: Layout, id: string): boolean {
  return layout.nodes.some((node) => node.id === id);
}
