/**
 * Who is there, how far away, and who has fallen silent.
 *
 * Each second a node pings a bounded number of peers: in a small ring all, else some in turn and those with whom it
 * exchanges data. Whoever is late is pinged again and looked for by others, so that one bad link condemns nobody; news of
 * members ride on pings and their answers (core/member-list.ts). A refused connection makes a peer suspect at once, a
 * silent or hanging one within 5 s (core/failure-detector.ts). Suspicion, and death too, only change whom one asks first:
 * a dead node stays in the layout, counts for every majority, and is alive again as soon as it answers.
 */
import { UsualWait } from "../core/failure-detector.ts";
import { MemberList, type MemberState } from "../core/member-list.ts";
import { isAtollError } from "../errors.ts";
import type { Clock, Log, NodeCard, Peers, Random, Rumour } from "../ports.ts";
import type { Counter, Metrics } from "./metrics.ts";
import { Namesakes } from "./namesakes.ts";
import { type MemberView, PeerView } from "./peer-view.ts";
import { isOver, Probing } from "./probing.ts";

const PING_TIMEOUT_MS = 2_000;
/** Of one peer, under way. */
const PINGS_MAX = 6;
/** Cards kept; more than any ring has nodes, less than a lying peer could invent. */
const CARDS_MAX = 2_048;
const CARDS_AT_ONCE_MAX = 64;
const CARDS_INTERVAL_MS = 1_000;
/** Members of one page of the whole list. */
const PAGE_MAX = 256;
/** How long after its last change this node's own card goes with what it says of itself. */
const CARD_IS_NEWS_MS = 30_000;
const GOODBYES_MAX = 16;
const GOODBYE_TIMEOUT_MS = 500;

export interface MembershipOptions {
  self: () => NodeCard;
  /** Peer URLs to find others by, asked for at each beat. */
  seeds: () => readonly string[];
  /** Whether the layout has a place for that node; without a layout, for anybody. */
  hasPlace: (id: string) => boolean;
  peers: Peers;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
  /** Told of every answer and every ping: the sender's card is fresh. */
  onHeard: (card: NodeCard) => void;
  /** Told when a peer answers that was suspect, or never heard before. */
  onReturned: (id: string) => void;
  /** Told when cards were learned or changed, to be kept for the next start. */
  onCards: (cards: readonly NodeCard[]) => void;
}

export class Membership {
  readonly #options: MembershipOptions;
  readonly #list: MemberList<NodeCard>;
  readonly #views = new Map<string, PeerView>();
  readonly #usual = new UsualWait();
  readonly #probing: Probing;
  readonly #namesakes: Namesakes;
  readonly #suspicions: Counter;
  readonly #deaths: Counter;
  #ownCard: { readonly text: string; readonly sinceMs: number };
  #cardsChanged = false;
  #toldMs = -Infinity;
  #stopped = false;

