/**
 * Of many who want the same of an origin only the first asks. Whoever comes while the question is under way gets its answer
 * as if that had been here already, which is to say while it is fresh; otherwise the next question's, which begins after all
 * who wait for it have come. What may stand in for an answer that did not come each is told for itself: the request allows it.
 */
import { LRUCache } from "lru-cache";
import { mayUse, mayUseWhenUnreachable, type RequestDirectives } from "../core/freshness.ts";
import { type Name, objectName } from "../core/names.ts";
import { ageOf, standsFor } from "../core/origin-answer.ts";
import type { Clock } from "../ports.ts";
import {
  type Flight,
  type FromCopy,
  mayShare,
  type OriginOutcome,
  type OriginRead,
  type OriginWant,
  type Pulling,
  streamOf,
} from "./origin-outcomes.ts";
import type { Pull } from "./origin-pull.ts";
import type { Copy, Found } from "./origin-copies.ts";

/** Ms for which of what could not be shared nobody waits for another's. */
const UNSHARED_MS = 10_000;
const UNSHARED_MAX = 4_096;

export interface OriginFlightsDeps {
  clock: Clock;
  find: (want: OriginWant) => Promise<Found>;
  fly: (want: OriginWant, found: Found) => Promise<Flight>;
  served: (copy: Copy, how: FromCopy["how"]) => FromCopy;
  /** What that request may have of the copy now that the question failed so; throws the error where that is nothing. */
  instead: (error: unknown, want: OriginWant, copy: Copy | undefined) => FromCopy;
}

export class OriginFlights {
  readonly #deps: OriginFlightsDeps;
  /** By name, and by what the request showed of itself. */
  readonly #flights = new Map<Name, Map<string, Promise<Flight>>>();
  readonly #unshared = new LRUCache<string, number>({ max: UNSHARED_MAX });
  /** What is on its way of each name, and may be what another request wants, too. */
  readonly #pulling = new Map<Name, Set<Pulling>>();

  constructor(deps: OriginFlightsDeps) {
    this.#deps = deps;
  }

