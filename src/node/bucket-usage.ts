/**
 * How much a bucket holds, about: for quotas. Nobody in a ring keeps such a sum, and one that were kept exactly would be a
 * register that every upload of the bucket has to pass. So each node counts by listing, again when the last count is some
 * seconds old (longer where counting takes long), and adds what it stored itself meanwhile. A quota can so be passed by what
 * other nodes stored since, and what was deleted is noticed with the next count. Of what cannot be counted the last count
 * goes on; where there is none yet nothing is let in: a failure is not an empty bucket.
 */
import { LRUCache } from "lru-cache";
import { objectName } from "../core/names.ts";
import { messageOf } from "../errors.ts";
import type { Clock, Log } from "../ports.ts";
import type { Listings } from "./list-objects.ts";

export interface Usage {
  readonly bytes: number;
  readonly objects: number;
}

/** Buckets with a quota that something was stored in lately. */
const BUCKETS_MAX = 1_024;
const COUNT_EVERY_MS = 5_000;
/** Of the time at most, however many objects there are to count. */
const COUNTING_SHARE = 0.1;
const PAGE = 1_000;

const NOTHING: Usage = { bytes: 0, objects: 0 };

/** Of one bucket. */
export interface BucketCount {
  /** About; of this moment. */
  readonly used: Usage;
  /** Something is being stored, as large as that so far: it counts until it is given back, however long that takes. */
  take(bytes: number, objects: number): void;
  giveBack(bytes: number, objects: number): void;
  /** Something was. */
  stored(bytes: number): void;
}

class Entry implements BucketCount {
  counted = NOTHING;
  /** Stored here since the count began. */
  added = NOTHING;
  /** Not before then again. */
  countAtMs = 0;
  counting: Promise<void> | undefined;
  /** Why there is no count at all yet. */
  fault: unknown;
  isCounted = false;
  /** No count has it: it is nowhere to be listed yet. */
  #taken = NOTHING;

  get used(): Usage {
    return plus(plus(this.counted, this.added), this.#taken);
  }

  take(bytes: number, objects: number): void {
    this.#taken = plus(this.#taken, { bytes, objects });
  }

  giveBack(bytes: number, objects: number): void {
    this.#taken = minus(this.#taken, { bytes, objects });
  }

  stored(bytes: number): void {
    this.added = plus(this.added, { bytes, objects: 1 });
  }
}

export class BucketUsage {
  readonly #listings: Pick<Listings, "list">;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #buckets = new LRUCache<string, Entry>({ max: BUCKETS_MAX });

  constructor(deps: { listings: Pick<Listings, "list">; clock: Clock; log: Log }) {
    this.#listings = deps.listings;
    this.#clock = deps.clock;
    this.#log = deps.log;
  }

  /**
   * Whoever asks first waits for the count; later ones only where there was none. Rejects as a listing does as long as there
   * is none.
   */
  async of(bucket: string): Promise<BucketCount> {
    let entry = this.#buckets.get(bucket);
    if (!entry) this.#buckets.set(bucket, entry = new Entry());
    if (!entry.counting && this.#clock.monotonicMs() >= entry.countAtMs) {
      entry.counting = this.#count(bucket, entry).finally(() => (entry.counting = undefined));
    }
    if (!entry.isCounted) await entry.counting;
    if (!entry.isCounted) throw entry.fault;
    return entry;
  }

  /** Never rejects. */
  async #count(bucket: string, entry: Entry): Promise<void> {
    const begunMs = this.#clock.monotonicMs();
    const addedBefore = entry.added;
    try {
      let bytes = 0;
      let objects = 0;
      for (let after: string | null = ""; after !== null;) {
        const page = await this.#listings.list({ prefix: objectName(bucket, ""), after, limit: PAGE });
        objects += page.objects.length;
        for (const { object } of page.objects) bytes += object?.size ?? 0;
        after = page.next;
      }
      entry.counted = { bytes, objects };
      entry.isCounted = true;
      // What came meanwhile may have been counted or not: counted twice is the safer of the two.
      entry.added = minus(entry.added, addedBefore);
    } catch (error) {
      this.#log.warn("a bucket could not be counted for its quota", { bucket, reason: messageOf(error) });
      entry.fault = error;
    }
    const nowMs = this.#clock.monotonicMs();
    const tookMs = nowMs - begunMs;
    // Without a count uploads are refused: soon again where that cost little, as when nobody was to be reached.
    const pauseMs = entry.isCounted
      ? Math.max(COUNT_EVERY_MS, tookMs / COUNTING_SHARE)
      : Math.min(COUNT_EVERY_MS, tookMs);
    entry.countAtMs = nowMs + pauseMs;
  }
}

function plus(a: Usage, b: Usage): Usage {
  return { bytes: a.bytes + b.bytes, objects: a.objects + b.objects };
}

function minus(a: Usage, b: Usage): Usage {
  return { bytes: a.bytes - b.bytes, objects: a.objects - b.objects };
}
