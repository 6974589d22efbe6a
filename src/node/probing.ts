/**
 * Whom membership asks for a sign of life, and when: the part of SWIM that has a clock. Twice a second it looks at those
 * whose answers are late; every other time a period begins. What a node sends in a period is bounded, whatever the ring.
 */
import { SILENCE_MIN_MS } from "../core/failure-detector.ts";
import type { Member, MemberList } from "../core/member-list.ts";
import { ProbeOrder } from "../core/probe-order.ts";
import { isAtollError } from "../errors.ts";
import type { Clock, NodeCard, PeerRequest, Random, ReplyTo, Rumour } from "../ports.ts";
import type { PeerView } from "./peer-view.ts";

const TICK_MS = 500;
const TICKS_PER_PERIOD = 2;
/** A tick that comes later than this after the one before: the process slept, and blames nobody for it. */
const SLEPT_MS = 1_500;
/** Peers of a ring in which everybody pings everybody. */
const ALL_MAX = 8;
/** Pinged in turn each period in a larger one, besides the partners and one of the dead. */
const ROUND = 6;
/** With whom data was exchanged last, and how long that counts. */
const PARTNERS_MAX = 8;
const PARTNER_MS = 10_000;
/** Late ones that are looked after at a time. */
const DOUBTED_MAX = 16;
const HELPERS = 3;
/** Questions to others about one peer, under way. */
const ROUNDS_MAX = 6;
const HELP_TIMEOUT_MS = 2_000;
/** Shorter, so that the answer is not too late for whoever asked. */
const LOOK_TIMEOUT_MS = 1_500;
/** Pings on behalf of others, under way; beyond that they are told no. */
const LOOKS_MAX = 64;
/** Whom others reached so lately is not condemned here. */
const REACHED_MS = 3_000;
const SEEDS_MAX = 4;
const SEED_TIMEOUT_MS = 2_000;
const WORK_TIMEOUT_MS = 2_000;
const SWEEP_PERIODS = 10;
/** Between two whole lists fetched. */
const LIST_INTERVAL_MS = 5_000;
const LIST_TIMEOUT_MS = 5_000;
const PAGES_MAX = 16;
/** Nobody's chunk: looking for it is real work of the catalog and of nothing else. */
const NO_CHUNK = "0".repeat(64);

/** What the membership, of which this is a part, does for it. */
export interface ProbingDeps {
  self: () => NodeCard;
  seeds: () => readonly string[];
  hasPlace: (id: string) => boolean;
  clock: Clock;
  random: Random;
  list: MemberList<NodeCard>;
  views: ReadonlyMap<string, PeerView>;
  ping: (view: PeerView) => void;
  /** Without waiting for that node otherwise. */
  pingUrl: (url: string, expect: string | undefined, timeoutMs: number) => Promise<unknown>;
  call: <R extends PeerRequest>(id: string, request: R, timeoutMs: number) => Promise<ReplyTo<R>>;
  /** `isNews`: to be passed on. */
  hear: (rumours: readonly Rumour[], from: string, isNews: boolean) => void;
  newsFor: (id: string) => Rumour[];
  look: (view: PeerView) => void;
  checkOwnCard: () => void;
  forget: (ids: readonly string[]) => void;
}

export class Probing {
  readonly #deps: ProbingDeps;
  readonly #order: ProbeOrder;
  readonly #lost: ProbeOrder;
  /** Of whom an answer is waited for, the longest without attention first. */
  readonly #waiting = new Set<PeerView>();
  readonly #hanging = new Set<PeerView>();
  /** When data was last exchanged with them. */
  readonly #partners = new Map<string, number>();
  #ticks = 0;
  #tickedMs = 0;
  #awakeSinceMs = 0;
  #looks = 0;
  #seed = 0;
  /** Who has members that this node lacks. */
  #listAt: string | undefined;
  #listedMs = -Infinity;
  #stopTimer: (() => void) | undefined;
  #stopped = false;

  constructor(deps: ProbingDeps) {
    this.#deps = deps;
    const fraction = (): number => deps.random.fraction();
    this.#order = new ProbeOrder(fraction);
    this.#lost = new ProbeOrder(fraction);
  }

  start(): void {
    this.#tickedMs = this.#deps.clock.monotonicMs();
    this.#tick();
  }

  stop(): void {
    this.#stopped = true;
    this.#stopTimer?.();
  }

