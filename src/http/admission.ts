/** Whether a request may be begun: so many at a time, of all and of one client, and so many in a time. */
import { ActiveCounts } from "../core/active-counts.ts";
import { clientOf, type TrustedProxy } from "../core/client-address.ts";
import type { LoadShedder } from "../core/load-shedder.ts";
import { type Rate, type Taken, TokenBuckets } from "../core/token-bucket.ts";
import type { Counter, Metrics } from "../node/metrics.ts";
import type { Clock } from "../ports.ts";
import type { Answer, ConnectionEnv } from "./answer.ts";
import { problem } from "./problem.ts";
import type { PublicRequest } from "./request.ts";
import { type Place, WaitingLine } from "./waiting-line.ts";

/** What counts against which limit; also the metric's label. */
const LIMITS = [
  "concurrent-requests",
  "lateness",
  "client-concurrency",
  "key-concurrency",
  "client-rate",
  "key-rate",
  "quota",
  "object-size",
  "range-count",
  "listing-size",
] as const;
export type LimitName = (typeof LIMITS)[number];

export interface AdmissionLimits {
  readonly trustedProxy: TrustedProxy;
  readonly maxConcurrentRequests: number;
  /** Infinity: no limit. */
  readonly maxConcurrentPerClient: number;
  readonly maxConcurrentPerKey: number;
  readonly ratePerClient: Rate | undefined;
  readonly ratePerKey: Rate | undefined;
}

/** Of all that may be under way; beyond it nobody is asked anything for whoever has shown no right to have it asked. */
const STRANGERS_SHARE = 0.5;

/** Whose requests about the node itself find a place however full it is; further ones are let in like all others. */
const OPERATORS_MAX = 16;

/** For whoever waits for a value and not for an answer. */
export class TurnedAway extends Error {
  readonly answer: Answer;

  constructor(answer: Answer) {
    super("turned away");
    this.answer = answer;
  }
}

/** What a request was let in with; to be given back when its answer was sent. */
export interface Admitted {
  readonly client: string | undefined;
  /** ID of the access key that it counts for. */
  keyId: string | undefined;
  /** RateLimit fields of its answer. */
  headers: Readonly<Record<string, string>> | undefined;
  /** Among those that are worked at. */
  place: Place | undefined;
  isOperator: boolean;
  /** Whoever asks may have it, or may know that it is not there. */
  isPastDoor: boolean;
}

export function turnedAway(refused: Answer | undefined): undefined {
  if (refused) throw new TurnedAway(refused);
}

