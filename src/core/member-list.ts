/**
 * Who is there, as the members of a ring agree by hearsay: SWIM (Das et al. 2002) with the refinements that its users found
 * to be needed (Dadgar et al. 2018, "Lifeguard").
 *
 * Of every member there is a state under a number. What is said under a higher number holds, and under the same one the
 * graver state: an order in which it does not matter how often, when and from whom a rumour is heard. Only the member
 * itself raises its number: to deny that it is suspect or dead, or because others remember a higher one from a former
 * life. So it may begin with any number, and no clock is trusted.
 *
 * A suspicion becomes a death for whoever looked for himself after `SUSPICION_MS`, for others after twice that, should
 * those be gone themselves. Times are monotonic ms; `C` is whatever a member says of itself.
 */
import { Rumours } from "./rumours.ts";

/**
 * `joining`: belongs to no ring yet. `leaving`: said so itself. `gone`: dead for long and without a place in the layout;
 * forgotten soon. Each is graver than the one before.
 */
export type MemberState = "joining" | "alive" | "suspect" | "leaving" | "dead" | "gone";
export type ToldState = Exclude<MemberState, "gone">;

export interface MemberRumour<C> {
  readonly id: string;
  /** At least 1. */
  readonly number: number;
  readonly state: ToldState;
  /** Only where it is new; whoever lacks it asks for the whole list. */
  readonly card?: C | undefined;
}

export interface Member<C> {
  readonly id: string;
  readonly card: C;
  /** 0: nobody has said one yet; such an entry is not passed on. */
  readonly number: number;
  readonly state: MemberState;
  readonly sinceMs: number;
  /** Whether this node itself looked in vain. */
  readonly witnessed: boolean;
}

/** `unknown`: of a member of whom this node has no card. `denied`: it was about this node, which has raised its number. */
export type Heard = "changed" | "old" | "unknown" | "denied";

export const NUMBER_MAX = 2 ** 48;
export const SUSPICION_MS = 6_000;
/** Dead, or leaving, and without a place in the layout; as long again and it is forgotten. */
export const GONE_AFTER_MS = 600_000;
/** Rumours of one message, besides those about its sender and its receiver. */
const NEWS_MAX = 8;

const GRAVITY: Readonly<Record<MemberState, number>> = {
  joining: 0,
  alive: 1,
  suspect: 2,
  leaving: 3,
  dead: 4,
  gone: 5,
};

export interface HearOptions<C> {
  readonly isNews?: boolean;
  readonly ownCard?: C | undefined;
}

interface Claim {
  readonly number: number;
  readonly state: MemberState;
}

/** Whether the first replaces the second. */
export function outranks(a: Claim, b: Claim): boolean {
  return a.number > b.number || (a.number === b.number && GRAVITY[a.state] > GRAVITY[b.state]);
}

type Entry<C> = { -readonly [K in keyof Member<C>]: Member<C>[K] };

export class MemberList<C> {
  readonly #self: string;
  readonly #membersMax: number;
  readonly #entries = new Map<string, Entry<C>>();
  readonly #suspects = new Set<Entry<C>>();
  /** Dead, or gone. */
  readonly #lost = new Set<string>();
  readonly #rumours = new Rumours<MemberRumour<C>>();
  #own: { number: number; state: ToldState };
  #turn: Iterator<Entry<C>> | undefined;

  /** `number`: to begin with, anything from 1 on. */
  constructor(self: string, number: number, membersMax: number) {
    this.#self = self;
    this.#membersMax = membersMax;
    this.#own = { number, state: "joining" };
  }

  get size(): number {
    return this.#entries.size;
  }

  get number(): number {
    return this.#own.number;
  }

  get(id: string): Member<C> | undefined {
    return this.#entries.get(id);
  }

  all(): IterableIterator<Member<C>> {
    return this.#entries.values();
  }