  announce(): void {
    for (const id of this.#whom(this.#deps.clock.monotonicMs())) this.ask(id);
  }

  /** Pings it, and waits for a sign of life. */
  ask(id: string): void {
    const view = this.#deps.views.get(id);
    if (!view) return;
    this.#waiting.add(view);
    this.#deps.ping(view);
  }

  /** It was heard from. */
  met(view: PeerView): void {
    if (this.#listedMs === -Infinity) this.#listAt ??= view.id;
    // One way it can be reached; the other has to be tried.
    if (view.doubt === "refused" && view.pings === 0) this.ask(view.id);
  }

  /** There is one more, says somebody. */
  learned(id: string): void {
    if (this.#isSmall) this.ask(id);
  }

  lacks(from: string): void {
    this.#listAt = from;
  }

  hangs(view: PeerView): void {
    this.#hanging.add(view);
  }

  exchanged(id: string): void {
    this.#partners.delete(id);
    this.#partners.set(id, this.#deps.clock.monotonicMs());
    if (this.#partners.size > PARTNERS_MAX) this.#partners.delete(this.#partners.keys().next().value!);
  }

  /** Nobody takes its connections: do others fare better? */
  refused(view: PeerView): void {
    if (!isOver(this.#deps.list.get(view.id))) this.#askOthers(view);
  }

  /** On behalf of somebody else. */
  async lookFor(id: string): Promise<boolean> {
    const member = this.#deps.list.get(id);
    if (!member || this.#looks >= LOOKS_MAX) return false;
    this.#looks++;
    try {
      await this.#deps.pingUrl(member.card.peerUrl, id, LOOK_TIMEOUT_MS);
      return true;
    } catch {
      return false; // why is of no use to whoever asked
    } finally {
      this.#looks--;
    }
  }

  get #isSmall(): boolean {
    return this.#deps.list.size <= ALL_MAX;
  }

  #tick(): void {
    if (this.#stopped) return;
    const { clock, list, views, look } = this.#deps;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#tickedMs > SLEPT_MS) this.#awoke(nowMs);
    this.#tickedMs = nowMs;
    this.#lookAfterLate(nowMs);
    for (const id of list.overdue(nowMs, this.#awakeSinceMs)) {
      const view = views.get(id);
      // Whoever was heard from since will deny it.
      if (view?.doubt === undefined) continue;
      list.bury(id, nowMs);
      look(view);
    }
    if (this.#ticks++ % TICKS_PER_PERIOD === 0) this.#period(nowMs);
    this.#stopTimer = clock.after(TICK_MS, () => this.#tick());
  }

  #awoke(nowMs: number): void {
    this.#awakeSinceMs = nowMs;
    for (const view of this.#waiting) view.detector.forgive(nowMs);
  }

  #lookAfterLate(nowMs: number): void {
    const { list, look } = this.#deps;
    const late: PeerView[] = [];
    for (const view of this.#waiting) {
      if (!view.detector.isWaiting || isOver(list.get(view.id))) this.#waiting.delete(view);
      else if (view.isLate(nowMs)) late.push(view);
    }
    for (const view of late) look(view);
    for (const view of late.slice(0, DOUBTED_MAX)) {
      this.#waiting.delete(view);
      this.ask(view.id);
      this.#askOthers(view);
      this.#condemn(view, nowMs);
    }
  }

  /** Suspects it for all to hear, unless others reach it. */
  #condemn(view: PeerView, nowMs: number): void {
    const { list, look } = this.#deps;
    if (nowMs - view.reachedByOthersMs < REACHED_MS) return;
    if (view.detector.verdict(nowMs) === "answers" || view.detector.waitedMs(nowMs) < SILENCE_MIN_MS) return;
    list.suspect(view.id, nowMs);
    look(view);
  }

  #askOthers(view: PeerView): void {
    const { call, clock, hear, list, look, newsFor, views } = this.#deps;
    if (view.othersAsked >= ROUNDS_MAX) return;
    const helpers = this.#order.helpers(HELPERS, () => [...views.keys()], (id) => {
      return id !== view.id && views.get(id)?.doubt === undefined && list.get(id)?.state === "alive";
    });
    view.othersAsked++;
    const asked = helpers.map(async (helper) => {
      const request = { type: "probe", target: view.id, news: newsFor(view.id) } as const;
      const reply = await call(helper, request, HELP_TIMEOUT_MS);
      if (reply.reached) view.reachedByOthersMs = clock.monotonicMs();
      hear(reply.news, helper, true);
      return reply.reached;
    });
    Promise.allSettled(asked).then((answers) => {
      view.othersAsked--;
      const told = answers.filter((answer) => answer.status === "fulfilled").map(({ value }) => value);
      const isHopeless = told.length > 0 ? !told.includes(true) : helpers.length === 0;
      // Refused here and out of reach there: that need not be waited for.
      if (!isHopeless || view.detector.verdict(clock.monotonicMs()) !== "refused") return;
      list.suspect(view.id, clock.monotonicMs());
      look(view);
    }, () => {});
  }

  #period(nowMs: number): void {
    const { checkOwnCard, forget, hasPlace, list } = this.#deps;
    checkOwnCard();
    for (const id of this.#whom(nowMs)) this.ask(id);
    this.#askSeeds();
    for (const view of this.#hanging) void this.#tryOut(view);
    if (this.#listAt !== undefined && nowMs - this.#listedMs >= LIST_INTERVAL_MS) {
      void this.#fetchList(this.#listAt, nowMs);
    }
    if (this.#ticks % (SWEEP_PERIODS * TICKS_PER_PERIOD) !== 1) return;
    const forgotten = list.sweep(nowMs, hasPlace);
    if (forgotten.length > 0) forget(forgotten);
  }

  #whom(nowMs: number): Set<string> {
    const { list, views } = this.#deps;
    const ids = (): string[] => [...views.keys()];
    if (this.#isSmall) return new Set(ids());
    const whom = new Set(this.#order.take(ROUND, ids, (id) => !isOver(list.get(id))));
    for (const [id, exchangedMs] of this.#partners) if (nowMs - exchangedMs < PARTNER_MS) whom.add(id);
    for (const id of this.#lost.take(1, () => list.lost(), (id) => isOver(list.get(id)))) whom.add(id);
    return whom;
  }

  /** Addresses at which nobody is known yet. */
  #askSeeds(): void {
    const { list, self, seeds, pingUrl } = this.#deps;
    const missing = new Set(seeds());
    missing.delete(self().peerUrl);
    for (const { card } of list.all()) {
      if (missing.size === 0) return;
      missing.delete(card.peerUrl);
    }
    const unknown = [...missing];
    for (let asked = 0; asked < Math.min(SEEDS_MAX, unknown.length); asked++) {
      pingUrl(unknown[this.#seed++ % unknown.length]!, undefined, SEED_TIMEOUT_MS).catch(() => {
        // Not there yet: the next period asks again.
      });
    }
  }

  /** A node that hangs is asked to work, since nobody else will. */
  async #tryOut(view: PeerView): Promise<void> {
    const { call, clock, look } = this.#deps;
    if (view.detector.verdict(clock.monotonicMs()) !== "hanging") return void this.#hanging.delete(view);
    if (view.isTriedOut) return;
    view.isTriedOut = true;
    try {
      await call(view.id, { type: "chunks-held", ids: [NO_CHUNK] }, WORK_TIMEOUT_MS);
      view.detector.worked(clock.monotonicMs());
    } catch (error) {
      // What it refuses to do it has at least looked at.
      if (!isAtollError(error, "peer-timeout", "peer-unreachable", "peer-garbage", "wrong-node")) {
        view.detector.worked(clock.monotonicMs());
      }
    }
    view.isTriedOut = false;
    look(view);
  }

  async #fetchList(from: string, nowMs: number): Promise<void> {
    const { call, hear } = this.#deps;
    this.#listedMs = nowMs;
    this.#listAt = undefined;
    try {
      let after: string | undefined = "";
      for (let page = 0; page < PAGES_MAX && after !== undefined; page++) {
        const { entries, next }: ReplyTo<{ type: "members"; after: string }> = await call(from, {
          type: "members",
          after,
        }, LIST_TIMEOUT_MS);
        hear(entries, from, false);
        after = next;
      }
    } catch {
      this.#listAt ??= from; // or whoever else has it, later
    }
  }
}

/** Not looked after any more. */
export function isOver(member: Member<NodeCard> | undefined): boolean {
  return member === undefined || member.state === "dead" || member.state === "gone";
}
