/**
 * Buckets with an origin: what is not here comes from there, is kept for as long as the origin allows, and asked for anew
 * when that is over (RFC 9111, as a shared cache; RFC 5861).
 */
import type { OriginSettings } from "../core/bucket-settings.ts";
import { mayUse, mayUseWhenUnreachable, type RequestDirectives } from "../core/freshness.ts";
import { objectName } from "../core/names.ts";
import { ageOf, type CopyNotes, fieldOf, type Fields, updatedBy } from "../core/origin-answer.ts";
import { forwardedFields, isLoop, originUrl, passedOn } from "../core/origin-request.ts";
import type { Purge } from "../core/purge.ts";
import { AtollError, isAtollError, messageOf } from "../errors.ts";
import type { Clock, Hashing, Log, Origin, Random } from "../ports.ts";
import type { Listings } from "./list-objects.ts";
import type { Metrics } from "./metrics.ts";
import type { Objects } from "./objects.ts";
import { Copies, type Copy, firstCopyOf, type Found, type Place, policyOf } from "./origin-copies.ts";
import { OriginFlights } from "./origin-flights.ts";
import {
  type Flight,
  type FromCopy,
  type How,
  isNoStore,
  mayShare,
  type OriginBucket,
  type OriginOutcome,
  type OriginRead,
  type OriginWant,
  type Pulling,
  streamOf,
} from "./origin-outcomes.ts";
import { type Asking, OriginOrder } from "./origin-order.ts";
import { type CopyPurge, OriginPurges } from "./origin-purges.ts";
import { type Kept, Pull, type Store } from "./origin-pull.ts";
import { type Question, Questions, type Told } from "./origin-questions.ts";
import { OriginShares } from "./origin-shares.ts";
import type { Ring } from "./ring.ts";

/** Answers on their way at once; each may hold half a MiB. */
const PULLS_MAX = 256;
/** RFC 5861 section 4: what a stale copy may stand in for. */
const SERVER_FAULTS = new Set([500, 502, 503, 504]);

export interface OriginsDeps {
  origin: Origin;
  objects: Objects;
  listings: Listings;
  ring: Ring;
  hashing: Hashing;
  random: Random;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  maxObjectBytes: number;
}

export class Origins {
  readonly #deps: OriginsDeps;
  readonly #copies: Copies;
  readonly #questions: Questions;
  readonly #flights: OriginFlights;
  readonly #purges: OriginPurges;
  readonly #order = new OriginOrder();
  readonly #shares = new OriginShares(PULLS_MAX);