  /** Who is dead, or gone. */
  lost(): string[] {
    return [...this.#lost];
  }

  /** The node itself, as it says now; `card` only while that may be new to somebody. */
  ownRumour(card?: C): MemberRumour<C> {
    return { id: this.#self, ...this.#own, ...(card !== undefined && { card }) };
  }

  /** The node says something new of itself. */
  become(state: ToldState, card?: C): void {
    this.#own = { number: Math.min(NUMBER_MAX, this.#own.number + 1), state };
    this.#rumours.put(this.ownRumour(card));
  }

  /** The member itself was heard, without a number so far. False: there is no room. */
  meet(id: string, card: C, nowMs: number): boolean {
    const entry = this.#entries.get(id) ?? this.#add(id, card, { number: 0, state: "alive" }, nowMs);
    if (!entry) return false;
    entry.card = card;
    // Whoever speaks is not gone; what it says next decides, and until then it has to be asked.
    if (entry.state === "gone") this.#set(entry, "dead", nowMs);
    if (entry.number === 0) this.#set(entry, "alive", nowMs);
    return true;
  }

  /** Somebody said that it exists, or this node remembers it: that is nothing to go by. */
  learn(id: string, card: C, nowMs: number): boolean {
    if (id === this.#self || this.#entries.has(id)) return false;
    return this.#add(id, card, { number: 0, state: "suspect" }, nowMs) !== undefined;
  }

  /** `isNews`: to be passed on if it changes anything; a page of the list is not. `ownCard`: to go with a denial. */
  hear(rumour: MemberRumour<C>, nowMs: number, { isNews = true, ownCard }: HearOptions<C> = {}): Heard {
    if (rumour.id === this.#self) return this.#aboutSelf(rumour, ownCard);
    const entry = this.#entries.get(rumour.id);
    if (!entry) return this.#ofStranger(rumour, nowMs, isNews);
    if (!outranks(rumour, entry)) {
      if (rumour.number === entry.number && rumour.state === entry.state) {
        this.#rumours.echo(entry.id, this.size);
      }
      return "old";
    }
    // A suspicion under a new number is another one.
    if (rumour.number > entry.number && rumour.state !== "alive") entry.sinceMs = nowMs;
    entry.number = rumour.number;
    if (rumour.card !== undefined) entry.card = rumour.card;
    this.#set(entry, rumour.state, nowMs);
    if (isNews) this.#rumours.put(rumour);
    return "changed";
  }

  #ofStranger(rumour: MemberRumour<C>, nowMs: number, isNews: boolean): Heard {
    // That one who was never known is no more is no news: else those who were forgotten would never be.
    if (rumour.state === "dead" || rumour.state === "leaving") return "old";
    if (rumour.card === undefined) return "unknown";
    if (!this.#add(rumour.id, rumour.card, rumour, nowMs)) return "old";
    if (isNews) this.#rumours.put(rumour);
    return "changed";
  }

  #aboutSelf(rumour: MemberRumour<C>, card: C | undefined): Heard {
    if (!outranks(rumour, this.#own)) return "old";
    this.#own = { ...this.#own, number: rumour.number };
    this.become(this.#own.state, card);
    return "denied";
  }

  /** This node looked, and others for it, in vain. Who said that it was leaving has left. */
  suspect(id: string, nowMs: number): void {
    const entry = this.#entries.get(id);
    if (!entry) return;
    if (entry.state === "leaving") return this.bury(id, nowMs);
    entry.witnessed = true;
    if (entry.state === "alive" || entry.state === "joining") this.#say(entry, "suspect", nowMs);
  }

  bury(id: string, nowMs: number): void {
    const entry = this.#entries.get(id);
    if (entry && GRAVITY[entry.state] < GRAVITY.dead) this.#say(entry, "dead", nowMs);
  }

  /** Suspects who have not denied it in time, of which this node was awake since `awakeSinceMs`. */
  overdue(nowMs: number, awakeSinceMs: number): string[] {
    const ids: string[] = [];
    for (const { id, sinceMs, witnessed } of this.#suspects) {
      const sinceBothMs = Math.max(sinceMs, awakeSinceMs);
      if (nowMs - sinceBothMs >= (witnessed ? SUSPICION_MS : 2 * SUSPICION_MS)) ids.push(id);
    }
    return ids;
  }

  /** Who is dead for long becomes gone unless the layout has a place for it, and is forgotten; returns those. */
  sweep(nowMs: number, hasPlace: (id: string) => boolean): string[] {
    const forgotten: string[] = [];
    for (const entry of this.#entries.values()) {
      if (GRAVITY[entry.state] <= GRAVITY.suspect || nowMs - entry.sinceMs < GONE_AFTER_MS) continue;
      if (hasPlace(entry.id)) continue;
      if (entry.state !== "gone") this.#set(entry, "gone", nowMs);
      else forgotten.push(entry.id);
    }
    for (const id of forgotten) {
      this.#entries.delete(id);
      this.#lost.delete(id);
      this.#rumours.drop(id);
    }
    return forgotten;
  }

  /**
   * What a message says besides its purpose: first of its sender; of its receiver what that must deny; rumours; and one
   * member in turn, so that in the end everybody hears everything. `said`: the number the receiver gave itself last.
   */
  news(to: string | undefined, said: number, ownCard?: C): MemberRumour<C>[] {
    const news = [this.ownRumour(ownCard)];
    const about = to === undefined ? undefined : this.#entries.get(to);
    if (about && about.number > 0 && (about.number > said || about.state !== "alive")) push(news, about);
    for (const rumour of this.#rumours.take(NEWS_MAX, this.size)) {
      if (rumour.id !== this.#self && rumour.id !== to) news.push(rumour);
    }
    const turn = this.#nextInTurn();
    if (turn && news.every(({ id }) => id !== turn.id)) push(news, turn);
    return news;
  }

  /** Members after `after` in order of ID, with their cards, for one who knows nobody. */
  page(after: string, limit: number, ownCard: C): { entries: MemberRumour<C>[]; next: string | undefined } {
    const listed = [...this.#entries.values()].filter(({ number, state }) => number > 0 && state !== "gone");
    const all = [this.ownRumour(ownCard), ...listed].filter(({ id }) => id > after);
    all.sort((a, b) => (a.id < b.id ? -1 : 1));
    const entries = all.slice(0, limit).map(({ id, number, state, card }) => (
      { id, number, state: state as ToldState, card }
    ));
    return { entries, next: all.length > limit ? entries.at(-1)!.id : undefined };
  }

  #nextInTurn(): Entry<C> | undefined {
    // A round that ended begins anew at once; a list in which nobody can be told of is given up.
    for (let rounds = 0; rounds < 2;) {
      this.#turn ??= this.#entries.values();
      const { value, done } = this.#turn.next();
      if (done) {
        this.#turn = undefined;
        rounds++;
      } else if (value.number > 0 && value.state !== "gone") return value;
    }
    return undefined;
  }

  #add(id: string, card: C, { number, state }: Claim, nowMs: number): Entry<C> | undefined {
    if (id === this.#self || this.#entries.size >= this.#membersMax) return undefined;
    const entry: Entry<C> = { id, card, number, state, sinceMs: nowMs, witnessed: false };
    this.#entries.set(id, entry);
    if (state === "suspect") this.#suspects.add(entry);
    return entry;
  }

  #set(entry: Entry<C>, state: MemberState, nowMs: number): void {
    if (entry.state !== state) entry.sinceMs = nowMs;
    entry.state = state;
    if (GRAVITY[state] >= GRAVITY.dead) this.#lost.add(entry.id);
    else this.#lost.delete(entry.id);
    if (state === "suspect") this.#suspects.add(entry);
    else {
      this.#suspects.delete(entry);
      entry.witnessed = false;
    }
  }

  #say(entry: Entry<C>, state: ToldState, nowMs: number): void {
    this.#set(entry, state, nowMs);
    if (entry.number > 0) this.#rumours.put({ id: entry.id, number: entry.number, state });
  }
}

function push<C>(news: MemberRumour<C>[], { id, number, state }: Member<C>): void {
  news.push({ id, number, state: state as ToldState });
}
