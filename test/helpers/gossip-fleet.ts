/**
 * Many memberships without nodes around them, in simulated time, over a network that counts bytes and loses what it is
 * told to. For fleets too large for whole nodes: the clock goes in whole ms and lets what is due together run together.
 */
import { setImmediate } from "node:timers";
import { AtollError } from "../../src/errors.ts";
import {
  type CallReply,
  type CallRequest,
  decodeReplies,
  decodeRequests,
  encodeReply,
  encodeRequest,
  joinFrames,
} from "../../src/http/peer-codec.ts";
import { Membership } from "../../src/node/membership.ts";
import { Metrics } from "../../src/node/metrics.ts";
import type {
  CallOptions,
  Clock,
  Log,
  NodeCard,
  PeerReply,
  PeerRequest,
  Peers,
  ReplyTo,
} from "../../src/ports.ts";
import { createSeededRandom, type SeededRandom } from "./fake-random.ts";

const EPOCH_MS = Date.UTC(2026, 0, 15);

/** The sender's own rumour, and whose turn it is. */
const NO_NEWS = 2;

export class FleetClock implements Clock {
  #nowMs = 0;
  readonly #due = new Map<number, { run: (() => void) | undefined }[]>();

  wallMs(): number {
    return EPOCH_MS + this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, run: () => void): () => void {
    const dueMs = this.#nowMs + Math.max(1, Math.ceil(delayMs));
    const timer: { run: (() => void) | undefined } = { run };
    const together = this.#due.get(dueMs);
    if (together) together.push(timer);
    else this.#due.set(dueMs, [timer]);
    return () => (timer.run = undefined);
  }

  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    while (this.#nowMs < endMs) {
      const due = this.#due.get(++this.#nowMs);
      if (!due) continue;
      this.#due.delete(this.#nowMs);
      for (const { run } of due) run?.();
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }

  /** The ms that passed until it was so, looked at every `stepMs`; undefined: not within `limitMs`. */
  async until(condition: () => boolean, limitMs: number, stepMs = 50): Promise<number | undefined> {
    for (let passedMs = 0; passedMs <= limitMs; passedMs += stepMs) {
      if (condition()) return passedMs;
      await this.advance(stepMs);
    }
    return undefined;
  }
}

export interface FleetOptions {
  readonly members: number;
  readonly seed?: number;
}

/** One that has not crashed. */
interface Site {
  readonly membership: Membership;
  isUp: boolean;
}

export class GossipFleet {
  readonly clock = new FleetClock();
  readonly random: SeededRandom;
  readonly ids: readonly string[];
  /** Of one way; undefined: nothing is lost. */
  isLost: ((from: string, to: string) => boolean) | undefined;
  /** What is sent is decoded again, as a real receiver would: slower. */
  isDecoded = false;
  /** Whether bytes are counted, which is most of the work. */
  isCounting = false;
  bytes = 0;
  messages = 0;
  /** Suspicions and deaths of members that are up, as the members' own logs have them. */
  falseSuspicions = 0;
  falseDeaths = 0;
  readonly #sites = new Map<string, Site>();

  constructor({ members, seed = 1 }: FleetOptions) {
    this.random = createSeededRandom(seed);
    // As long as real ones.
    this.ids = Array.from({ length: members }, (_, n) => `node-${String(n).padStart(4, "0")}-000000`);
    for (const id of this.ids) this.#sites.set(id, { membership: this.#membership(id), isUp: false });
  }

  at(id: string): Membership {
    return this.#sites.get(id)!.membership;
  }