  constructor(options: MembershipOptions, remembered: readonly NodeCard[] = []) {
    this.#options = options;
    const { clock, metrics } = options;
    const self = options.self();
    // The time is as good as any number to begin with, and mostly above that of a former life: see MemberList.
    this.#list = new MemberList(self.id, Math.max(1, Math.floor(clock.wallMs() / 1_000)), CARDS_MAX);
    this.#namesakes = new Namesakes(options);
    this.#ownCard = { text: newsworthy(self), sinceMs: clock.monotonicMs() };
    if (self.ringId !== undefined) this.#list.become("alive", self);
    this.#probing = new Probing({
      ...options,
      list: this.#list,
      views: this.#views,
      ping: (view) => this.#ping(view),
      pingUrl: (url, expect, timeoutMs) => this.#pingUrl(url, expect, timeoutMs),
      call: (id, request, timeoutMs) => {
        return options.peers.call(this.card(id)!.peerUrl, request, { timeoutMs, expect: id });
      },
      hear: (rumours, from, isNews) => this.#hearAll(rumours, from, isNews),
      newsFor: (id) => this.newsFor(id),
      look: (view) => this.#look(view),
      checkOwnCard: () => this.#checkOwnCard(),
      forget: (ids) => this.#forget(ids),
    });
    for (const card of remembered) this.#learn(card);
    this.#cardsChanged = false;
    this.#suspicions = metrics.counter(
      "atoll_peer_suspicions_total",
      "Peers that were alive and became suspect",
    );
    this.#deaths = metrics.counter("atoll_peer_deaths_total", "Peers that became dead");
    metrics.gauge("atoll_peers_alive", "Peers that answer", () => this.alive().length);
    metrics.gauge("atoll_peers_known", "Peers ever heard of", () => this.#list.size);
  }

  start(): void {
    this.#probing.start();
  }

  stop(): void {
    this.#stopped = true;
    this.#probing.stop();
  }

  /** Tells others, best effort and within half a second, that this node is about to end: they ask it last from now on. */
  async leave(): Promise<void> {
    this.#list.become("leaving");
    const told = [...this.#views.values()].filter(({ doubt }) => doubt === undefined).slice(0, GOODBYES_MAX);
    await Promise.allSettled(
      told.map(({ id }) => this.#pingUrl(this.card(id)!.peerUrl, id, GOODBYE_TIMEOUT_MS)),
    );
  }

  /** What this node says of itself. */
  own(): NodeCard {
    return this.#options.self();
  }

  card(id: string): NodeCard | undefined {
    return this.#list.get(id)?.card;
  }

  /** Whether to ask it first; false for nodes never heard from, too. */
  isAlive(id: string): boolean {
    return this.#views.get(id)?.isAlive === true;
  }

  /** Known not to answer: this node has asked in vain. Of who was never heard from that is not known. */
  isLost(id: string): boolean {
    return this.#views.get(id)?.isLost === true;
  }

  /** Undefined for who was never heard of. */
  state(id: string): MemberState | undefined {
    const member = this.#list.get(id);
    return member && this.#view(id).stateOf(member);
  }

  members(): MemberView[] {
    const { clock } = this.#options;
    const bootMs = clock.wallMs() - clock.monotonicMs();
    return [...this.#list.all()].map((member) => {
      const view = this.#view(member.id);
      const { doubt, rttMs } = view;
      return { card: member.card, state: view.stateOf(member), doubt, since: bootMs + member.sinceMs, rttMs };
    });
  }

  /** Smoothed round trip in ms; a peer never measured is taken for far away. */
  rttMs(id: string): number {
    return this.#views.get(id)?.rttMs ?? 1_000;
  }

  alive(): NodeCard[] {
    return [...this.#list.all()].filter(({ id }) => this.isAlive(id)).map(({ card }) => card);
  }

  cards(): NodeCard[] {
    return [...this.#list.all()].map(({ card }) => card);
  }

  /**
   * Somebody pinged us: that is a sign of life, and news of others. `known`: as nodes without `news` tell of others.
   * Throws `id-taken`.
   */
  heard(card: NodeCard, known: readonly NodeCard[], news: readonly Rumour[] = []): void {
    this.#met(card, known, news);
  }

  /** What a message to that node says besides its purpose. */
  newsFor(id: string | undefined): Rumour[] {
    const said = id === undefined ? 0 : this.#views.get(id)?.saidNumber ?? 0;
    return this.#list.news(id, said, this.#cardIfNews());
  }

  /** The whole list, page by page, for one that has just come. */
  page(after: string): { entries: Rumour[]; next: string | undefined } {
    return this.#list.page(after, PAGE_MAX, this.#options.self());
  }

  /** Looks for a node on another's behalf. */
  async probe(
    from: string,
    target: string,
    news: readonly Rumour[],
  ): Promise<{ reached: boolean; news: Rumour[] }> {
    this.#hearAll(news, from, true);
    const reached = await this.#probing.lookFor(target);
    const member = this.#list.get(target);
    if (!reached || !member || member.number === 0 || member.state === "gone") return { reached, news: [] };
    return { reached, news: [{ id: target, number: member.number, state: member.state }] };
  }

  /** A call to the peer went well. */
  succeeded(id: string): void {
    const view = this.#views.get(id);
    if (!view) return;
    this.#probing.exchanged(id);
    view.lastHeardMs = this.#nowMs();
    view.detector.worked(this.#nowMs());
    this.#look(view);
  }

  /** A call failed. Only a refused connection says something for sure; a late answer is for the silence to judge. */
  failed(id: string, error: unknown): void {
    const view = this.#views.get(id);
    if (!view) return;
    this.#probing.exchanged(id);
    if (isAtollError(error, "peer-unreachable")) this.#refused(view);
    if (!isAtollError(error, "peer-timeout")) return;
    view.detector.timedOut();
    this.#look(view);
    if (view.pings === 0) this.#probing.ask(id);
  }

  /** Pings those whom it would ping at the next beat, now. */
  announce(): void {
    this.#probing.announce();
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  #cardIfNews(): NodeCard | undefined {
    return this.#nowMs() - this.#ownCard.sinceMs < CARD_IS_NEWS_MS ? this.#options.self() : undefined;
  }

  #view(id: string): PeerView {
    let view = this.#views.get(id);
    if (!view) this.#views.set(id, view = new PeerView(id, this.#usual));
    return view;
  }

  /** True when the sender holds something of this node that it had to deny. */
  #met(card: NodeCard, known: readonly NodeCard[], news: readonly Rumour[]): boolean {
    if (!this.#isOfOurRing(card)) return false;
    const before = this.card(card.id);
    // Whether that one still is there is looked at now: if it is not, the next to come under its ID is let in.
    this.#namesakes.refuse(
      card,
      this.isAlive(card.id) ? before : undefined,
      () => this.#probing.ask(card.id),
    );
    if (card.id === this.#options.self().id) return false;
    const nowMs = this.#nowMs();
    if (!this.#list.meet(card.id, card, nowMs)) return false;
    const isNews = before === undefined || newsworthy(before) !== newsworthy(card);
    if (isNews) this.#cardsChanged = true;
    const view = this.#view(card.id);
    view.lastHeardMs = nowMs;
    view.detector.heard(nowMs);
    const own = news.find(({ id }) => id === card.id);
    if (own) {
      view.saidNumber = own.number;
      this.#list.hear(isNews ? { ...own, card } : own, nowMs);
    }
    const denied = this.#hearAll(news.filter((rumour) => rumour !== own), card.id, true);
    for (const other of known) if (this.#learn(other)) this.#probing.learned(other.id);
    this.#tellOfCards();
    this.#look(view);
    this.#probing.met(view);
    this.#options.onHeard(card);
    return denied;
  }

  /** `from`: who has the whole list, should that be needed. True as for `#met`. */
  #hearAll(rumours: readonly Rumour[], from: string, isNews: boolean): boolean {
    let denied = false;
    for (const rumour of rumours) {
      if (rumour.card && (rumour.card.id !== rumour.id || !this.#isOfOurRing(rumour.card))) continue;
      const before = this.#list.get(rumour.id);
      const wasOver = isOver(before);
      const said = this.#list.hear(rumour, this.#nowMs(), { isNews, ownCard: this.#cardIfNews() });
      if (said === "denied") denied = true;
      if (said === "unknown") this.#probing.lacks(from);
      if (said !== "changed") continue;
      const view = this.#view(rumour.id);
      // What was waited for before it died, and in vain, says nothing of it now.
      if (wasOver && !isOver(this.#list.get(rumour.id))) view.detector.reset();
      if (rumour.card) this.#cardsChanged = true;
      if (!before) this.#probing.learned(rumour.id);
      this.#look(view);
    }
    this.#tellOfCards();
    return denied;
  }

  #isOfOurRing(card: NodeCard): boolean {
    const { ringId } = this.#options.self();
    return !ringId || !card.ringId || card.ringId === ringId;
  }

  #learn(card: NodeCard): boolean {
    if (!this.#isOfOurRing(card) || !this.#list.learn(card.id, card, this.#nowMs())) return false;
    this.#cardsChanged = true;
    this.#view(card.id);
    return true;
  }

  /** To write a large ring's addresses down is work: once a period is enough. */
  #tellOfCards(): void {
    const nowMs = this.#nowMs();
    if (
      !this.#cardsChanged || (this.#list.size > CARDS_AT_ONCE_MAX && nowMs - this.#toldMs < CARDS_INTERVAL_MS)
    ) return;
    this.#cardsChanged = false;
    this.#toldMs = nowMs;
    this.#options.onCards(this.cards());
  }

  #forget(ids: readonly string[]): void {
    for (const id of ids) this.#views.delete(id);
    this.#cardsChanged = true;
    this.#tellOfCards();
  }

  #checkOwnCard(): void {
    this.#tellOfCards();
    const card = this.#options.self();
    const text = newsworthy(card);
    if (text === this.#ownCard.text) return;
    this.#ownCard = { text, sinceMs: this.#nowMs() };
    const { state } = this.#list.ownRumour();
    this.#list.become(state === "leaving" ? state : card.ringId === undefined ? "joining" : "alive", card);
  }

  #ping(view: PeerView): void {
    const { metrics } = this.#options;
    const nowMs = this.#nowMs();
    const card = this.card(view.id);
    if (!card || this.#stopped || view.pings >= PINGS_MAX || view.pingedMs === nowMs) return;
    view.pings++;
    view.pingedMs = nowMs;
    view.detector.asked(nowMs);
    this.#pingUrl(card.peerUrl, card.id).then((denied) => {
      const rttMs = this.#nowMs() - nowMs;
      view.measured(rttMs);
      view.detector.answered(this.#nowMs());
      this.#look(view);
      metrics.histogram("atoll_peer_rtt_seconds", "Round trips of pings", { peer_region: card.region })
        .observe(rttMs / 1_000);
      // It may hear the denial at once instead of in a second.
      if (denied) this.#probing.ask(view.id);
    }, (error: unknown) => {
      if (isAtollError(error, "peer-unreachable")) this.#refused(view);
    }).finally(() => view.pings--);
  }

  async #pingUrl(url: string, expect: string | undefined, timeoutMs = PING_TIMEOUT_MS): Promise<boolean> {
    const reply = await this.#options.peers.call(url, {
      type: "ping",
      card: this.#options.self(),
      news: this.newsFor(expect),
    }, { timeoutMs, expect }).catch((error: unknown) => this.#namesakes.pinged(error));
    if (this.#stopped) return false;
    return this.#met(reply.card, reply.known ?? [], reply.news ?? []);
  }

  #refused(view: PeerView): void {
    view.detector.refused();
    this.#look(view);
    this.#probing.refused(view);
  }

  /** Says so when it is another verdict than before. */
  #look(view: PeerView): void {
    const { log } = this.#options;
    const member = this.#list.get(view.id);
    if (!member) return;
    const before = view.doubt;
    const doubt = view.doubt = view.doubtOf(member, this.#nowMs());
    if (doubt === "hanging") this.#probing.hangs(view);
    const fields = { peer: view.id, peerUrl: member.card.peerUrl };
    if (doubt === undefined && before !== undefined) {
      log.info("peer is back", fields);
      this.#options.onReturned(view.id);
    } else if (doubt === "leaving" && before !== "leaving") log.info("peer is leaving", fields);
    else if (doubt !== undefined && before === undefined) {
      log.warn("peer is suspect", { ...fields, reason: doubt });
      this.#suspicions.add();
    }
    const { state } = member;
    if (state === "dead" && view.toldState !== "dead") {
      log.warn("peer is dead", fields);
      this.#deaths.add();
    }
    view.toldState = state;
  }
}

/** What of a card others must know of; the layout's number changes at all of them together. */
function newsworthy({ peerUrl, publicUrl, region, zone, incarnation, ringId }: NodeCard): string {
  return [peerUrl, publicUrl, region, zone, incarnation, ringId].join(" ");
}