  async get(want: OriginWant, found: Found): Promise<OriginOutcome> {
    const key = JSON.stringify([want.bucket, want.key, want.fields]);
    const name = objectName(want.bucket, want.key);
    if (!mayShare(want) || this.#isUnshared(key)) return landed(await this.#deps.fly(want, found));
    const known = this.#flights.get(name)?.get(key);
    if (known) return await this.#after(known, key, want, found);
    const other = this.#other(want);
    const joined = other && await this.#joined(other);
    // While that was waited for somebody may have begun.
    const later = other && this.#flights.get(name)?.get(key);
    if (joined) return joined;
    if (other && !other.pull.isStored) return await this.#beside(want);
    if (later) return await this.#after(later, key, want, found);
    const flight = this.#deps.fly(want, found);
    this.#takeOff(name, key, flight);
    return landed(await flight);
  }

  /** The first copy of a key that is on its way. */
  primaryOf({ bucket, key }: OriginRead): Pulling | undefined {
    return [...this.#pulling.get(objectName(bucket, key)) ?? []].find(({ isPrimary }) => isPrimary);
  }

  track({ bucket, key }: OriginRead, pulling: Pulling): void {
    const name = objectName(bucket, key);
    const all = this.#pulling.get(name) ?? new Set();
    this.#pulling.set(name, all.add(pulling));
    void pulling.pull.stored.then(() => {
      all.delete(pulling);
      if (all.size === 0 && this.#pulling.get(name) === all) this.#pulling.delete(name);
    });
  }

  /** Whoever comes from now on joins nothing that is on its way of it. */
  leave(name: Name): void {
    this.#flights.delete(name);
    this.#pulling.delete(name);
  }

  /** Resolves when no answer for such a request only waits to be stored: at once, where there is none. */
  async settled({ bucket, key, fields }: OriginWant): Promise<boolean> {
    const all = [...this.#pulling.get(objectName(bucket, key)) ?? []];
    const whole = all.find((one) => hasCome(one) && standsFor(one.notes.vary, fields));
    await whole?.pull.stored;
    return whole !== undefined;
  }

  /** What is on its way of a key now. */
  pullsOf({ bucket, key }: OriginRead): Pull[] {
    return [...this.#pulling.get(objectName(bucket, key)) ?? []].map(({ pull }) => pull);
  }

  /** Resolves when what has come of that key, and only waits to be stored, is stored: what comes later must not be overtaken. */
  async stored({ bucket, key }: OriginRead): Promise<void> {
    const all = [...this.#pulling.get(objectName(bucket, key)) ?? []];
    await Promise.all(all.filter(hasCome).map(({ pull }) => pull.stored));
  }

  async #after(
    known: Promise<Flight>,
    key: string,
    want: OriginWant,
    { copy }: Found,
  ): Promise<OriginOutcome> {
    const name = objectName(want.bucket, want.key);
    for (let before = known;;) {
      const flight = await before.catch((error: unknown) => this.#deps.instead(error, want, copy));
      // What was asked after all had come is for all, however fresh it is.
      const isFor = before === known ? this.#mayJoin(flight, want.directives) : this.#mayHave(flight, want);
      const joined = isFor ? await this.#joined(flight) : undefined;
      if (joined) return joined;
      // What could not be shared once is everybody's own.
      if (flight.kind === "alone") return landed(await this.#anew(want));
      if (flight.kind === "pull") await flight.pull.soon;
      if (flight.kind === "pull" && !flight.pull.isStored) return await this.#beside(want);
      const later = this.#flights.get(name)?.get(key);
      if (!later || later === before) break;
      before = later;
    }
    const next = this.#anew(want);
    if (!this.#flights.get(name)?.has(key)) this.#takeOff(name, key, next);
    return landed(await next);
  }

  /** Who reads what is being stored is slow: that is no reason to wait for it. */
  async #beside(want: OriginWant): Promise<OriginOutcome> {
    return landed(await this.#anew({ ...want, isBeside: true }));
  }

  async #anew(want: OriginWant): Promise<Flight> {
    return await this.#deps.fly(want, await this.#deps.find(want));
  }

  #takeOff(name: Name, key: string, flight: Promise<Flight>): void {
    const all = this.#flights.get(name) ?? new Map<string, Promise<Flight>>();
    this.#flights.set(name, all.set(key, flight));
    const gone = (): void => {
      if (all.get(key) === flight) all.delete(key);
      if (all.size === 0 && this.#flights.get(name) === all) this.#flights.delete(name);
    };
    flight.then((outcome) => {
      if (outcome.kind === "alone") this.#unshared.set(key, this.#deps.clock.monotonicMs());
      // While its bytes are on their way others may come along.
      if (outcome.kind === "pull") void outcome.pull.stored.then(gone);
      else gone();
    }, gone);
  }

  #isUnshared(key: string): boolean {
    const sinceMs = this.#unshared.get(key);
    return sinceMs !== undefined && this.#deps.clock.monotonicMs() - sinceMs < UNSHARED_MS;
  }

  /** What is on its way for a request that said something else, on which the answer does not depend. */
  #other({ bucket, key, directives, fields }: OriginWant): Pulling | undefined {
    const all = [...this.#pulling.get(objectName(bucket, key)) ?? []];
    return all.find((one) => standsFor(one.notes.vary, fields) && this.#mayJoin(one, directives));
  }

  #mayJoin(flight: Flight, directives: RequestDirectives): boolean {
    if (flight.kind === "alone") return false;
    const { policy, notes } = flight.kind === "copy" ? flight.copy : flight;
    const wallMs = this.#deps.clock.wallMs();
    const ageMs = ageOf(notes, wallMs);
    return isStandIn(flight)
      ? mayUseWhenUnreachable(policy, ageMs, wallMs, directives).kind === "use"
      : mayUse(policy, ageMs, wallMs, directives).kind === "fresh";
  }

  #mayHave(flight: Flight, { directives }: OriginWant): boolean {
    return !isStandIn(flight) || this.#mayJoin(flight, directives);
  }

  async #joined(flight: Flight): Promise<OriginOutcome | undefined> {
    if (flight.kind === "alone") return undefined;
    if (flight.kind === "copy") return { ...flight, collapsed: true };
    const reader = flight.pull.join();
    if (reader) return { ...streamOf(flight.told, reader, true, flight.wasHeld), collapsed: true };
    const copy = await flight.pull.soon;
    return copy && { ...this.#deps.served(copy, "fetched"), collapsed: true };
  }
}

/** RFC 9111 section 4.2.4: no answer, but what is stale, because a request or the copy allowed that. */
function isStandIn(flight: Flight): boolean {
  return flight.kind === "copy" && flight.how === "stale-if-error";
}

/** All of it: its end may be heard of a little later. */
function hasCome({ pull, told }: Pulling): boolean {
  return pull.isWhole || pull.receivedBytes === told.sizeBytes;
}

/** As it is for whoever asked. */
function landed(flight: Flight): OriginOutcome {
  if (flight.kind === "alone") return flight.stream;
  return flight.kind === "copy" ? flight : streamOf(flight.told, flight.pull.first, true, flight.wasHeld);
}