/** For whom there are no limits of clients. */
export function uncounted(): Admitted {
  return {
    client: undefined,
    keyId: undefined,
    headers: undefined,
    place: undefined,
    isOperator: false,
    isPastDoor: false,
  };
}

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #shedder: LoadShedder | undefined;
  readonly #clock: Clock;
  readonly #counters: Readonly<Record<LimitName, Counter>>;
  readonly #byClient: TokenBuckets | undefined;
  readonly #byKey: TokenBuckets | undefined;
  readonly #activeOfClients: ActiveCounts;
  readonly #activeOfKeys: ActiveCounts;
  readonly #knowsClients: boolean;
  readonly #line: WaitingLine;
  #operators = 0;

  constructor(
    deps: { limits: AdmissionLimits; shedder: LoadShedder | undefined; clock: Clock; metrics: Metrics },
  ) {
    const { limits, shedder, clock, metrics } = deps;
    this.#limits = limits;
    this.#shedder = shedder;
    this.#clock = clock;
    this.#counters = Object.fromEntries(
      LIMITS.map((limit) => [limit, limitCounter(metrics, limit)]),
    ) as Record<LimitName, Counter>;
    this.#byClient = limits.ratePerClient && new TokenBuckets(limits.ratePerClient);
    this.#byKey = limits.ratePerKey && new TokenBuckets(limits.ratePerKey);
    this.#activeOfClients = new ActiveCounts(limits.maxConcurrentPerClient);
    this.#activeOfKeys = new ActiveCounts(limits.maxConcurrentPerKey);
    this.#line = new WaitingLine({ clock, limit: () => this.#limit });
    // Without such a limit nobody needs to know who asks.
    this.#knowsClients = limits.maxConcurrentPerClient !== Infinity || this.#byClient !== undefined;
  }

  /** Of one client. The answer that turns it away, or what to give back. */
  client(request: PublicRequest, env: ConnectionEnv): Admitted | Answer {
    if (!this.#knowsClients) return uncounted();
    const remote = env.incoming?.socket.remoteAddress ?? "unknown";
    const client = clientOf(this.#limits.trustedProxy, remote, request.header);
    if (this.#activeOfClients.isFull(client)) {
      return this.#tooManyNow("client-concurrency", "of one client", this.#activeOfClients.max, request);
    }
    let headers: Record<string, string> | undefined;
    if (this.#byClient) {
      const taken = this.#byClient.take(client, this.#clock.monotonicMs());
      headers = rateFields("client", this.#byClient.rate, taken);
      if (!taken.granted) {
        return this.#tooOften("client-rate", "of one client", this.#byClient.rate, headers, request);
      }
    }
    this.#activeOfClients.begin(client);
    return { ...uncounted(), client, headers };
  }

  /** Of one access key, once it is known to be whose it says. The answer that turns it away, if there is one. */
  key(request: PublicRequest, keyId: string, admitted: Admitted): Answer | undefined {
    if (this.#activeOfKeys.isFull(keyId)) {
      return this.#tooManyNow("key-concurrency", "with one key", this.#activeOfKeys.max, request);
    }
    const refused = this.#byKey && this.#keyRate(this.#byKey, request, keyId, admitted);
    if (refused) return refused;
    this.#activeOfKeys.begin(keyId);
    admitted.keyId = keyId;
    return undefined;
  }

  #keyRate(
    byKey: TokenBuckets,
    request: PublicRequest,
    keyId: string,
    admitted: Admitted,
  ): Answer | undefined {
    const taken = byKey.take(keyId, this.#clock.monotonicMs());
    const headers = rateFields("key", byKey.rate, taken);
    if (!taken.granted) return this.#tooOften("key-rate", "with one key", byKey.rate, headers, request);
    admitted.headers = joined(admitted.headers, headers);
    return undefined;
  }

  /**
   * Of all, once it is clear that the answer is not at hand: the answer that turns it away, if there is one. `underWay`: all
   * that were begun, slow ones and those in line included. Once is enough: who was let in before is.
   */
  enter(
    request: PublicRequest,
    admitted: Admitted,
    underWay: number,
    isStranger = false,
  ): Answer | undefined | Promise<Answer | undefined> {
    if (admitted.place) return undefined;
    const { maxConcurrentRequests } = this.#limits;
    const most = isStranger ? Math.ceil(STRANGERS_SHARE * maxConcurrentRequests) : maxConcurrentRequests;
    if (underWay > most) return this.#full("concurrent-requests", most, request);
    const place = this.#line.enter();
    if (!(place instanceof Promise)) return this.#entered(place, request, admitted);
    return place.then((called) => this.#entered(called, request, admitted));
  }

  /** Who may ask about the node must be heard when it is full: to take back a key, above all. False: to be entered. */
  enterOperator(admitted: Admitted): boolean {
    if (this.#operators >= OPERATORS_MAX) return false;
    this.#operators++;
    admitted.isOperator = true;
    return true;
  }

  #entered(place: Place | undefined, request: PublicRequest, admitted: Admitted): Answer | undefined {
    admitted.place = place;
    return place ? undefined : this.#full("lateness", this.#limit, request);
  }

  #full(limit: LimitName, most: number, request: PublicRequest): Answer {
    const detail = `wanted at most ${most} requests under way now, got one more`;
    const seconds = this.turnAway(limit);
    return problem("overloaded", detail, request.id, {
      "Retry-After": String(seconds),
      RateLimit: `"load";r=0;t=${seconds}`,
    });
  }

  done({ client, keyId, place, isOperator }: Admitted): void {
    if (isOperator) this.#operators--;
    if (place) {
      this.#line.leave(place);
      this.#shedder?.done();
    }
    if (client !== undefined) this.#activeOfClients.end(client);
    if (keyId !== undefined) this.#activeOfKeys.end(keyId);
  }

  /** Requests that are worked at, less those whose answer was at hand. */
  get running(): number {
    return this.#line.running;
  }

  /** By which limit one that comes now need not even be looked at. `underWay`: as in `enter`. */
  fullBy(underWay: number): "concurrent-requests" | "lateness" | undefined {
    if (underWay > this.#limits.maxConcurrentRequests) return "concurrent-requests";
    return this.#line.isFull ? "lateness" : undefined;
  }

  /** Whether more are being turned away than can be afforded. */
  get isFlood(): boolean {
    return this.#shedder?.isFlood ?? false;
  }

  /** Counts one that is; seconds that it shall stay away. */
  turnAway(limit: LimitName): number {
    this.count(limit);
    return this.#shedder?.turnAway() ?? 1;
  }

  get #limit(): number {
    return Math.min(this.#limits.maxConcurrentRequests, this.#shedder?.limit ?? Infinity);
  }

  count(limit: LimitName): void {
    this.#counters[limit].add();
  }

  #tooManyNow(limit: LimitName, whose: string, max: number, request: PublicRequest): Answer {
    this.count(limit);
    const detail = `wanted at most ${max} requests ${whose} at a time, got one more`;
    const headers = { "Retry-After": "1", RateLimit: `"${limit}";r=0;t=1` };
    return problem("too-many-requests", detail, request.id, headers);
  }

  #tooOften(
    limit: LimitName,
    whose: string,
    { quota, windowMs }: Rate,
    headers: Record<string, string>,
    request: PublicRequest,
  ): Answer {
    this.count(limit);
    const detail = `wanted at most ${quota} requests ${whose} in ${windowMs / 1000} s, got one more`;
    return problem("too-many-requests", detail, request.id, headers);
  }
}

export function limitCounter(metrics: Metrics, limit: string): Counter {
  return metrics.counter("atoll_limited_total", "Requests and connections turned away or cut, by the limit", {
    limit,
  });
}

/** Both are lists: one member for each policy. */
function joined(
  first: Readonly<Record<string, string>> | undefined,
  second: Readonly<Record<string, string>>,
): Record<string, string> {
  if (!first) return second;
  return Object.fromEntries(
    Object.entries(second).map(([name, value]) => [name, `${first[name]}, ${value}`]),
  );
}

/** To an answer that may have fields of its own: of the limit by which it was turned away. */
export function addRateFields(
  headers: Record<string, string>,
  fields: Readonly<Record<string, string>>,
): void {
  for (const [name, value] of Object.entries(fields)) {
    headers[name] = headers[name] === undefined ? value : `${value}, ${headers[name]}`;
  }
}

/** draft-ietf-httpapi-ratelimit-headers: what is left, and in how many seconds there is (all of it) again. */
function rateFields(
  policy: string,
  rate: Rate,
  { granted, remaining, waitMs }: Taken,
): Record<string, string> {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000));
  return {
    "RateLimit-Policy": `"${policy}";q=${rate.quota};w=${Math.ceil(rate.windowMs / 1000)}`,
    RateLimit: `"${policy}";r=${remaining}${waitMs > 0 ? `;t=${seconds}` : ""}`,
    ...(!granted && { "Retry-After": String(seconds) }),
  };
}
