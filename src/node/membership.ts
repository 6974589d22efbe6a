/**
 * Who is there, how far away, and who has fallen silent.
 *
 * Every node pings every other once a second and passes on the cards it knows. A refused connection makes a peer suspect
 * at once; a silent or hanging one after `SUSPECT_AFTER_MS`. Suspicion only changes whom one asks first: a suspect stays
 * in the layout and counts for every majority.
 */
import { isAtollError } from "../errors.ts";
import type { Clock, Log, NodeCard, Peers } from "../ports.ts";
import type { Metrics } from "./metrics.ts";

const HEARTBEAT_MS = 1_000;
const PING_TIMEOUT_MS = 2_000;
export const SUSPECT_AFTER_MS = 3_000;
/** Cards kept; more than any ring has nodes, less than a lying peer could invent. */
const CARDS_MAX = 2_048;
/** Weight of a new sample in the smoothed round trip, as in TCP (RFC 6298). */
const GAIN = 1 / 8;

interface Peer {
  card: NodeCard;
  suspect: boolean;
  lastHeardMs: number;
  /** Smoothed ms of a ping; undefined before the first answer. */
  rttMs: number | undefined;
  pinging: boolean;
}

export interface MembershipOptions {
  self: () => NodeCard;
  /** Peer URLs to find others by, asked for at each beat. */
  seeds: () => readonly string[];
  peers: Peers;
  clock: Clock;
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
  readonly #peers = new Map<string, Peer>();
  #stopTimer: (() => void) | undefined;
  #stopped = false;

  constructor(options: MembershipOptions, remembered: readonly NodeCard[] = []) {
    this.#options = options;
    for (const card of remembered) this.#learn(card, false);
    options.metrics.gauge("atoll_peers_alive", "Peers that answer", () => this.alive().length);
    options.metrics.gauge("atoll_peers_known", "Peers ever heard of", () => this.#peers.size);
  }

  start(): void {
    this.#beat();
  }

  stop(): void {
    this.#stopped = true;
    this.#stopTimer?.();
  }

  /** What this node says of itself. */
  own(): NodeCard {
    return this.#options.self();
  }

  card(id: string): NodeCard | undefined {
    return this.#peers.get(id)?.card;
  }

  /** False for nodes never heard from, too. */
  isAlive(id: string): boolean {
    const peer = this.#peers.get(id);
    return peer !== undefined && !peer.suspect;
  }

  /** Smoothed round trip in ms; a peer never measured is taken for far away. */
  rttMs(id: string): number {
    return this.#peers.get(id)?.rttMs ?? 1_000;
  }

  alive(): NodeCard[] {
    return [...this.#peers.values()].filter((peer) => !peer.suspect).map((peer) => peer.card);
  }

  cards(): NodeCard[] {
    return [...this.#peers.values()].map((peer) => peer.card);
  }

  /** Somebody pinged us: that is a sign of life, and news of others. */
  heard(card: NodeCard, known: readonly NodeCard[]): void {
    this.#learn(card, true);
    for (const other of known) if (!this.#peers.has(other.id)) this.#learn(other, false);
  }

  /** A call to the peer went well. */
  succeeded(id: string): void {
    const peer = this.#peers.get(id);
    if (peer) this.#alive(peer);
  }

  /** A call failed. Only a refused connection says something for sure; a late answer is for the silence to judge. */
  failed(id: string, error: unknown): void {
    const peer = this.#peers.get(id);
    if (!peer) return;
    const silentMs = this.#options.clock.monotonicMs() - peer.lastHeardMs;
    if (isAtollError(error, "peer-unreachable") || silentMs > SUSPECT_AFTER_MS) this.#suspect(peer);
  }

  /** Pings everybody now, not at the next beat. */
  announce(): void {
    for (const peer of this.#peers.values()) this.#ping(peer);
  }

  #beat(): void {
    if (this.#stopped) return;
    const now = this.#options.clock.monotonicMs();
    for (const peer of this.#peers.values()) {
      if (!peer.suspect && now - peer.lastHeardMs > SUSPECT_AFTER_MS) this.#suspect(peer);
      this.#ping(peer);
    }
    const known = new Set(this.cards().map((card) => card.peerUrl));
    const own = this.#options.self().peerUrl;
    for (const seed of this.#options.seeds()) {
      if (!known.has(seed) && seed !== own) {
        this.#pingUrl(seed, undefined).catch(() => {
          // Not there yet: the next beat asks again.
        });
      }
    }
    this.#stopTimer = this.#options.clock.after(HEARTBEAT_MS, () => this.#beat());
  }

  #ping(peer: Peer): void {
    if (peer.pinging) return;
    peer.pinging = true;
    const begunMs = this.#options.clock.monotonicMs();
    this.#pingUrl(peer.card.peerUrl, peer.card.id).then(() => {
      const rttMs = this.#options.clock.monotonicMs() - begunMs;
      peer.rttMs = peer.rttMs === undefined ? rttMs : peer.rttMs + GAIN * (rttMs - peer.rttMs);
      this.#options.metrics.histogram("atoll_peer_rtt_seconds", "Round trips of pings", {
        peer_region: peer.card.region,
      }).observe(rttMs / 1_000);
    }, (error) => this.failed(peer.card.id, error)).finally(() => (peer.pinging = false));
  }

  async #pingUrl(url: string, expect: string | undefined): Promise<void> {
    const reply = await this.#options.peers.call(url, {
      type: "ping",
      card: this.#options.self(),
      known: this.alive(),
    }, { timeoutMs: PING_TIMEOUT_MS, expect });
    if (this.#stopped) return;
    this.heard(reply.card, reply.known);
  }

  #learn(card: NodeCard, direct: boolean): void {
    if (card.id === this.#options.self().id) return;
    const ringId = this.#options.self().ringId;
    if (ringId && card.ringId && card.ringId !== ringId) return;
    let peer = this.#peers.get(card.id);
    if (!peer) {
      if (this.#peers.size >= CARDS_MAX) return;
      peer = { card, suspect: !direct, lastHeardMs: -Infinity, rttMs: undefined, pinging: false };
      this.#peers.set(card.id, peer);
      this.#options.onCards(this.cards());
      if (!direct) this.#ping(peer);
    }
    if (!direct) return;
    const moved = peer.card.peerUrl !== card.peerUrl;
    peer.card = card;
    if (moved) this.#options.onCards(this.cards());
    this.#alive(peer);
    this.#options.onHeard(card);
  }

  #alive(peer: Peer): void {
    peer.lastHeardMs = this.#options.clock.monotonicMs();
    if (!peer.suspect) return;
    peer.suspect = false;
    this.#options.log.info("peer is back", { peer: peer.card.id, peerUrl: peer.card.peerUrl });
    this.#options.onReturned(peer.card.id);
  }

  #suspect(peer: Peer): void {
    if (peer.suspect) return;
    peer.suspect = true;
    this.#options.log.warn("peer is suspect", { peer: peer.card.id, peerUrl: peer.card.peerUrl });
  }
}