  constructor(deps: OriginsDeps) {
    this.#deps = deps;
    this.#copies = new Copies(deps);
    this.#questions = new Questions(deps);
    this.#purges = new OriginPurges({ ...deps, copies: this.#copies });
    this.#flights = new OriginFlights({
      clock: deps.clock,
      find: (want) => this.#find(want),
      fly: (want, found) => this.#fly(want, found),
      served: (copy, how) => this.#served(copy, how),
      instead: (error, want, copy) => this.#instead(error, want, copy),
    });
  }

  /** What may be used without asking anybody, the ring included. */
  peek(read: OriginRead, settings: OriginSettings): FromCopy | undefined {
    const absentMs = this.#deps.objects.absentForMs(objectName(read.bucket, read.key));
    if (absentMs === undefined) return undefined;
    const copy = this.#copies.peek(read.bucket, read.key, forwardedFields(settings, read.header))?.copy;
    const used = copy && this.#use(copy, read.directives);
    // What clients stored meanwhile would go first: that nothing was is believed for as long as the copy is.
    return used && used.ttlSeconds >= 0 && absentMs <= copy.policy.freshSeconds! * 1000 ? used : undefined;
  }

  /**
   * For a key under which clients stored nothing. Rejects with `origin-…` where the origin must be asked and gives no
   * answer, with `overloaded` where too much is on its way already.
   */
  async read(read: OriginRead, settings: OriginBucket): Promise<OriginOutcome> {
    const url = originUrl(settings.origin, read.key);
    if (url === undefined) return { kind: "absent" };
    if (isLoop(read.header, this.#id)) {
      throw new AtollError(
        "origin-loop",
        `wanted a request that was not here before, got one that came by ${this.#id}`,
      );
    }
    const want: OriginWant = {
      ...read,
      settings,
      url,
      fields: forwardedFields(settings.origin, read.header),
    };
    let found = await this.#find(want);
    // What has come and is not in its place yet is here already, for those too who cannot join its coming.
    if (!found.copy && !mayShare(read) && await this.#flights.settled(want)) found = await this.#find(want);
    const used = found.copy && this.#use(found.copy, read.directives);
    if (used) {
      if (used.ttlSeconds < 0) this.#refresh(want, found);
      return used;
    }
    if (read.directives.onlyIfCached) return { kind: "not-cached" };
    if (read.method === "HEAD" && !found.copy) return await this.#pass(want);
    return await this.#flights.get(want, found);
  }

  /** Clients changed what is there, or want it gone: nothing that was kept of it is used any more. */
  async drop(bucket: string, key: string, trace?: string): Promise<void> {
    const name = firstCopyOf(objectName(bucket, key));
    this.callOff({ names: [name], prefixes: [], tagged: [], soft: false });
    await this.#copies.drop(bucket, key, trace);
  }

  /** Of what falls under a purge, which names copies, nothing that is on its way to this node is kept or joined any more. */
  callOff(purge: Purge): void {
    for (const name of this.#order.callOff(purge)) this.#flights.leave(name);
  }

  /** As `OriginPurges.purge`. */
  async purge(what: CopyPurge): Promise<number> {
    return await this.#purges.purge(what);
  }

  /** Names this ring to whoever it asks. */
  get #id(): string {
    return `atoll-${this.#deps.ring.layout?.ringId ?? "none"}`;
  }

  async #find(want: OriginWant): Promise<Found> {
    const { bucket, key, fields, trace } = want;
    try {
      for (;;) {
        const pulls = this.#flights.pullsOf(want);
        const found = await this.#copies.find(bucket, key, fields, trace);
        // What was stored while it was looked for is neither found nor on its way any more: it is looked for again.
        if (found.copy || !pulls.some((pull) => pull.isStored)) return found;
      }
    } catch (error) {
      if (isAtollError(error, "no-quorum")) return {}; // the origin may be there all the same
      throw error;
    }
  }

  #use(copy: Copy, directives: RequestDirectives): FromCopy | undefined {
    const wallMs = this.#deps.clock.wallMs();
    const ageMs = ageOf(copy.notes, wallMs);
    const use = mayUse(copy.policy, ageMs, wallMs, directives);
    if (use.kind !== "fresh" && use.kind !== "stale-while-revalidate") return undefined;
    const ttlSeconds = use.kind === "fresh" ? use.ttlSeconds : Math.min(-1, use.ttlSeconds);
    return { kind: "copy", copy, how: "hit", ageMs, ttlSeconds };
  }

  #served(copy: Copy, how: How): FromCopy {
    const ageMs = ageOf(copy.notes, this.#deps.clock.wallMs());
    const ttlSeconds = Math.floor((copy.policy.freshSeconds ?? 0) - ageMs / 1000);
    return { kind: "copy", copy, how, ageMs, ttlSeconds };
  }

  /** Behind a reader who was given what is stale; nobody reads what comes. */
  #refresh(want: OriginWant, found: Found): void {
    this.#flights.get(want, found).then((outcome) => {
      if (outcome.kind === "stream") outcome.reader.leave();
    }, () => {
      // Stale answers go on for as long as they are allowed; then a reader asks, and hears of the failure.
    });
  }

  async #fly(want: OriginWant, found: Found): Promise<Flight> {
    const release = this.#shares.take(new URL(want.url).origin);
    const asking = this.#order.begin(
      objectName(want.bucket, want.key),
      this.#deps.clock.wallMs(),
      found.version,
    );
    const end = (): void => {
      release();
      this.#order.end(asking);
    };
    let pull: Pull | undefined;
    try {
      const told = await this.#ask(want, found.copy, asking);
      if (told.kind === "copy") return told;
      asking.answer = told;
      try {
        const begun = await this.#begin(want, found, told, asking);
        pull = begun.pull;
        return begun.flight;
      } finally {
        // A body that nobody will read would keep its connection.
        if (!pull) await told.answer.body.return?.();
      }
    } finally {
      if (pull) void pull.over.then(end);
      else end();
    }
  }

  async #begin(
    want: OriginWant,
    found: Found,
    told: Told,
    asking: Asking,
  ): Promise<{ pull: Pull; flight: Flight }> {
    const place = await this.#place(want, told, found);
    const notes: CopyNotes = { ...told.notes, era: place.era };
    const form = told.unstorable === undefined && !isNoStore(want) && !want.isBeside
      ? this.#copies.storedForm(told.headers, notes)
      : undefined;
    // An old copy that the origin no longer stands by must not come back when the origin is away.
    if (!form && found.copy && told.answer.status < 500 && !want.isBeside) {
      this.#order.confirmed(asking, firstCopyOf(asking.name), told.notes.receivedMs);
      await this.#copies.drop(want.bucket, want.key, want.trace, found.version).catch(() => {});
    }
    const pull = new Pull(told.answer.body, {
      clock: this.#deps.clock,
      store: form &&
        ((body) =>
          this.#store(want, asking, told, place, { form, notes }, body).catch((error: unknown) => {
            this.#deps.log.warn("an origin's answer could not be kept", { reason: messageOf(error) });
            throw error;
          })),
      isSure: told.sizeBytes !== undefined && told.sizeBytes <= this.#maxBytes(want),
    });
    const wasHeld = found.copy !== undefined;
    if (!form) return { pull, flight: { kind: "alone", stream: streamOf(told, pull.first, false, wasHeld) } };
    const policy = policyOf(told.headers, notes);
    const { isPrimary } = place;
    const flight: Pulling = { kind: "pull", pull, told, notes, policy, wasHeld, isPrimary };
    // Who waits for it came before it was called off, and may have it.
    if (!asking.isOff) this.#flights.track(want, flight);
    return { pull, flight };
  }

  /** While the origin was asked, another's answer may have become the key's first copy: it must not be replaced by this. */
  async #place(want: OriginWant, { notes: { vary } }: Told, found: Found): Promise<Place> {
    let { primary } = found;
    if (!primary && Object.keys(vary).length > 0 && !this.#flights.primaryOf(want)) {
      primary = (await this.#find(want)).primary;
    }
    const first = this.#flights.primaryOf(want) ?? primary;
    return this.#copies.placeOf(want.bucket, want.key, want.fields, vary, first?.notes);
  }

  async #store(
    want: OriginWant,
    asking: Asking,
    told: Told,
    place: Place,
    { form, notes }: { form: { headers: Record<string, string>; expiresMs: number }; notes: CopyNotes },
    body: Parameters<Store>[0],
  ): Promise<Kept> {
    const { name } = place;
    const { objects } = this.#deps;
    await this.#flights.stored(want);
    const outcome = await objects.put(
      {
        name,
        body,
        sizeBytes: told.sizeBytes,
        maxBytes: this.#maxBytes(want),
        digests: [],
        ...form,
        trace: want.trace,
      },
      {},
      (there) => this.#order.objection(asking, place, notes, there),
    );
    const { manifest } = outcome;
    const open = async (from: number) =>
      (await objects.open(name, { manifest }, from, manifest.size - 1, want.trace)).bytes;
    if (outcome.kind !== "stored") return { copy: undefined, open };
    const { copy } = await this.#find(want);
    // Overtaken already, what stands there may be something else; the bytes are here all the same.
    return { copy: copy?.object.manifest.sha256 === manifest.sha256 ? copy : undefined, open };
  }

  #maxBytes({ settings }: OriginWant): number {
    return Math.min(settings.origin.maxBytes ?? Infinity, this.#deps.maxObjectBytes);
  }

  /** The origin's answer, or the copy where that still is it, or may stand in for it. */
  async #ask(
    want: OriginWant,
    copy: Copy | undefined,
    asking: Asking,
  ): Promise<FromCopy | (Told & { readonly kind?: never })> {
    const question = this.#question(want, "GET", copy ? conditionsOf(copy) : {});
    let told: Told;
    try {
      told = await this.#questions.ask(question);
      if (copy && told.answer.status === 304 && !isSame(copy, told)) {
        await told.answer.body.return?.();
        const unconditional = this.#question(want, "GET", {});
        told = await this.#questions.ask({ ...unconditional, sinceMs: question.sinceMs });
      }
    } catch (error) {
      this.#count("failed");
      return this.#instead(error, want, copy);
    }
    const { status, body } = told.answer;
    const isFault = SERVER_FAULTS.has(status);
    const isSaid = copy !== undefined && status === 304;
    this.#count(isFault ? "failed" : isSaid ? "revalidated" : "fetched");
    const stale = isFault ? this.#standIn(want, copy) : undefined;
    if (!stale && !isSaid) return told;
    await body.return?.();
    return stale ?? this.#served(await this.#updated(copy!, told, asking, want.trace), "revalidated");
  }

  #count(outcome: "failed" | "revalidated" | "fetched"): void {
    this.#deps.metrics.counter("atoll_origin_requests_total", "Questions to origins, by what came", {
      outcome,
    }).add();
  }

  #question(want: OriginWant, method: "GET" | "HEAD", conditions: Fields): Question {
    const { header, settings, url, fields } = want;
    return {
      method,
      url,
      settings: settings.origin,
      cacheControl: settings.cacheControl,
      fields,
      besides: { ...passedOn(header, this.#id), ...conditions },
      sinceMs: this.#deps.clock.monotonicMs(),
    };
  }

  #instead(error: unknown, want: OriginWant, copy: Copy | undefined): FromCopy {
    const stale = isAtollError(error, "origin-failed", "origin-timeout")
      ? this.#standIn(want, copy)
      : undefined;
    if (stale) return stale;
    throw error;
  }

  #standIn({ directives }: OriginWant, copy: Copy | undefined): FromCopy | undefined {
    if (!copy) return undefined;
    const wallMs = this.#deps.clock.wallMs();
    const ageMs = ageOf(copy.notes, wallMs);
    const use = mayUseWhenUnreachable(copy.policy, ageMs, wallMs, directives);
    if (use.kind === "no") return undefined;
    return { kind: "copy", copy, how: "stale-if-error", ageMs, ttlSeconds: use.ttlSeconds };
  }

  /** RFC 9111 section 4.3.4. */
  async #updated(copy: Copy, told: Told, asking: Asking, trace: string | undefined): Promise<Copy> {
    const headers = updatedBy(copy.headers, told.answer.headers);
    const { receivedMs, ageMs, dateMs, freshMaxSeconds } = told.notes;
    const { freshMaxSeconds: _, ...kept } = copy.notes;
    const notes = {
      ...kept,
      receivedMs,
      ageMs,
      dateMs,
      ...(freshMaxSeconds !== undefined && { freshMaxSeconds }),
    };
    if (asking.isOff) return this.#copies.amended(copy, headers, notes);
    this.#order.confirmed(asking, copy.name, receivedMs);
    return await this.#copies.amend(copy, headers, notes, trace);
  }

  /** HEAD of what is not here: answered by the origin, and nothing is kept of it. */
  async #pass(want: OriginWant): Promise<OriginOutcome> {
    const told = await this.#questions.ask(this.#question(want, "HEAD", {}));
    const pull = new Pull(told.answer.body, { clock: this.#deps.clock, store: undefined, isSure: false });
    return streamOf(told, pull.first, false, false);
  }
}

function conditionsOf({ headers }: Copy): Record<string, string> {
  const { etag, "last-modified": modified } = headers;
  return {
    ...(etag !== undefined && { "if-none-match": etag }),
    ...(modified !== undefined && { "if-modified-since": modified }),
  };
}

/** Section 4.3.4: a 304 that names another version than the one kept says nothing of that. */
function isSame(copy: Copy, { answer }: Told): boolean {
  const etag = fieldOf(answer.headers, "etag");
  const plain = (tag: string | undefined) => tag?.replace(/^W\//, "");
  return etag === undefined || plain(etag) === plain(copy.headers["etag"]);
}