  get up(): string[] {
    return this.ids.filter((id) => this.#sites.get(id)!.isUp);
  }

  /** All have heard of all, and it is no news any more. Before they start. */
  acquaint(): void {
    for (const id of this.ids) {
      const membership = this.at(id);
      for (const other of this.ids) {
        membership.heard(this.card(other), [], [this.at(other).newsFor(undefined)[0]!]);
      }
      while (membership.newsFor(undefined).length > NO_NEWS);
    }
  }

  /** Within a second of each other, as after an outage; resolves with the ms until all know of all, give or take a half second. */
  async start(): Promise<number> {
    for (const id of this.ids) {
      this.clock.after(this.random.below(1_000), () => {
        this.#sites.get(id)!.isUp = true;
        this.at(id).start();
      });
    }
    const others = this.ids.length - 1;
    const isOpen = (): boolean => this.ids.every((id) => this.at(id).alive().length === others);
    const ms = await this.clock.until(isOpen, 120_000, 500);
    if (ms === undefined) throw new Error("wanted all to know each other within two minutes");
    return ms;
  }

  crash(id: string): void {
    this.#sites.get(id)!.isUp = false;
    this.at(id).stop();
  }

  /** Of those up, who say so of it. */
  count(about: string, says: (membership: Membership) => boolean): number {
    return this.up.filter((id) => id !== about && says(this.at(id))).length;
  }

  card(id: string): NodeCard {
    return {
      id,
      region: "fra",
      zone: "fra-1",
      peerUrl: urlOf(id),
      publicUrl: `http://${id}.vm.atoll.internal:8080`,
      incarnation: "0123456789abcdef",
      ringId: "0123456789abcdef",
      layoutNumber: 1,
      bootstrapExpect: 0,
    };
  }

  #membership(id: string): Membership {
    return new Membership({
      self: () => this.card(id),
      seeds: () => [0, 1, 2].map((n) => urlOf(this.ids[n % this.ids.length]!)),
      hasPlace: () => true,
      peers: this.#peersOf(id),
      clock: this.clock,
      random: this.random,
      log: this.#log(),
      metrics: new Metrics(),
      onHeard: () => {},
      onReturned: () => {},
      onCards: () => {},
    });
  }

  #log(): Log {
    return {
      info() {},
      error() {},
      warn: (message, fields) => {
        if (!this.#sites.get(String(fields?.["peer"]))?.isUp) return;
        if (message === "peer is suspect") this.falseSuspicions++;
        if (message === "peer is dead") this.falseDeaths++;
      },
    };
  }

  #peersOf(id: string): Peers {
    return {
      call: <R extends PeerRequest>(url: string, request: R, { timeoutMs, expect }: CallOptions) =>
        new Promise<ReplyTo<R>>((resolve, reject) => {
          const cancel = this.clock.after(
            timeoutMs,
            () => reject(new AtollError("peer-timeout", "no answer")),
          );
          const to = expect ?? this.ids.find((one) => urlOf(one) === url)!;
          this.#carry(id, to, this.#passed(request as CallRequest), async (asked) => {
            const site = this.#sites.get(to);
            if (!site?.isUp) return;
            const reply = await answer(site.membership, this.card(to), id, asked);
            this.#carry(to, id, this.#passed(reply, true), (answered) => {
              cancel();
              resolve(answered as unknown as ReplyTo<R>);
            });
          });
        }),
    };
  }

  #carry<M>(from: string, to: string, message: M, arrive: (message: M) => void): void {
    if (this.isLost?.(from, to)) return;
    this.clock.after(5 + this.random.below(35), () => arrive(message));
  }

  /** The message as it arrives; its bytes are counted, lost or not. */
  #passed<M extends CallRequest | CallReply>(message: M, isReply = false): M {
    this.messages++;
    if (!this.isCounting && !this.isDecoded) return message;
    const frame = isReply
      ? encodeReply(message as CallReply)
      : encodeRequest({ request: message as CallRequest });
    this.bytes += frame.sizeBytes + 4;
    if (!this.isDecoded) return message;
    const body = joinFrames([frame]);
    const decoded = isReply ? decodeReplies(body, 1)[0] : decodeRequests(body)[0];
    if (decoded instanceof Error) throw decoded;
    return (isReply ? decoded : (decoded as { request: CallRequest }).request) as M;
  }
}

/** As node/peer-service.ts has it. */
async function answer(
  membership: Membership,
  card: NodeCard,
  from: string,
  request: PeerRequest,
): Promise<CallReply> {
  switch (request.type) {
    case "ping":
      membership.heard(request.card, [], request.news);
      return { type: "pong", card, news: membership.newsFor(from) };
    case "probe":
      return { type: "probe", ...await membership.probe(from, request.target, request.news) };
    case "members":
      return { type: "members", ...membership.page(request.after) };
    default:
      return {
        type: "error",
        code: "internal",
        message: `${request.type} is not simulated`,
      } satisfies PeerReply;
  }
}

function urlOf(id: string): string {
  return `http://${id}.vm.atoll.internal:8081`;
}
